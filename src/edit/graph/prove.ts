/** @file What shows that graphs compute the same: they run on the same random inputs. Start at `evaluateRandomly`; `compareResults` compares. */

import {
  DTYPES,
  formatShape,
  getElement,
  isFloat,
  isInteger,
  isVarscopeError,
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
  /** inputs that are fed these values, not random ones, by name (`x:0`) */
  readonly fixed?: ReadonlyMap<string, Tensor>;
  /** tensors that are fed although something computes them, by name */
  readonly cut?: readonly string[];
  readonly signal?: AbortSignal;
}

/** How far an output is from what it was. */
export interface OutputError {
  readonly name: string;
  readonly maxAbsDifference: number;
  /** the difference in proportion to the largest value of the output */
  readonly maxRelDifference: number;
}

/** What came of a comparison. */
export interface Comparison {
  /** what was fed: name, dtype and shape */
  readonly inputs: readonly {
    readonly name: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
  readonly outputs: readonly OutputError[];
  readonly maxAbsDifference: number;
  /** the largest of the outputs' */
  readonly maxRelDifference: number;
  /** output with the largest difference */
  readonly at: string | null;
}

/** Sizes of an unknown dimension, tried in turn: convolutions want images of some size. */
const UNKNOWN_DIMS = [2, 16, 64, 224] as const;

/** Values of variables by the ops of another graph, where these are still variables. */
export const sameVariables = (
  variables: ReadonlyMap<Operation, Tensor>,
  graph: Graph,
): Map<Operation, Tensor> =>
  new Map(
    [...variables].flatMap(([op, value]) => {
      const same = graph.findOperation(op.name);
      return same?.def?.variable === undefined ? [] : [[same, value] as const];
    }),
  );

/** Tensors of these nodes. */
export const resultsOf = (graph: Graph, outputs: readonly string[]): string[] =>
  outputs.flatMap((name) => graph.operation(name).outputs.map((x) => x.name));

export const describeFeeds = (feeds: ReadonlyMap<string, Tensor>): Comparison["inputs"] =>
  [...feeds].map(([name, t]) => ({ name, dtype: t.dtype, shape: t.shape }));

/**
 * Values of tensors on random inputs, and these: floats from -1 to 1, integers 0 or 1 (any vocabulary has these), booleans false (no training);
 * inputs with a default keep it, unless they are boolean.
 *
 * @throws VarscopeError as `Session.run`
 */
export async function evaluateRandomly(
  graph: Graph,
  names: readonly string[],
  { variables, fixed = new Map(), cut = [], signal }: CompareOptions,
): Promise<{ readonly feeds: Map<string, Tensor>; readonly values: Tensor[] }> {
  const fed = [...reachable(names.map((name) => graph.output(name).op))].filter(isFed);
  const inputs = new Set([...fed.map((op) => op.outputs[0]!), ...cut.map((name) => graph.output(name))]);
  const isOpen = [...inputs].some((x) => x.shape?.includes(null) ?? true);
  for (const [i, size] of UNKNOWN_DIMS.entries()) {
    const random = randomNumbers(1);
    const feeds = new Map([...inputs].map((x) => [x.name, randomInput(x, random, size)]));
    for (const [name, value] of fixed) if (hasOutput(graph, name)) feeds.set(name, value);
    try {
      return { feeds, values: await evaluate(graph, names, feeds, variables, signal) };
    } catch (e) {
      const another = isOpen && i + 1 < UNKNOWN_DIMS.length;
      if (!another || !isVarscopeError(e) || e.code !== "INVALID_ARGUMENT") throw e;
    }
  }
  throw new VarscopeError("INTERNAL", "no size was tried"); // the loop returns or throws
}

const isFed = (op: Operation): boolean =>
  isInput(op) && (op.type !== "PlaceholderWithDefault" || op.outputs[0]!.dtype === "bool");

const hasOutput = (graph: Graph, name: string): boolean =>
  graph.findOperation(name.replace(/:\d+$/, "")) !== undefined;

/** Values of tensors. Feeds of nodes that the graph lacks are left out. */
export async function evaluate(
  graph: Graph,
  names: readonly string[],
  feeds: ReadonlyMap<string, Tensor>,
  variables: ReadonlyMap<Operation, Tensor>,
  signal?: AbortSignal,
): Promise<Tensor[]> {
  const session = new Session(graph, { warn: () => {} });
  try {
    for (const [op, value] of variables) session.variables.commit(variableKey(op), value, false);
    const known = new Map([...feeds].filter(([name]) => hasOutput(graph, name)));
    return (await session.run([...names], { feeds: known, ...(signal && { signal }) })) as Tensor[];
  } finally {
    await session.close();
  }
}

/** Ops that `ends` need, themselves included. */
export function reachable(ends: readonly Operation[]): Set<Operation> {
  const found = new Set<Operation>();
  const stack = [...ends];
  for (let op = stack.pop(); op !== undefined; op = stack.pop()) {
    if (found.has(op)) continue;
    found.add(op);
    for (const x of op.inputs) stack.push(x.op);
    for (const c of op.controlInputs) stack.push(c);
  }
  return found;
}

/** The first dimension is the batch: two are enough. */
function randomInput(x: Output, random: () => number, size: number): Tensor {
  const shape = (x.shape ?? [size]).map((d, i) => d ?? (i === 0 ? UNKNOWN_DIMS[0] : size));
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

/** How far the second values are from the first. @throws VarscopeError INVALID_ARGUMENT - they differ in dtype or shape */
export function compareResults(
  names: readonly string[],
  first: readonly Tensor[],
  second: readonly Tensor[],
): Omit<Comparison, "inputs"> {
  const outputs = names.map((name, i): OutputError => {
    const { abs, scale } = difference(name, first[i]!, second[i]!);
    const rel = abs === 0 ? 0 : abs / Math.max(scale, Number.MIN_VALUE);
    return { name, maxAbsDifference: abs, maxRelDifference: rel };
  });
  const worst = outputs.reduce<OutputError | null>(
    (a, b) => (b.maxAbsDifference > (a?.maxAbsDifference ?? 0) ? b : a),
    null,
  );
  return {
    outputs,
    maxAbsDifference: worst?.maxAbsDifference ?? 0,
    maxRelDifference: outputs.reduce((n, o) => Math.max(n, o.maxRelDifference), 0),
    at: worst?.name ?? null,
  };
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
