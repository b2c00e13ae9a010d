/**
 * @file Small sub-graphs that TensorFlow's Python functions build, in gradients too, with their names and short cuts: what is known
 * while building becomes a Const. All families may use them; ops are named as strings. Start at `shape`.
 *
 * @see TensorFlow python/ops/array_ops.py
 */

import { type DType, isStatic, type Shape, sizeOf } from "../base/index.ts";
import { densify, type Grad, type Graph, type Input, isIndexedSlices, Output } from "../graph/index.ts";

type IndexType = "int32" | "int64";
/** A shape: static dims, an int vector, or dims of which some are outputs. */
export type ShapeInput = readonly (number | Output)[] | Output;

/** Shape of `x`: a Const where it is known, else a Shape op. Named "Shape". */
export function shape(
  x: Output,
  options: { readonly outType?: IndexType; readonly name?: string } = {},
): Output {
  const { outType = "int32", name = "Shape" } = options;
  if (isStatic(x.shape)) return x.graph.constant([...x.shape], { dtype: outType, name });
  return x.graph.add("Shape", [x], { name, attrs: { out_type: outType } });
}

/** Shapes of several tensors by one op. */
export function shapeN(
  xs: readonly Output[],
  options: { readonly outType?: IndexType; readonly name?: string } = {},
): Output[] {
  const { outType = "int32", name = "ShapeN" } = options;
  return xs.length === 0
    ? []
    : xs[0]!.graph.addOp("ShapeN", [xs], { name, attrs: { out_type: outType } }).outputs;
}

/** Number of elements of `x`, int scalar: a Const where it is known. Named "Size". */
export function size(
  x: Output,
  options: { readonly outType?: IndexType; readonly name?: string } = {},
): Output {
  const { outType = "int32", name = "Size" } = options;
  if (isStatic(x.shape)) return x.graph.constant(sizeOf(x.shape), { dtype: outType, name });
  if (x.shape?.includes(0)) return x.graph.constant(0, { dtype: outType, name });
  return x.graph.add("Size", [x], { name, attrs: { out_type: outType } });
}

/** Number of dims of `x`, int32 scalar: a Const where it is known. Named "Rank". */
export function rank(x: Output, name = "Rank"): Output {
  if (x.shape !== null) return x.graph.constant(x.shape.length, { dtype: "int32", name });
  return x.graph.add("Rank", [x], { name });
}

export const isOutput = (x: unknown): x is Output => x instanceof Output;

/** The tensor itself, or rows at indices added up to the dense tensor that they stand for. */
export const dense = (grad: Grad): Output => (isIndexedSlices(grad) ? densify(grad) : grad);

/** `x[index]` as Python writes it: a StridedSlice that drops the first axis. Named "strided_slice". */
export const element = (g: Graph, x: Output, index: number): Output =>
  cut(g, x, [index], [index + 1], { shrink: 1 });

/** `x[begin:]`, `x[:end]` along the first axis. Named "strided_slice". */
export function part(
  g: Graph,
  x: Output,
  begin: number | Output | null,
  end: number | Output | null,
): Output {
  const [b, e, s] = rangeBounds(g, [begin, end, null]);
  return cut(g, x, [b], [e], { begin: begin === null ? 1 : 0, end: end === null ? 1 : 0, strides: [s] });
}

/** Begin, end and stride of a Python range; what is left out is a Const of its own where another bound is an Output. */
export function rangeBounds(
  g: Graph,
  bounds: readonly [number | Output | null, number | Output | null, number | Output | null],
): [number | Output, number | Output, number | Output] {
  const dtypes = bounds.filter(isOutput).map((x) => x.dtype);
  const dtype = dtypes.find((d) => d === "int64") ?? dtypes.find((d) => d === "int32") ?? dtypes[0];
  const [b, e, s] = bounds.map((x, i) => {
    const fallback = i === 2 ? 1 : 0;
    return x ?? (dtype === undefined ? fallback : g.constant(fallback, { dtype }));
  });
  return [b!, e!, s!];
}

interface Masks {
  readonly begin?: number;
  readonly end?: number;
  readonly ellipsis?: number;
  readonly newAxis?: number;
  readonly shrink?: number;
  readonly strides?: readonly (number | Output)[];
  readonly name?: string;
}

/** A StridedSlice with its bounds packed as Python's `__getitem__` packs them: "strided_slice/stack", "_1", "_2". */
export function cut(
  g: Graph,
  x: Output,
  begin: readonly (number | Output)[],
  end: readonly (number | Output)[],
  masks: Masks,
): Output {
  return g.nameScope(masks.name ?? "strided_slice", (scope) => {
    const bounds = [begin, end, masks.strides ?? begin.map(() => 1)];
    const packed = bounds.map((values) => stack(g, values, "stack"));
    const wide = packed.some((p) => p.dtype === "int64");
    const [b, e, s] = packed.map((p) => (wide ? cast(p, "int64") : p));
    return g.add("StridedSlice", [x, b!, e!, s!], {
      name: scope,
      attrs: {
        begin_mask: masks.begin ?? 0,
        end_mask: masks.end ?? 0,
        ellipsis_mask: masks.ellipsis ?? 0,
        new_axis_mask: masks.newAxis ?? 0,
        shrink_axis_mask: masks.shrink ?? 0,
      },
    });
  });
}

/** int scalars as a vector: a Const where all are numbers, else a Pack whose numbers are Consts "<name>/0", ... */
export function stack(g: Graph, values: readonly (number | Output)[], name = "stack"): Output {
  const first = values.find((v) => v instanceof Output) as Output | undefined;
  const dtype = first?.dtype ?? "int32";
  if (first === undefined) return g.constant(values as number[], { dtype, name });
  return pack(g, values, dtype, name);
}

/** A Pack of scalars; its numbers become Consts "<name>/<position>". */
export function pack(g: Graph, values: readonly (number | Output)[], dtype: DType, name: string): Output {
  return g.nameScope(name, (scope) => {
    const items = values.map((v, i) => (v instanceof Output ? v : g.constant(v, { dtype, name: String(i) })));
    return g.add("Pack", [items], { name: scope });
  });
}

/** Dims as Python's op functions convert a `dims` argument: Const "<op>/<label>", or Pack "<op>/packed". For use inside the op's scope. */
function dimsInput(g: Graph, dims: ShapeInput, label: string): Output {
  if (dims instanceof Output) return dims;
  const numbers = dims.every((d) => typeof d === "number");
  return numbers
    ? g.constant(dims as number[], { dtype: "int32", name: label })
    : pack(g, dims, firstType(dims), "packed");
}

const firstType = (dims: readonly (number | Output)[]): DType =>
  (dims.find((d) => d instanceof Output) as Output).dtype;

/** `x` under another shape; -1 is computed. Named "Reshape", dims "Reshape/shape". */
export function reshape(x: Output, dims: ShapeInput, name = "Reshape"): Output {
  const { graph } = x;
  if (dims instanceof Output || dims.every((d) => typeof d === "number")) {
    return graph.add("Reshape", [x, dims as Input], { name });
  }
  return graph.nameScope(name, (scope) =>
    graph.add("Reshape", [x, pack(graph, dims, firstType(dims), "shape")], { name: scope }),
  );
}

/** Below this many elements zeros and ones are a Const. @see array_ops.py _constant_if_small */
const SMALL = 1000;

function constantOrFill(g: Graph, value: 0 | 1, dims: ShapeInput, dtype: DType, name: string): Output {
  const element = dtype === "bool" ? value === 1 : dtype === "string" ? "" : value;
  if (
    !(dims instanceof Output) &&
    dims.every((d) => typeof d === "number") &&
    sizeOf(dims as number[]) < SMALL
  ) {
    return g.constant(element, { dtype, shape: dims as number[], name });
  }
  return g.nameScope(name, (scope) => {
    let shape = dimsInput(g, dims, "shape_as_tensor");
    if (shape.shape === null || shape.shape.length === 0) shape = reshape(shape, [-1]);
    return g.add("Fill", [shape, g.constant(element, { dtype })], { name: scope });
  });
}

/** Zeros (false, empty text): a Const below 1000 elements, else a Fill. Named "zeros". */
export const zeros = (
  g: Graph,
  dims: ShapeInput,
  options: { readonly dtype?: DType; readonly name?: string } = {},
): Output => constantOrFill(g, 0, dims, options.dtype ?? "float32", options.name ?? "zeros");

/** Ones (true): a Const below 1000 elements, else a Fill. Named "ones". */
export const ones = (
  g: Graph,
  dims: ShapeInput,
  options: { readonly dtype?: DType; readonly name?: string } = {},
): Output => constantOrFill(g, 1, dims, options.dtype ?? "float32", options.name ?? "ones");

interface LikeOptions {
  readonly dtype?: DType;
  readonly name?: string;
}

/** Zeros of the shape (and dtype) of `x`: Const or Fill where the shape is known, else ZerosLike. Named "zeros_like". */
export function zerosLike(x: Output, options: LikeOptions = {}): Output {
  const { dtype = x.dtype, name = "zeros_like" } = options;
  const g = x.graph;
  if (isStatic(x.shape) && x.dtype !== "variant") return constantOrFill(g, 0, x.shape, dtype, name);
  if (dtype === x.dtype) return g.add("ZerosLike", [x], { name });
  return g.nameScope(name, (scope) => constantOrFill(g, 0, shape(x), dtype, scope));
}

/**
 * Ones of the shape (and dtype) of `x`, by a Fill: as tf.compat.v1.ones_like, which gradients use too. Named "ones_like".
 */
export function onesLike(x: Output, options: LikeOptions = {}): Output {
  const { dtype = x.dtype, name = "ones_like" } = options;
  const g = x.graph;
  return g.nameScope(name, (scope) => {
    const dims = isStatic(x.shape)
      ? g.constant([...x.shape], { dtype: "int32", name: "Shape/shape_as_tensor" })
      : g.add("Shape", [x]);
    return setShape(constantOrFill(g, 1, dims, dtype, scope), x.shape);
  });
}

/** `x` with its axes permuted; without `perm` reversed. Named "transpose", perm "transpose/perm". */
export function transpose(x: Output, perm?: readonly number[] | Output, name = "transpose"): Output {
  const g = x.graph;
  const attrs = { Tperm: perm instanceof Output ? perm.dtype : "int32" } as const;
  if (perm !== undefined) return g.add("Transpose", [x, perm as Input], { name, attrs });
  if (x.shape !== null) return g.add("Transpose", [x, [...x.shape.keys()].reverse()], { name, attrs });
  return g.nameScope(name, (scope) => {
    const last = g.add("Sub", [g.add("Rank", [x]), 1], { name: "sub" });
    const order = g.add("Range", [last, -1, -1], { attrs: { Tidx: "int32" } });
    return g.add("Transpose", [x, order], { name: scope, attrs });
  });
}

/** start, start + delta, ... below limit. Named "range", numbers "range/start", "range/limit", "range/delta". */
export function range(
  g: Graph,
  start: number | Output,
  limit: number | Output,
  delta: number | Output = 1,
  options: { readonly dtype?: DType; readonly name?: string } = {},
): Output {
  const known = [start, limit, delta].find((x) => x instanceof Output) as Output | undefined;
  const Tidx = options.dtype ?? known?.dtype ?? "int32";
  return g.add("Range", [start, limit, delta], { name: options.name ?? "range", attrs: { Tidx } });
}

/** `x` as `dtype`; itself where it is that already. Named "Cast". */
export const cast = (x: Output, dtype: DType, name = "Cast"): Output =>
  x.dtype === dtype ? x : x.graph.add("Cast", [x], { name, attrs: { DstT: dtype } });

/** Puts `x` next to each other along `axis`. Named "concat", axis "concat/axis". */
export function concat(xs: readonly Output[], axis: number | Output, name = "concat"): Output {
  const { graph } = xs[0]!;
  if (xs.length > 1) return graph.add("ConcatV2", [xs, axis], { name });
  // As Python: the axis is still made, and the one input passes through under the scope's name.
  return graph.nameScope(name, () => {
    if (!(axis instanceof Output)) graph.constant(axis, { dtype: "int32", name: "concat_dim" });
    return graph.add("Identity", [xs[0]!], { name: "concat" });
  });
}

/** The static shape known of an output, narrowed. TF's set_shape. */
export function setShape(x: Output, known: Shape | null): Output {
  if (known === null) return x;
  x.shape = x.shape === null ? known : x.shape.map((d, i) => d ?? known[i] ?? null);
  return x;
}
