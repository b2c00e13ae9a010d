/** @file What callers may fetch and feed, and what they get: nested structures, names, tensors. Start at `resolveFetches`. */

import {
  formatPyShape,
  isCompatible,
  isVarscopeError,
  type Nested,
  type Shape,
  type Tensor,
  tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  type Graph,
  type IndexedSlices,
  isIndexedSlices,
  isTensor,
  Operation,
  Output,
} from "../graph/index.ts";

/** Anything with a symbolic value, as a Variable. */
export interface HasValue {
  value(): Output;
}

/** An output (or its name `x:0`), an op (or its name; gives null), a variable, slices, or arrays and objects of these. */
export type Fetchable =
  | Output
  | Operation
  | IndexedSlices
  | HasValue
  | string
  | readonly Fetchable[]
  | { readonly [key: string]: Fetchable };

/** What comes back for a fetch: tensors for outputs, null for ops, the same structure for structures. */
export type Fetched<F> = F extends Output | HasValue
  ? Tensor
  : F extends Operation
    ? null
    : F extends string
      ? Tensor | null
      : F extends IndexedSlices
        ? { values: Tensor; indices: Tensor; denseShape: Tensor | null }
        : { -readonly [K in keyof F]: Fetched<F[K]> };

export type FeedValue = Tensor | Nested;
/** Values by output or by tensor name. */
export type Feeds = ReadonlyMap<Output | string, FeedValue> | Readonly<Record<string, FeedValue>>;

export interface ResolvedFetches {
  readonly outputs: Output[];
  readonly ops: Operation[];
  /** the caller's structure from the values of `outputs` */
  rebuild(values: readonly Tensor[]): unknown;
}

/** @throws VarscopeError INVALID_ARGUMENT or NOT_FOUND - not a fetchable thing, or not of this graph */
export function resolveFetches(graph: Graph, fetches: unknown): ResolvedFetches {
  const outputs: Output[] = [];
  const ops: Operation[] = [];
  const output = (x: Output): ((v: readonly Tensor[]) => unknown) => {
    if (x.graph !== graph) throw notInGraph(x.name);
    const at = outputs.push(x) - 1;
    return (v) => v[at];
  };
  const resolve = (f: unknown): ((v: readonly Tensor[]) => unknown) => {
    if (f instanceof Output) return output(f);
    if (f instanceof Operation) {
      if (f.graph !== graph) throw notInGraph(f.name);
      ops.push(f);
      return () => null;
    }
    if (typeof f === "string") return /:\d+$/.test(f) ? output(graph.output(f)) : resolve(graph.operation(f));
    if (isIndexedSlices(f)) {
      return resolve({
        values: f.values,
        indices: f.indices,
        ...(f.denseShape ? { denseShape: f.denseShape } : {}),
      });
    }
    if (Array.isArray(f)) {
      const parts = f.map(resolve);
      return (v) => parts.map((p) => p(v));
    }
    if (typeof f === "object" && f !== null && typeof (f as HasValue).value === "function")
      return output((f as HasValue).value());
    if (typeof f !== "object" || f === null) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Fetch argument ${String(f)} cannot be interpreted as a Tensor or an Operation.`,
        {
          hint: "give an Output, an Operation, a name, or an array or object of these",
        },
      );
    }
    const parts = Object.entries(f).map(([k, x]) => [k, resolve(x)] as const);
    return (v) => Object.fromEntries(parts.map(([k, p]) => [k, p(v)]));
  };
  const rebuild = resolve(fetches);
  return { outputs, ops, rebuild };
}

const notInGraph = (name: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", `Tensor ${name} is not an element of this graph.`);

/** @throws VarscopeError INVALID_ARGUMENT - a value of another shape or dtype, or a symbolic one */
export function resolveFeeds(graph: Graph, feeds: Feeds): Map<Output, Tensor> {
  const entries = feeds instanceof Map ? feeds.entries() : Object.entries(feeds as Record<string, FeedValue>);
  const out = new Map<Output, Tensor>();
  for (const [key, value] of entries) {
    const output =
      typeof key === "string" ? graph.output(key.includes(":") ? key : `${key}:0`) : (key as Output);
    if (output.graph !== graph) throw notInGraph(output.name);
    out.set(output, feedTensor(output, value));
  }
  return out;
}

function feedTensor(output: Output, value: FeedValue): Tensor {
  if ((value as unknown) instanceof Output) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `The value of a feed cannot be a tf.Tensor object. Acceptable feed values include numbers, strings, booleans, nested arrays, or Tensors.`,
      { at: output.name },
    );
  }
  const t = isTensor(value) ? value : convert(output, value as Nested);
  if (t.dtype !== output.dtype) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Cannot feed a ${t.dtype} value for Tensor ${output.name}, which is ${output.dtype}`,
      {
        at: output.name,
      },
    );
  }
  if (!isCompatible(output.shape, t.shape as Shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Cannot feed value of shape ${formatPyShape(t.shape)} for Tensor ${output.name}, which has shape ${formatPyShape(output.shape)}`,
      { at: output.name },
    );
  }
  return t;
}

function convert(output: Output, value: Nested): Tensor {
  try {
    return tensor(value, output.dtype);
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
    throw new VarscopeError(e.code, e.what, { at: output.name, cause: e });
  }
}
