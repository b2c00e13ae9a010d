/** @file Sequences and one-hot rows: Range, LinSpace, OneHot. */

import {
  type DType,
  getElement,
  isBigInt,
  isFloat,
  setElement,
  sizeOf,
  type Tensor,
  toNumbers,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import { attr, defineOp, type Input, type Output, type Spec } from "../graph/index.ts";
import { outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

function checkScalars(scalars: Readonly<Record<string, Spec>>): void {
  for (const [name, { shape }] of Object.entries(scalars)) {
    if (shape !== null && shape.length !== 0)
      throw invalid(`${name} must be a scalar: Shape must be rank 0 but is rank ${shape.length}`);
  }
}

/** Number of elements of a range. @throws VarscopeError INVALID_ARGUMENT - it would never end */
function countOf(start: Tensor, limit: Tensor, delta: Tensor): number {
  const [a, b, d] = [start, limit, delta].map((t) => getElement(t, 0)) as [number, number, number];
  // Of bigint as of number: the comparisons and zero are the same.
  if (Number(d) === 0) throw invalid(`Requires delta != 0: ${d}`);
  if (d > 0 && a > b) throw invalid(`Requires start <= limit when delta > 0: ${a}/${b}`);
  if (d < 0 && a < b) throw invalid(`Requires start >= limit when delta < 0: ${a}/${b}`);
  if (typeof a !== "bigint") return Math.max(0, Math.ceil(Math.abs((b - a) / d)));
  const [from, to, step] = [a, b, d] as unknown as [bigint, bigint, bigint];
  const span = to > from ? to - from : from - to;
  const size = step > 0n ? step : -step;
  return Number((span + size - 1n) / size);
}

/** start, start + delta, ... before limit. @see TensorFlow core/kernels/sequence_ops.cc "Range" */
export const Range = defineOp("Range", {
  inputs: { start: "Tidx", limit: "Tidx", delta: "Tidx" },
  outputs: { output: "Tidx" },
  attrs: {
    Tidx: attr.typeOr(
      "int32",
      "bfloat16",
      "float16",
      "float32",
      "float64",
      "int8",
      "int16",
      "int32",
      "int64",
      "uint16",
      "uint32",
      "uint64",
    ),
  },
  infer: (inputs) => {
    checkScalars(inputs);
    const { start, limit, delta } = inputs;
    if (start.value === null || limit.value === null || delta.value === null) return [{ shape: [null] }];
    return [{ shape: [countOf(start.value, limit.value, delta.value)] }];
  },
  grad: () => [null, null, null],
  lower: (onnx, inputs, { Tidx }, op) => {
    const out = { dtype: Tidx, shape: outShape(op, inputs) };
    return [onnx.add("Range", [inputs.start, inputs.limit, inputs.delta], {}, out)];
  },
  // A range that leads the other way is an error, which ONNX would not see: so only from 0 up to a dim.
  lowers: ({ Tidx }, { start, limit, delta }) =>
    (Tidx === "int32" || Tidx === "int64") &&
    limit.partial !== null &&
    start.value !== null &&
    toNumbers(start.value)[0] === 0 &&
    delta.value !== null &&
    toNumbers(delta.value)[0]! > 0,
  host: ({ start, limit, delta }, { Tidx }) => {
    const count = countOf(start, limit, delta);
    const out = zeros(Tidx, [count]);
    let value = getElement(start, 0) as number;
    const step = getElement(delta, 0) as number;
    for (let i = 0; i < count; i++) {
      setElement(out, i, value);
      // TF adds up in the dtype itself, so its rounding errors do too.
      value = isFloat(Tidx) ? rounded(value + step, Tidx) : value + step;
    }
    return [out];
  },
});

const SCRATCH = new Map<DType, Tensor>();

function rounded(value: number, dtype: DType): number {
  if (dtype === "float64") return value;
  if (dtype === "float32") return Math.fround(value);
  const cell = SCRATCH.get(dtype) ?? zeros(dtype, []);
  SCRATCH.set(dtype, cell);
  setElement(cell, 0, value);
  return getElement(cell, 0) as number;
}

/** num values from start to stop, both included. @see TensorFlow core/kernels/sequence_ops.cc "LinSpace" */
export const LinSpace = defineOp("LinSpace", {
  inputs: { start: "T", stop: "T", num: "Tidx" },
  outputs: { output: "T" },
  attrs: {
    T: attr.type("bfloat16", "float16", "float32", "float64"),
    Tidx: attr.typeOr("int32", "int32", "int64"),
  },
  infer: (inputs) => {
    checkScalars(inputs);
    const { num } = inputs;
    if (num.value === null) return [{ shape: [null] }];
    const n = toNumbers(num.value)[0]!;
    if (n <= 0) throw invalid(`Requires num > 0: ${n}`);
    return [{ shape: [n] }];
  },
  grad: () => [null, null, null],
  lower: (onnx, { start, stop, num }, { T }) => {
    const n = toNumbers(num.constant!)[0]!;
    if (n === 1) return [onnx.reshape(start, [1])];
    const ramp = onnx.constant({
      dtype: T,
      shape: [n],
      data:
        T === "float64"
          ? Float64Array.from({ length: n }, (_, i) => i)
          : Float32Array.from({ length: n }, (_, i) => i),
    });
    const scalar = { dtype: T, shape: [] } as const;
    const span = onnx.add("Sub", [stop, start], {}, scalar);
    const step = onnx.add("Div", [span, onnx.scalar(n - 1, T)], {}, scalar);
    const out = { dtype: T, shape: [n] } as const;
    const line = onnx.add("Add", [start, onnx.add("Mul", [ramp, step], {}, out)], {}, out);
    const head = onnx.add(
      "Slice",
      [line, onnx.ints([0]), onnx.ints([n - 1])],
      {},
      { dtype: T, shape: [n - 1] },
    );
    return [onnx.add("Concat", [head, onnx.reshape(stop, [1])], { axis: 0 }, out)];
  },
  lowers: ({ T }, { num }) => (T === "float32" || T === "float64") && num.value !== null,
  host: ({ start, stop, num }, { T }) => {
    const n = toNumbers(num)[0]!;
    if (n <= 0) throw invalid(`Requires num > 0: ${n}`);
    const [a, b] = [getElement(start, 0) as number, getElement(stop, 0) as number];
    const out = zeros(T, [n]);
    const step = n === 1 ? 0 : rounded(rounded(b - a, T) / (n - 1), T);
    for (let i = 0; i < n; i++) setElement(out, i, i === n - 1 && n > 1 ? b : a + rounded(step * i, T));
    return [out];
  },
});

function oneHotShape(indices: Spec, depth: number | null, axis: number): (number | null)[] | null {
  if (indices.shape === null) return null;
  const rank = indices.shape.length + 1;
  if (axis < -1 || axis >= rank)
    throw invalid(`Expected axis to be -1 or between [0, ${rank}).  But received: ${axis}`);
  const at = axis === -1 ? rank - 1 : axis;
  return [...indices.shape.slice(0, at), depth, ...indices.shape.slice(at)];
}

/** on_value at each index along a new axis, off_value elsewhere. @see TensorFlow core/ops/array_ops.cc "OneHot" */
export const OneHot = defineOp("OneHot", {
  inputs: { indices: "TI", depth: "int32", on_value: "T", off_value: "T" },
  outputs: { output: "T" },
  attrs: {
    axis: attr.int({ default: -1 }),
    T: attr.type(),
    TI: attr.typeOr("int64", "uint8", "int8", "int32", "int64"),
  },
  infer: ({ indices, depth, on_value, off_value }, { axis }) => {
    checkScalars({ depth, on_value, off_value });
    const n = depth.value === null ? null : toNumbers(depth.value)[0]!;
    if (n !== null && n < 0) throw invalid(`depth must be non-negative, got: ${n}`);
    return [{ shape: oneHotShape(indices, n, axis) }];
  },
  grad: () => [null, null, null, null],
  lower: (onnx, inputs, { axis, T }, op) => {
    const shape = outShape(op, inputs);
    // ONNX counts negative indices from the end, TF leaves their row empty: so the rows are compared with a range instead.
    const wide = onnx.cast(inputs.indices, "int64");
    const depth = onnx.cast(inputs.depth, "int64");
    const range = onnx.add(
      "Range",
      [onnx.scalar(0, "int64"), depth, onnx.scalar(1, "int64")],
      {},
      { dtype: "int64", shape: [null] },
    );
    const rank = shape!.length;
    const at = axis === -1 ? rank - 1 : axis;
    const column = onnx.add(
      "Unsqueeze",
      [wide, onnx.ints([at])],
      {},
      { shape: shape!.map((d, i) => (i === at ? 1 : d)) },
    );
    const trailing = rank - 1 - at;
    const row = trailing === 0 ? range : onnx.reshape(range, [null, ...new Array<number>(trailing).fill(1)]);
    const hit = onnx.add("Equal", [column, row], {}, { dtype: "bool", shape });
    return [onnx.add("Where", [hit, inputs.on_value, inputs.off_value], {}, { dtype: T, shape })];
  },
  lowers: ({ T }, { indices }) => SELECTABLE.has(T) && indices.shape !== null,
  host: ({ indices, depth, on_value, off_value }, { axis, T }) => {
    const n = toNumbers(depth)[0]!;
    if (n < 0) throw invalid(`depth must be non-negative, got: ${n}`);
    const spec: Spec = {
      dtype: indices.dtype,
      shape: indices.shape,
      value: null,
      partial: null,
      handle: null,
    };
    const shape = oneHotShape(spec, n, axis) as number[];
    const out = zeros(T, shape);
    const [on, off] = [getElement(on_value, 0), getElement(off_value, 0)];
    const inner = sizeOf(shape.slice((axis === -1 ? shape.length - 1 : axis) + 1));
    const size = sizeOf(shape);
    const wide = isBigInt(indices.dtype);
    for (let i = 0; i < size; i++) {
      const place = Math.floor(i / (n * inner)) * inner + (i % inner);
      const k = Math.floor(i / inner) % n;
      const found = getElement(indices, place);
      setElement(out, i, (wide ? found === BigInt(k) : found === k) ? on : off);
    }
    return [out];
  },
});

/** Dtypes that ONNX Runtime's Where takes on the CPU. */
const SELECTABLE = new Set<DType>(["float32", "float64", "int32", "int64", "uint8"]);

export interface OneHotOptions {
  /** 1, true for bool */
  readonly onValue?: number | boolean | Output;
  /** 0, false for bool */
  readonly offValue?: number | boolean | Output;
  /** -1: the last */
  readonly axis?: number;
  /** float32, or that of the values where one is an Output */
  readonly dtype?: DType;
  readonly name?: string;
}

/** One-hot rows of `indices`. Named "one_hot". @see TensorFlow python/ops/array_ops.py "one_hot" */
export function oneHot(indices: Output, depth: number | Output, options: OneHotOptions = {}): Output {
  const { onValue, offValue, axis = -1, name = "one_hot" } = options;
  const g = indices.graph;
  const known = [onValue, offValue].find(pieces.isOutput) as Output | undefined;
  const spoken = [onValue, offValue].find((v) => v !== undefined && !pieces.isOutput(v));
  const dtype = options.dtype ?? known?.dtype ?? (typeof spoken === "boolean" ? "bool" : "float32");
  return g.nameScope(name, (scope) => {
    const literal = (x: number | boolean, label?: string): Output =>
      g.constant(dtype === "bool" ? Boolean(x) : Number(x), {
        dtype,
        ...(label === undefined ? {} : { name: label }),
      });
    const given = [onValue, offValue].map((v) => (v === undefined || pieces.isOutput(v) ? v : literal(v)));
    const on = given[0] ?? literal(1, "on_value");
    const off = given[1] ?? literal(0, "off_value");
    return g.add(OneHot, [indices, depth as Input, on, off], { name: scope, attrs: { axis } });
  });
}
