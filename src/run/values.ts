/** @file What callers may fetch and feed, and what they get: nested structures, names, tensors. Start at `resolveFetches`. */

import {
  type ErrorCode,
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
  /** its read that is fetched, if it has one */
  readonly snapshot?: Output;
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

/** @throws VarscopeError FAILED_PRECONDITION - the session is closed, or the graph has no ops */
export function needRunnable(graph: Graph, isClosed: boolean): void {
  if (isClosed) throw new VarscopeError("FAILED_PRECONDITION", "Attempted to use a closed Session.");
  if (graph.operations.length > 0) return;
  throw new VarscopeError(
    "FAILED_PRECONDITION",
    "The Session graph is empty. Add operations to the graph before calling run().",
  );
}

/** @throws VarscopeError INVALID_ARGUMENT or NOT_FOUND - not a fetchable thing, or not of this graph */
export function resolveFetches(graph: Graph, fetches: unknown): ResolvedFetches {
  const outputs: Output[] = [];
  const ops: Operation[] = [];
  const output = (x: Output): ((v: readonly Tensor[]) => unknown) => {
    if (x.graph !== graph) throw notFetchable(x.name, notInGraph(x.name));
    const at = outputs.push(x) - 1;
    return (v) => v[at];
  };
  const named = (name: string): ((v: readonly Tensor[]) => unknown) => {
    try {
      return /:\d+$/.test(name) ? output(graph.output(name)) : resolve(graph.operation(name));
    } catch (e) {
      if (!isVarscopeError(e)) throw e;
      throw notFetchable(name, `"${e.what}"`, e.code);
    }
  };
  const resolve = (f: unknown): ((v: readonly Tensor[]) => unknown) => {
    if (f instanceof Output) return output(f);
    if (f instanceof Operation) {
      if (f.graph !== graph)
        throw notFetchable(f.name, `Operation ${f.name} is not an element of this graph.`);
      ops.push(f);
      return () => null;
    }
    if (typeof f === "string") return named(f);
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
    if (typeof f !== "object" || f === null) throw ofNoKind(f);
    if (typeof (f as HasValue).value === "function") {
      // a read that the graph has already: fetching must not grow it
      return output((f as HasValue).snapshot ?? (f as HasValue).value());
    }
    const parts = Object.entries(f).map(([k, x]) => [k, resolve(x)] as const);
    return (v) => Object.fromEntries(parts.map(([k, p]) => [k, p(v)]));
  };
  const rebuild = resolve(fetches);
  return { outputs, ops, rebuild };
}

function ofNoKind(f: unknown): VarscopeError {
  if (f === null || f === undefined) {
    const what = 'Argument `fetch` = None has invalid type "NoneType". Cannot be None';
    return new VarscopeError("INVALID_ARGUMENT", what);
  }
  return new VarscopeError(
    "INVALID_ARGUMENT",
    `Argument \`fetch\` = ${String(f)} has invalid type "${typeof f}" must be a string or Tensor. (Can not convert a ${typeof f} into a Tensor or Operation.)`,
    { hint: "give an Output, an Operation, a name, or an array or object of these" },
  );
}

const notInGraph = (name: string): string => `Tensor ${name} is not an element of this graph.`;

const notFetchable = (name: string, why: string, code: ErrorCode = "INVALID_ARGUMENT"): VarscopeError =>
  new VarscopeError(code, `Argument \`fetch\` = ${name} cannot be interpreted as a Tensor. (${why})`);

/** @throws VarscopeError INVALID_ARGUMENT - a value of another shape or dtype, or a symbolic one */
export function resolveFeeds(graph: Graph, feeds: Feeds): Map<Output, Tensor> {
  const entries = feeds instanceof Map ? feeds.entries() : Object.entries(feeds as Record<string, FeedValue>);
  const out = new Map<Output, Tensor>();
  for (const [key, value] of entries) {
    const output = fedOutput(graph, key as Output | string);
    out.set(output, feedTensor(output, value));
  }
  return out;
}

function fedOutput(graph: Graph, key: Output | string): Output {
  const because = (why: string, code: ErrorCode): VarscopeError =>
    new VarscopeError(code, `Cannot interpret feed_dict key as Tensor: ${why}`);
  if (typeof key !== "string") {
    if (key.graph !== graph) throw because(notInGraph(key.name), "INVALID_ARGUMENT");
    return key;
  }
  try {
    return graph.output(key.includes(":") ? key : `${key}:0`);
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
    throw because(e.what, e.code);
  }
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
