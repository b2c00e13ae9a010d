/** @file Shows that two graphs compute the same: both run on the same random inputs. Start at `compareGraphs`. */

import {
  DTYPES,
  formatShape,
  getElement,
  isFloat,
  isInteger,
  sizeOf,
  type Tensor,
  tensor,
  VarscopeError,
} from "../../base/index.ts";
import type { Graph, Operation, Output } from "../../graph/index.ts";
import { Session, variableKey } from "../../run/index.ts";
import { isInput } from "./graph-facts.ts";

export interface CompareOptions {
  /** values of the variables of the first graph */
  readonly variables: ReadonlyMap<Operation, Tensor>;
  readonly signal?: AbortSignal;
}

/** What came of a comparison. */
export interface Comparison {
  /** what was fed: name, dtype and shape */
  readonly inputs: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
  readonly maxAbsDifference: number;
  /** the difference in proportion to the largest value of its output */
  readonly maxRelDifference: number;
  /** output with the largest difference */
  readonly at: string | null;
}

/** Size of an unknown dimension. */
const UNKNOWN_DIM = 2;

/**
 * Runs both graphs on random inputs: floats from -1 to 1, integers 0 or 1 (any vocabulary has these), booleans false (no training);
 * inputs with a default keep it, unless they are boolean. Inputs that only the first graph has are fed there alone.
 *
 * @param outputs - node names that both have
 * @throws VarscopeError as `Session.run`; INVALID_ARGUMENT - the outputs differ in dtype or shape
 */
export async function compareGraphs(
  first: Graph,
  second: Graph,
  outputs: readonly string[],
  options: CompareOptions,
): Promise<Comparison> {
  const random = randomNumbers(1);
  const fed = new Map<string, Tensor>();
  for (const op of reachable(outputs.map((name) => first.operation(name)))) {
    if (!isInput(op) || (op.type === "PlaceholderWithDefault" && op.outputs[0]!.dtype !== "bool")) continue;
    fed.set(op.outputs[0]!.name, randomInput(op.outputs[0]!, random));
  }
  const run = async (graph: Graph, variables: CompareOptions["variables"]): Promise<Tensor[]> => {
    const session = new Session(graph, { warn: () => {} });
    try {
      for (const [op, value] of variables) session.variables.commit(variableKey(op), value, false);
      const feeds = new Map(
        [...fed].filter(([name]) => graph.findOperation(name.slice(0, -2)) !== undefined),
      );
      const names = outputs.flatMap((name) => graph.operation(name).outputs.map((x) => x.name));
      const { signal } = options;
      return (await session.run(names, { feeds, ...(signal && { signal }) })) as Tensor[];
    } finally {
      await session.close();
    }
  };
  const a = await run(first, options.variables);
  const b = await run(second, new Map());
  const names = outputs.flatMap((name) => first.operation(name).outputs.map((x) => x.name));
  return {
    inputs: [...fed].map(([name, t]) => ({ name, dtype: t.dtype, shape: t.shape })),
    ...largest(names, a, b),
  };
}

/** Ops that `ends` need, themselves included. */
export function reachable(ends: readonly Operation[]): Set<Operation> {
  const found = new Set<Operation>();
  const stack = [...ends];
  for (let op = stack.pop(); op !== undefined; op = stack.pop()) {
    if (found.has(op)) continue;
    found.add(op);
    stack.push(...op.inputs.map((x) => x.op), ...op.controlInputs);
  }
  return found;
}

function randomInput(x: Output, random: () => number): Tensor {
  const shape = (x.shape ?? [UNKNOWN_DIM]).map((d) => d ?? UNKNOWN_DIM);
  const element = (): number | boolean | string => {
    if (x.dtype === "string") return "a";
    if (x.dtype === "bool") return false;
    return isInteger(x.dtype) ? Math.floor(2 * random()) : 2 * random() - 1;
  };
  if (DTYPES[x.dtype].bytes === 0 && x.dtype !== "string") {
    throw new VarscopeError("UNIMPLEMENTED", `an input of dtype ${x.dtype} cannot be made up`, {
      at: x.name,
    });
  }
  return tensor(Array.from({ length: sizeOf(shape) }, element), x.dtype, shape);
}

/** Uniform in [0, 1), the same each time. @see github.com/bryc/code "mulberry32" */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function largest(
  names: readonly string[],
  a: readonly Tensor[],
  b: readonly Tensor[],
): Omit<Comparison, "inputs"> {
  let [maxAbsDifference, maxRelDifference, at] = [0, 0, null as string | null];
  names.forEach((name, i) => {
    const { abs, scale } = difference(name, a[i]!, b[i]!);
    const rel = abs === 0 ? 0 : abs / Math.max(scale, Number.MIN_VALUE);
    if (abs > maxAbsDifference) [maxAbsDifference, at] = [abs, name];
    maxRelDifference = Math.max(maxRelDifference, rel);
  });
  return { maxAbsDifference, maxRelDifference, at };
}

/** Largest difference of two tensors, and the largest finite value of the first; NaN and infinities are equal to themselves alone. */
function difference(name: string, a: Tensor, b: Tensor): { readonly abs: number; readonly scale: number } {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${a.dtype} ${formatShape(a.shape)} became ${b.dtype} ${formatShape(b.shape)}`,
      { at: name },
    );
  }
  let [abs, scale] = [0, 0];
  for (let i = 0; i < sizeOf(a.shape); i++) {
    const [x, y] = [numbersOf(a, i), numbersOf(b, i)];
    x.forEach((v, k) => {
      const w = y[k]!;
      if (Object.is(v, w) || v === w) abs = Math.max(abs, 0);
      else abs = Math.max(abs, Number.isFinite(v - w) ? Math.abs(v - w) : Number.POSITIVE_INFINITY);
      if (Number.isFinite(v)) scale = Math.max(scale, Math.abs(v));
    });
  }
  return { abs, scale: isFloat(a.dtype) ? scale : 1 };
}

function numbersOf(t: Tensor, i: number): number[] {
  const x = getElement(t, i);
  if (x instanceof Uint8Array) return [...x];
  return Array.isArray(x) ? (x as number[]) : [Number(x)];
}
