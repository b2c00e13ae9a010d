/**
 * @file Fourier transforms of real numbers as TensorFlow's Python calls and differentiates them: lengths inferred, inputs padded, and
 * gradients that make up for the half of the spectrum that is left out. Start at `rfft`.
 *
 * @see TensorFlow python/ops/signal/fft_ops.py
 */

import { type DType, fromData, isStatic, VarscopeError } from "../../base/index.ts";
import { constantValue, type Graph, type Operation, type Output } from "../../graph/index.ts";
import { add, apply, conj, mul, sub, truediv } from "../operators.ts";
import * as pieces from "../pieces.ts";

const complexOf = (real: DType): DType => (real === "float64" ? "complex128" : "complex64");
/** The dtype of a complex dtype's parts. */
export const realOf = (complex: DType): DType => (complex === "complex128" ? "float64" : "float32");

/** Elements of the innermost `rank` dims. */
export function innerSize(x: Output, rank: number): Output {
  const dims = pieces.part(x.graph, pieces.shape(x), -rank, null);
  return apply("Prod", dims, x.graph.constant([0], { dtype: "int32" }));
}

const floorMod = (g: Graph, x: Output | number, y: number): Output =>
  g.add("FloorMod", [x, y], { name: "mod", attrs: { T: "int32" } });
const last = (x: Output): Output => pieces.cut(x.graph, x, [-1], [0], { shrink: 1 });

/** Numbers of an int32 vector that follow from constants. */
function known(x: Output): number[] | null {
  const value = constantValue(x);
  return value === null ? null : Array.from(value.data as Int32Array, Number);
}

/** The innermost dims of `x`, where all are known. */
function innerDims(x: Output, rank: number): readonly number[] | null {
  const dims = x.shape?.slice(-rank) ?? null;
  return isStatic(dims) ? dims : null;
}

/** Lengths of a transform: those given, or the dims of its input. */
function lengths(
  x: Output,
  rank: number,
  given: readonly number[] | Output | undefined,
  inverse: boolean,
): Output {
  const g = x.graph;
  if (given !== undefined) return pieces.isOutput(given) ? given : g.constant(given, { dtype: "int32" });
  const dims = innerDims(x, rank);
  if (dims !== null) {
    const full = dims.map((d, i) => (inverse && i === rank - 1 ? Math.max(0, 2 * (d - 1)) : d));
    return g.constant(full, { dtype: "int32" });
  }
  const inner = pieces.part(g, pieces.shape(x), -rank, null);
  if (!inverse) return inner;
  const parts = g.addOp("Unpack", [inner], { name: "unstack", attrs: { num: rank, axis: 0 } }).outputs;
  const doubled = mul(2, sub(parts[rank - 1]!, 1));
  const end = g.add("Maximum", [0, doubled], { name: "Maximum" });
  return pieces.pack(g, [...parts.slice(0, -1), end], "int32", "stack");
}

/** `x` with zeros behind, up to the lengths of its transform. */
function padded(x: Output, rank: number, length: Output, inverse: boolean): Output {
  if (x.shape?.includes(0)) return x;
  const dims = innerDims(x, rank);
  const wanted = known(length)?.map((n, i) => (inverse && i === rank - 1 ? Math.floor(n / 2) + 1 : n));
  if (wanted !== undefined && dims !== null) {
    const inner = wanted.map((n, i) => [0, Math.max(n - dims[i]!, 0)]);
    if (inner.every(([, behind]) => behind === 0)) return x;
    const outer = x.shape!.slice(0, -rank).map(() => [0, 0]);
    return x.graph.add("Pad", [x, [...outer, ...inner]]);
  }
  return paddedAtRun(x, rank, length, inverse);
}

/** The same where dims are known at run time alone. */
function paddedAtRun(x: Output, rank: number, length: Output, inverse: boolean): Output {
  const g = x.graph;
  const inputRank = pieces.rank(x);
  const dims = pieces.part(g, pieces.shape(x), -rank, null);
  const outerDims = g.add("Maximum", [0, sub(inputRank, rank)], { name: "Maximum" });
  const outer = pieces.zeros(g, [outerDims], { dtype: "int32" });
  let wanted = length;
  if (inverse) {
    const front = pieces.part(g, length, null, -1);
    const half = g.add("FloorDiv", [pieces.part(g, length, -1, null), 2], { name: "floordiv" });
    wanted = pieces.concat([front, add(half, 1)], 0);
  }
  const inner = g.add("Maximum", [0, sub(wanted, dims)], { name: "Maximum" });
  const behind = pieces.concat([outer, inner], 0);
  const both = g.add("Pack", [[pieces.zerosLike(behind), behind]], { name: "stack", attrs: { axis: 1 } });
  return g.add("Pad", [x, both]);
}

export interface RealTransformOptions {
  /** int32 [rank]: input dims are cut or padded with zeros to these; the dims of the input where left out */
  readonly fftLength?: readonly number[] | Output;
  readonly name?: string;
}

/** A call of Python's wrapper around the op. */
function call(
  type: string,
  rank: number,
  x: Output,
  inverse: boolean,
  options: RealTransformOptions,
): Output {
  const allowed = inverse ? ["complex64", "complex128"] : ["float32", "float64"];
  if (!allowed.includes(x.dtype)) {
    const what = `${inverse ? "IRFFT" : "RFFT"} requires ${allowed.map((d) => `tf.${d}`).join(" or ")} inputs`;
    throw new VarscopeError("INVALID_ARGUMENT", `${what}, got: ${x.dtype}`, { at: x.name });
  }
  const attrs = inverse
    ? { Treal: realOf(x.dtype), Tcomplex: x.dtype }
    : { Treal: x.dtype, Tcomplex: complexOf(x.dtype) };
  return x.graph.nameScope(options.name ?? type.toLowerCase(), (scope) => {
    const length = lengths(x, rank, options.fftLength, inverse);
    const input = padded(x, rank, length, inverse);
    return x.graph.add(type, [input, known(length) ?? length], { name: scope, attrs });
  });
}

const real =
  (type: string, rank: number) =>
  (x: Output, options: RealTransformOptions = {}): Output =>
    call(type, rank, x, type.startsWith("I"), options);

/** Fourier transform over the last dim of real numbers [..., n]: complex [..., n/2 + 1]. Named "rfft". */
export const rfft = real("RFFT", 1);
/** Real numbers [..., 2·(n - 1)], or of `fftLength`, of the half of a spectrum [..., n]. Named "irfft". */
export const irfft = real("IRFFT", 1);
/** As `rfft`, over the last two dims. Named "rfft2d". */
export const rfft2d = real("RFFT2D", 2);
/** As `irfft`, over the last two dims. Named "irfft2d". */
export const irfft2d = real("IRFFT2D", 2);
/** As `rfft`, over the last three dims. Named "rfft3d". */
export const rfft3d = real("RFFT3D", 3);
/** As `irfft`, over the last three dims. Named "irfft3d". */
export const irfft3d = real("IRFFT3D", 3);

/** `x[..., begin:end]`; end 0: to the end. */
const columns = (x: Output, begin: number, end: number): Output =>
  pieces.cut(x.graph, x, [0, begin], [0, end], { ellipsis: 1, end: end === 0 ? 2 : 0, strides: [1, 1] });

/** 1, -1, 1, -1, ... */
function alternating(count: Output, dtype: DType): Output {
  const odd = floorMod(count.graph, pieces.range(count.graph, 0, count), 2);
  return pieces.cast(sub(1, mul(2, odd)), dtype);
}

/** e^(-2πi·jk/n) [n, n]. */
function fourierMatrix(n: Output, dtype: DType): Output {
  const g = n.graph;
  const row = g.add("ExpandDims", [pieces.range(g, 0, n), 0]);
  const a = g.nameScope("Tile", (scope) =>
    g.add("Tile", [row, pieces.pack(g, [n, 1], "int32", "multiples")], { name: scope }),
  );
  const product = mul(a, pieces.transpose(a, [1, 0]));
  const parts = dtype === "complex128" ? new Float64Array(2) : new Float32Array(2);
  parts[1] = -2 * Math.PI;
  const turn = fromData(dtype, [], parts);
  return apply("Exp", truediv(mul(turn, pieces.cast(product, dtype)), pieces.cast(n, dtype)));
}

/** A matrix repeated over the outer dims of `x`. */
function repeated(matrix: Output, x: Output): Output {
  const g = x.graph;
  const ones = pieces.ones(g, [sub(pieces.rank(x), 2)], { dtype: "int32" });
  const wide = pieces.reshape(matrix, pieces.concat([ones, pieces.shape(matrix)], 0));
  const outer = pieces.part(g, pieces.shape(x), null, -2);
  const multiples = g.add("ConcatV2", [[outer, [1, 1]], 0], { name: "concat" });
  return g.add("Tile", [wide, multiples]);
}

/** What the half of the spectrum that is left out adds: terms of its first and last column. */
function extraTerms(dy: Output, inputShape: Output, isEven: Output, rank: number): Output {
  const g = dy.graph;
  const y0 = columns(dy, 0, 1);
  if (rank === 1) {
    const ym = mul(isEven, columns(dy, -1, 0));
    return add(y0, mul(ym, alternating(last(inputShape), dy.dtype)));
  }
  const height = pieces.cut(g, inputShape, [-2], [-1], { shrink: 1 });
  const matrix = repeated(fourierMatrix(height, dy.dtype), y0);
  const product = (y: Output): Output => g.add("BatchMatMulV2", [matrix, conj(y)], { name: "MatMul" });
  const first = product(y0);
  const ym = product(columns(dy, -1, 0));
  const width = last(inputShape);
  const ones = pieces.ones(g, [sub(pieces.rank(dy), 1)], { dtype: "int32" });
  const multiples = g.nameScope("concat", (scope) =>
    g.add("ConcatV2", [[ones, pieces.pack(g, [width], "int32", "values_1")], 0], { name: scope }),
  );
  const tiled = mul(g.add("Tile", [ym, multiples]), alternating(width, dy.dtype));
  return add(first, mul(isEven, tiled));
}

/** The gradient of RFFT and RFFT2D. @see TensorFlow python/ops/signal/fft_ops.py "_rfft_grad_helper" */
export const transformGradient =
  (rank: 1 | 2) =>
  (g: Graph, op: Operation, dy: Output): Output => {
    const [x, length] = op.inputs as [Output, Output];
    const inputShape = pieces.shape(x);
    const isEven = pieces.cast(sub(1, floorMod(g, last(length), 2)), dy.dtype);
    const extra = extraTerms(dy, inputShape, isEven, rank);
    const size = pieces.cast(innerSize(x, rank), realOf(dy.dtype));
    const inverse = (rank === 1 ? irfft : irfft2d)(dy, { fftLength: length });
    const scaled = mul(inverse, size);
    const part = g.add("Real", [extra], { attrs: { Tout: realOf(dy.dtype) } });
    return mul(0.5, add(scaled, part));
  };

/** The gradient of IRFFT and IRFFT2D. @see TensorFlow python/ops/signal/fft_ops.py "_irfft_grad_helper" */
export const inverseGradient =
  (rank: 1 | 2) =>
  (g: Graph, op: Operation, dy: Output): Output => {
    const [x, length] = op.inputs as [Output, Output];
    const numbers = known(length);
    const count = numbers === null ? last(length) : numbers[rank - 1]!;
    const isOdd = floorMod(g, count, 2);
    const width = last(pieces.shape(x));
    const twos = mul(2, pieces.ones(g, [add(sub(width, 2), isOdd)], { dtype: dy.dtype }));
    const end = pieces.ones(g, [sub(1, isOdd)], { dtype: dy.dtype });
    const mask = g.add("ConcatV2", [[[1], twos, end], 0], { name: "concat" });
    const share = apply("Reciprocal", pieces.cast(innerSize(dy, rank), dy.dtype));
    const spectrum = (rank === 1 ? rfft : rfft2d)(dy, { fftLength: numbers ?? length });
    return mul(spectrum, pieces.cast(mul(share, mask), complexOf(dy.dtype)));
  };
