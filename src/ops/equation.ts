/** @file What an einsum equation says of given shapes: a label for each axis, a size for each label. Start at `bindEquation`. */

import { formatShape, type Shape, VarscopeError } from "../base/index.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

const ELLIPSIS = "...";

/** An equation on shapes. The axes of "..." are labelled "0", "1", ... from the last. */
export interface Bound {
  readonly inputs: readonly (readonly string[])[];
  readonly output: readonly string[];
  readonly sizes: ReadonlyMap<string, number | null>;
}

/** Letters of one side, "..." as one. @throws VarscopeError INVALID_ARGUMENT */
function labelsOf(subscripts: string): string[] {
  const labels: string[] = [];
  for (let i = 0; i < subscripts.length; i++) {
    if (subscripts.startsWith(ELLIPSIS, i)) {
      if (labels.includes(ELLIPSIS))
        throw invalid(`Could not parse equation: more than one ellipsis in '${subscripts}'`);
      labels.push(ELLIPSIS);
      i += 2;
    } else if (/\p{L}/u.test(subscripts[i]!)) labels.push(subscripts[i]!);
    else throw invalid(`Subscripts must be letters or '...', got '${subscripts[i]}' in '${subscripts}'`);
  }
  return labels;
}

/**
 * Labels and sizes of the axes; null where "..." stands for an unknown number of axes.
 *
 * @throws VarscopeError INVALID_ARGUMENT - equation and shapes do not fit
 */
export function bindEquation(equation: string, shapes: readonly (Shape | null)[]): Bound | null {
  const sides = equation.split("->");
  if (sides.length !== 2) throw invalid(`Expecting exactly one '->' in einsum equation: ${equation}`);
  const parts = sides[0]!.split(",");
  if (parts.length !== shapes.length || parts.length > 2) {
    throw invalid(`Expected ${parts.length} inputs for equation ${equation} but got: ${shapes.length}`);
  }
  const inputLabels = parts.map(labelsOf);
  const outputLabels = labelsOf(sides[1]!);
  for (const label of outputLabels) {
    if (label !== ELLIPSIS && !inputLabels.some((labels) => labels.includes(label))) {
      throw invalid(`Label '${label}' of the output is in no input of einsum equation ${equation}`);
    }
  }
  if (shapes.some((shape, i) => shape === null && inputLabels[i]!.includes(ELLIPSIS))) return null;
  const sizes = new Map<string, number | null>();
  const inputs = inputLabels.map((labels, i) =>
    bindLabels(equation, labels, shapes[i] ?? labels.map(() => null), sizes),
  );
  const broadcast = [...sizes.keys()].filter(isBroadcast).sort((a, b) => Number(b) - Number(a));
  if (broadcast.length > 0 && !outputLabels.includes(ELLIPSIS)) {
    throw invalid(`Output subscripts of ${equation} have no '...', the inputs' has ${broadcast.length} axes`);
  }
  const output = outputLabels.flatMap((label) => (label === ELLIPSIS ? broadcast : [label]));
  return { inputs, output, sizes };
}

const isBroadcast = (label: string): boolean => /^\d+$/.test(label);

function bindLabels(
  equation: string,
  labels: readonly string[],
  shape: Shape,
  sizes: Map<string, number | null>,
): string[] {
  const named = labels.filter((l) => l !== ELLIPSIS).length;
  const extra = shape.length - named;
  if (extra < 0 || (extra > 0 && !labels.includes(ELLIPSIS))) {
    throw invalid(
      `Expected input of rank ${named} for einsum equation ${equation}, got shape ${formatShape(shape)}`,
    );
  }
  const own = labels.flatMap((label) =>
    label === ELLIPSIS ? Array.from({ length: extra }, (_, i) => String(extra - 1 - i)) : [label],
  );
  own.forEach((label, axis) => {
    sizes.set(label, mergedSize(equation, label, sizes.get(label), shape[axis]!));
  });
  return own;
}

function mergedSize(
  equation: string,
  label: string,
  known: number | null | undefined,
  size: number | null,
): number | null {
  if (known === undefined || known === size) return size;
  if (isBroadcast(label)) {
    if (known === 1) return size;
    if (size === 1) return known;
  }
  if (known === null || size === null) return known ?? size;
  throw invalid(
    `Expected dimension ${known} for label '${label}' of einsum equation ${equation}, got ${size}`,
  );
}

/** The equation with its output and without blanks: labels that occur once, in alphabetical order, where none is given. */
export function explicitEquation(equation: string): string {
  const bare = equation.replaceAll(/\s/g, "");
  if (bare.includes("->")) return bare;
  const letters = [...bare.replaceAll(ELLIPSIS, "").replaceAll(",", "")];
  const once = letters.filter((l) => letters.indexOf(l) === letters.lastIndexOf(l)).sort();
  return `${bare}->${bare.includes(ELLIPSIS) ? ELLIPSIS : ""}${once.join("")}`;
}
