/** @file Slice: a rectangular part of a tensor. Strided slices are in strided.ts. */

import { type Shape, stridesOf, toNumbers, VarscopeError } from "../base/index.ts";
import {
  attr,
  defineOp,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { pickAlong, ramp } from "./kernels/pick.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const numbersOf = (x: Spec | OnnxValue): number[] | null => {
  const value = "constant" in x ? x.constant : x.value;
  return value === null ? null : toNumbers(value);
};
/** Beyond every dim: what ONNX's Slice clamps to the end. */
const FAR = 2 ** 31 - 1;

function slicedShape(input: Spec, begin: Spec, size: Spec): Shape | null {
  const rank = input.shape?.length ?? begin.shape?.[0] ?? size.shape?.[0] ?? null;
  if (rank === null) return null;
  for (const x of [begin, size]) {
    const n: number = x.shape?.[0] ?? rank;
    if (n !== rank)
      throw invalid(`Expected begin and size arguments to be 1-D tensors of size ${rank}, but got ${n}`);
  }
  const starts = numbersOf(begin);
  const sizes = numbersOf(size);
  return Array.from({ length: rank }, (_, i) => {
    const [d, b] = [input.shape?.[i] ?? null, starts?.[i] ?? null];
    const s = sizes === null ? (size.partial?.[i] ?? null) : sizes[i]!;
    if (s === -1) return d === null || b === null ? null : d - b;
    if (d !== null && b !== null && s !== null && b + s > d) {
      throw invalid(`Need value in range [0, ${d}], got ${b + s}: begin ${b} and size ${s} of axis ${i}`);
    }
    return s;
  });
}

/** `size[i]` elements from `begin[i]` on along each axis; -1: to the end. @see TensorFlow core/ops/array_ops.cc "Slice" */
export const Slice = defineOp("Slice", {
  inputs: { input: "T", begin: "Index", size: "Index" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Index: attr.type("int32", "int64") },
  infer: ({ input, begin, size }) => [{ shape: slicedShape(input, begin, size) }],
  partial: ({ input, begin, size }) => {
    const [start, count] = [numbersOf(begin)?.[0], numbersOf(size)?.[0]];
    if (input.partial === null || start === undefined || count === undefined) return null;
    return input.partial.slice(start, count === -1 ? undefined : start + count);
  },
  grad: (g, op, [dy]) => {
    const [x, begin] = op.inputs as [Output, Output];
    const outType = begin.dtype as "int32";
    const rank = pieces.rank(x);
    const sliceSize = pieces.shape(op.output(0), { outType });
    const column = pieces.pack(g, [rank, 1], "int32", "stack");
    const before = pieces.reshape(begin, column);
    const rest = g.add("Sub", [pieces.shape(x, { outType }), sliceSize], { name: "sub" });
    const after = pieces.reshape(g.add("Sub", [rest, begin], { name: "sub" }), column);
    const paddings = g.add("ConcatV2", [[before, after], 1], { name: "concat", attrs: { Tidx: "int32" } });
    return [pieces.setShape(g.add("Pad", [dy!, paddings]), x.shape), null, null];
  },
  lower: (onnx, inputs, _, op) => [lowerSlice(onnx, inputs, outShape(op, inputs))],
  lowers: ({ T }, { input, begin, size }) =>
    movable(T) && input.shape !== null && fits(input.shape, begin, size),
  host: ({ input, begin, size }) => {
    const [starts, sizes] = [toNumbers(begin), toNumbers(size)];
    const strides = stridesOf(input.shape);
    const tables = input.shape.map((d, i) => {
      const start = starts[i]!;
      const count = sizes[i] === -1 ? d - start : sizes[i]!;
      if (start < 0 || start > d) throw invalid(`Expected begin[${i}] in [0, ${d}], but got ${start}`);
      if (count < 0 || start + count > d)
        throw invalid(`Expected size[${i}] in [0, ${d - start}], but got ${count}`);
      return ramp(count, start * strides[i]!, strides[i]!);
    });
    return [pickAlong(input, tables)];
  },
});

/** Whether the slice is sure to be inside, since ONNX would clamp it: by its bounds, or as they follow from other shapes. */
function fits(input: Shape, begin: Spec, size: Spec): boolean {
  const [starts, sizes] = [numbersOf(begin), numbersOf(size)];
  if (starts === null || sizes === null) return begin.partial !== null && size.partial !== null;
  return starts.every((b, i) => input[i] !== null || (b === 0 && sizes[i] === -1));
}

function lowerSlice(
  onnx: Onnx,
  { input, begin, size }: { input: OnnxValue; begin: OnnxValue; size: OnnxValue },
  shape: Shape | null,
): OnnxValue {
  const [starts, sizes] = [numbersOf(begin), numbersOf(size)];
  if (starts !== null && sizes !== null) {
    const cut = starts.flatMap((b, i) =>
      b === 0 && (sizes[i] === -1 || sizes[i] === input.shape?.[i]) ? [] : [i],
    );
    if (cut.length === 0) return input;
    const ends = cut.map((i) => (sizes[i] === -1 ? FAR : starts[i]! + sizes[i]!));
    const bounds = [onnx.ints(cut.map((i) => starts[i]!)), onnx.ints(ends), onnx.ints(cut)];
    return onnx.add("Slice", [input, ...bounds], {}, { shape });
  }
  const rank = shape!.length;
  const [from, count] = [onnx.cast(begin, "int64"), onnx.cast(size, "int64")];
  const out = { dtype: "int64", shape: [rank] } as const;
  const toEnd = onnx.add("Equal", [count, onnx.scalar(-1, "int64")], {}, { dtype: "bool", shape: [rank] });
  const ends = onnx.add(
    "Where",
    [toEnd, onnx.scalar(FAR, "int64"), onnx.add("Add", [from, count], {}, out)],
    {},
    out,
  );
  return onnx.add("Slice", [input, from, ends], {}, { shape });
}

/** `size[i]` elements of `x` from `begin[i]` on; -1: to the end. Named "Slice", bounds "Slice/begin", "Slice/size". */
export const slice = (x: Output, begin: Input, size: Input, name = "Slice"): Output =>
  x.graph.add(Slice, [x, begin, size], { name, attrs: { Index: indexTypeOf([begin, size]) } });

const indexTypeOf = (xs: readonly Input[]): "int32" | "int64" =>
  ((xs.find(pieces.isOutput) as Output | undefined)?.dtype as "int32" | undefined) ?? "int32";
