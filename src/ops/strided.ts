/**
 * @file Strided slices and what flows back through them. Start at `index`, Python's x[...]; masks are resolved in kernels/strided.ts.
 */

import { type Shape, type Tensor, toNumbers } from "../base/index.ts";
import {
  attr,
  constantValue,
  defineOp,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import {
  type ResolvedSlice,
  resolveSlice,
  type SliceBounds,
  type SliceMasks,
  stridedSliceGrad as stridedSliceGradTensor,
  stridedSlice as stridedSliceTensor,
} from "./kernels/strided.ts";
import { movable, outShape, unknownDims } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const numbersOf = (x: Spec | OnnxValue): number[] | null => {
  const value = "constant" in x ? x.constant : x.value;
  return value === null ? null : toNumbers(value);
};
/** Beyond every dim: what ONNX's Slice clamps to the end. */
const FAR = 2 ** 31 - 1;

const maskAttrs = {
  begin_mask: attr.int({ default: 0 }),
  end_mask: attr.int({ default: 0 }),
  ellipsis_mask: attr.int({ default: 0 }),
  new_axis_mask: attr.int({ default: 0 }),
  shrink_axis_mask: attr.int({ default: 0 }),
};

const masksOf = (m: SliceMasks): Record<keyof SliceMasks, number> => ({
  begin_mask: m.begin_mask,
  end_mask: m.end_mask,
  ellipsis_mask: m.ellipsis_mask,
  new_axis_mask: m.new_axis_mask,
  shrink_axis_mask: m.shrink_axis_mask,
});

interface BoundSpecs {
  readonly begin: Spec;
  readonly end: Spec;
  readonly strides: Spec;
}

function boundsOf({ begin, end, strides }: BoundSpecs): SliceBounds | null {
  const steps = numbersOf(strides);
  return steps === null ? null : { begin: numbersOf(begin), end: numbersOf(end), strides: steps };
}

/** Python's x[begin:end:stride, ..., newaxis, index]. @see TensorFlow core/ops/array_ops.cc "StridedSlice" */
export const StridedSlice = defineOp("StridedSlice", {
  inputs: { input: "T", begin: "Index", end: "Index", strides: "Index" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Index: attr.type("int16", "int32", "int64"), ...maskAttrs },
  infer: (inputs, attrs) => {
    const bounds = boundsOf(inputs);
    if (bounds === null || inputs.input.shape === null) return [{ shape: null }];
    return [{ shape: resolveSlice(inputs.input.shape, bounds, attrs).shape }];
  },
  partial: (inputs, attrs) => {
    const bounds = boundsOf(inputs);
    const dims = inputs.input.partial;
    if (bounds === null || dims === null || inputs.input.shape?.length !== 1) return null;
    const { axes, layout } = resolveSlice([dims.length], bounds, attrs);
    const { start, step, count } = axes[0]!;
    if (layout.includes("new") || count === null || (axes[0]!.index !== null && bounds.begin === null))
      return null;
    return Array.from({ length: count }, (_, i) => dims[start + i * step] ?? null);
  },
  grad: (g, op, [dy], attrs) => {
    const [x, ...bounds] = op.inputs as [Output, Output, Output, Output];
    const shape = pieces.shape(x, { outType: bounds[0].dtype as "int32" });
    const inputs = [shape, ...bounds].map((b) => constantValue(b) ?? b);
    return [g.add("StridedSliceGrad", [...inputs, dy!], { attrs: masksOf(attrs) }), null, null, null];
  },
  lower: (onnx, inputs, attrs, op) => [lowerStrided(onnx, inputs, attrs, outShape(op, inputs))],
  lowers: ({ T }, { input, strides }) => movable(T) && input.shape !== null && strides.value !== null,
  host: ({ input, begin, end, strides }, attrs) => {
    const bounds = { begin: toNumbers(begin), end: toNumbers(end), strides: toNumbers(strides) };
    return [stridedSliceTensor(input, bounds, attrs)];
  },
});

interface StridedValues {
  readonly input: OnnxValue;
  readonly begin: OnnxValue;
  readonly end: OnnxValue;
  readonly strides: OnnxValue;
}

function lowerStrided(
  onnx: Onnx,
  { input, begin, end, strides }: StridedValues,
  masks: SliceMasks,
  shape: Shape | null,
): OnnxValue {
  const bounds = { begin: numbersOf(begin), end: numbersOf(end), strides: numbersOf(strides)! };
  const slice = resolveSlice(input.shape!, bounds, masks);
  const cut = slice.axes.flatMap((a, i) =>
    a.index === null || (a.beginMasked && a.endMasked && a.step === 1) ? [] : [i],
  );
  const kept = slice.axes.map((a) => a.count);
  let x = input;
  if (cut.length > 0) {
    const rows = cut.map((i) => slice.axes[i]!);
    const starts = startsOf(onnx, rows, begin, bounds.begin);
    const ends = endsOf(onnx, rows, { starts, end }, bounds);
    const steps = onnx.ints(rows.map((a) => (a.shrink ? 1 : a.step)));
    x = onnx.add("Slice", [input, starts, ends, onnx.ints(cut), steps], {}, { shape: kept });
  }
  return finish(onnx, x, slice, shape);
}

const pickInts = (onnx: Onnx, from: OnnxValue, indices: readonly number[]): OnnxValue =>
  onnx.add(
    "Gather",
    [onnx.cast(from, "int64"), onnx.ints(indices)],
    { axis: 0 },
    { dtype: "int64", shape: [indices.length] },
  );

/** `values` where not masked, else `fill`; both known for each row. */
function masked(
  onnx: Onnx,
  masks: readonly boolean[],
  fill: readonly number[],
  values: OnnxValue,
): OnnxValue {
  if (!masks.includes(true)) return values;
  const flags: Tensor = { dtype: "bool", shape: [masks.length], data: Uint8Array.from(masks, Number) };
  return onnx.add(
    "Where",
    [onnx.constant(flags), onnx.ints(fill), values],
    {},
    { dtype: "int64", shape: [masks.length] },
  );
}

type Rows = ResolvedSlice["axes"];

function startsOf(onnx: Onnx, rows: Rows, begin: OnnxValue, known: readonly number[] | null): OnnxValue {
  const fill = rows.map((a) => (a.step > 0 ? 0 : FAR));
  if (known !== null) return onnx.ints(rows.map((a, i) => (a.beginMasked ? fill[i]! : known[a.index!]!)));
  return masked(
    onnx,
    rows.map((a) => a.beginMasked),
    fill,
    pickInts(
      onnx,
      begin,
      rows.map((a) => a.index!),
    ),
  );
}

function endsOf(
  onnx: Onnx,
  rows: Rows,
  at: { starts: OnnxValue; end: OnnxValue },
  bounds: SliceBounds,
): OnnxValue {
  const fill = rows.map((a) => (a.step > 0 ? FAR : -FAR));
  const after = (b: number): number => (b === -1 ? FAR : b + 1);
  const shrinks = rows.some((a) => a.shrink);
  if (bounds.end !== null && (bounds.begin !== null || !shrinks)) {
    const { begin, end } = bounds;
    return onnx.ints(
      rows.map((a, i) => (a.shrink ? after(begin![a.index!]!) : a.endMasked ? fill[i]! : end![a.index!]!)),
    );
  }
  const ends = masked(
    onnx,
    rows.map((a) => a.endMasked),
    fill,
    pickInts(
      onnx,
      at.end,
      rows.map((a) => a.index!),
    ),
  );
  if (!shrinks) return ends;
  // Of an index: the element after it, or the end where the index is -1.
  const out = { dtype: "int64", shape: [rows.length] } as const;
  const next = onnx.add("Add", [at.starts, onnx.scalar(1, "int64")], {}, out);
  const isLast = onnx.add(
    "Equal",
    [next, onnx.scalar(0, "int64")],
    {},
    { dtype: "bool", shape: [rows.length] },
  );
  const safe = onnx.add("Where", [isLast, onnx.scalar(FAR, "int64"), next], {}, out);
  const flags: Tensor = {
    dtype: "bool",
    shape: [rows.length],
    data: Uint8Array.from(rows, (a) => Number(a.shrink)),
  };
  return onnx.add("Where", [onnx.constant(flags), safe, ends], {}, out);
}

/** Drops indexed axes and puts in new ones. */
function finish(onnx: Onnx, x: OnnxValue, slice: ResolvedSlice, shape: Shape | null): OnnxValue {
  const shrunk = slice.axes.flatMap((a, i) => (a.shrink ? [i] : []));
  const added = slice.layout.flatMap((from, i) => (from === "new" ? [i] : []));
  if (shrunk.length === 0 && added.length === 0) return onnx.withShape(x, shape);
  if (shape !== null && unknownDims(shape) <= 1) return onnx.reshape(x, shape);
  const middle = slice.axes.flatMap((a) => (a.shrink ? [] : [a.count]));
  const flat = shrunk.length === 0 ? x : onnx.add("Squeeze", [x, onnx.ints(shrunk)], {}, { shape: middle });
  return added.length === 0 ? flat : onnx.add("Unsqueeze", [flat, onnx.ints(added)], {}, { shape });
}

/** Zeros of a shape with dy where the slice takes from. @see TensorFlow core/ops/array_ops.cc "StridedSliceGrad" */
export const StridedSliceGrad = defineOp("StridedSliceGrad", {
  inputs: { shape: "Index", begin: "Index", end: "Index", strides: "Index", dy: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Index: attr.type("int32", "int64"), ...maskAttrs },
  infer: ({ shape }) => {
    const length = shape.shape?.[0] ?? null;
    return [{ shape: shape.partial ?? (length === null ? null : new Array<null>(length).fill(null)) }];
  },
  grad: (g, op, [dy], attrs) => {
    const bounds = op.inputs.slice(1, 4);
    return [null, null, null, null, g.add("StridedSlice", [dy!, ...bounds], { attrs: masksOf(attrs) })];
  },
  lower: (onnx, inputs, attrs, op) => {
    const bounds = boundsOf(specsOf(inputs))!;
    const shape = outShape(op, inputs)!;
    return [lowerStridedGrad(onnx, inputs.dy, shape, resolveSlice(shape, bounds, attrs))];
  },
  lowers: ({ T, ...masks }, inputs) => {
    const bounds = boundsOf(inputs);
    const shape = inputs.shape.partial;
    if (!movable(T) || bounds?.begin == null || bounds.end === null || shape === null) return false;
    const { axes } = resolveSlice(shape, bounds, masks as unknown as SliceMasks);
    return axes.every((a, i) => isWhole(a) || shape[i] !== null) && unknownDims(shape) <= 1;
  },
  host: ({ shape, begin, end, strides, dy }, attrs) => {
    const bounds = { begin: toNumbers(begin), end: toNumbers(end), strides: toNumbers(strides) };
    return [stridedSliceGradTensor(toNumbers(shape), dy, bounds, attrs)];
  },
});

const specsOf = ({ begin, end, strides }: Omit<StridedValues, "input">): BoundSpecs => {
  const spec = (x: OnnxValue): Spec => ({
    dtype: x.dtype,
    shape: x.shape,
    value: x.constant,
    partial: null,
    handle: null,
  });
  return { begin: spec(begin), end: spec(end), strides: spec(strides) };
};

const isWhole = (a: Rows[number]): boolean =>
  a.index === null || (a.beginMasked && a.endMasked && a.step === 1);

/** dy, axis by axis put back: zeros around it, and between its rows where the stride is not 1. */
function lowerStridedGrad(onnx: Onnx, dy: OnnxValue, shape: Shape, slice: ResolvedSlice): OnnxValue {
  const counts = slice.axes.map((a) => a.count);
  let x = onnx.reshape(dy, counts);
  const before = shape.map(() => 0);
  const after = shape.map(() => 0);
  const now = [...counts];
  slice.axes.forEach((a, i) => {
    const dim = shape[i];
    if (isWhole(a) || dim === null || dim === undefined) return;
    if (a.step === 1 || a.count === 1) {
      before[i] = a.start;
      after[i] = dim - a.start - a.count!;
      return;
    }
    // One row of zeros at the end; a gather then takes it for every row that the slice left out.
    const rows = Array.from({ length: dim }, (_, d) =>
      (d - a.start) % a.step === 0 ? (d - a.start) / a.step : -1,
    );
    const last = onnx.ints(shape.flatMap(() => 0).concat(shape.map((_, k) => (k === i ? 1 : 0))));
    now[i] = a.count! + 1;
    x = onnx.add("Pad", [x, last], {}, { shape: [...now] });
    now[i] = dim;
    const indices = onnx.ints(rows.map((r) => (r < 0 || r >= a.count! ? a.count! : r)));
    x = onnx.add("Gather", [x, indices], { axis: i }, { shape: [...now] });
  });
  if (before.every((n) => n === 0) && after.every((n) => n === 0)) return onnx.withShape(x, shape);
  return onnx.add("Pad", [x, onnx.ints([...before, ...after])], {}, { shape });
}

/** Bounds and masks of `stridedSlice`; masks are 0 by default. */
export interface StridedSliceBounds {
  readonly begin: Input;
  readonly end: Input;
  readonly strides: Input;
  readonly beginMask?: number;
  readonly endMask?: number;
  readonly ellipsisMask?: number;
  readonly newAxisMask?: number;
  readonly shrinkAxisMask?: number;
}

/** tf.strided_slice. Named "StridedSlice", bounds "StridedSlice/begin", "/end", "/strides". */
export function stridedSlice(x: Output, bounds: StridedSliceBounds, name = "StridedSlice"): Output {
  const { begin, end, strides } = bounds;
  const known = [begin, end, strides].find(pieces.isOutput) as Output | undefined;
  return x.graph.add(StridedSlice, [x, begin, end, strides], {
    name,
    attrs: {
      Index: known?.dtype ?? "int32",
      begin_mask: bounds.beginMask ?? 0,
      end_mask: bounds.endMask ?? 0,
      ellipsis_mask: bounds.ellipsisMask ?? 0,
      new_axis_mask: bounds.newAxisMask ?? 0,
      shrink_axis_mask: bounds.shrinkAxisMask ?? 0,
    },
  });
}

/** A range of one axis, as Python's `from:to:step`. */
export interface AxisRange {
  readonly from?: number | Output;
  readonly to?: number | Output;
  readonly step?: number | Output;
}

/** An entry of `index`: one element, a range, "..." for all axes between, null for a new axis. */
export type AxisIndex = number | Output | AxisRange | "..." | null;

/**
 * Python's `x[...]`: `index(x, [0, { from: 1 }, "...", null])` is `x[0, 1:, ..., tf.newaxis]`. Named "strided_slice".
 * @see TensorFlow python/ops/array_ops.py "_slice_helper"
 */
export function index(x: Output, items: readonly AxisIndex[]): Output {
  const g = x.graph;
  const begin: (number | Output)[] = [];
  const end: (number | Output)[] = [];
  const strides: (number | Output)[] = [];
  const masks = { begin: 0, end: 0, ellipsis: 0, newAxis: 0, shrink: 0 };
  items.forEach((item, i) => {
    const flag = 1 << i;
    const whole = item === "..." || item === null;
    if (item === "...") masks.ellipsis |= flag;
    else if (item === null) masks.newAxis |= flag;
    else if (!isRange(item)) masks.shrink |= flag;
    else {
      if (item.from === undefined) masks.begin |= flag;
      if (item.to === undefined) masks.end |= flag;
    }
    const [b, e, s] = whole
      ? [0, 0, 1]
      : isRange(item)
        ? pieces.rangeBounds(g, [item.from ?? null, item.to ?? null, item.step ?? null])
        : [item, next(item), strideOf(item)];
    begin.push(b);
    end.push(e);
    strides.push(s);
  });
  return pieces.cut(g, x, begin, end, { ...masks, strides });
}

const isRange = (item: AxisIndex): item is AxisRange =>
  typeof item === "object" && item !== null && !pieces.isOutput(item);
const strideOf = (i: number | Output): number | Output =>
  pieces.isOutput(i) && i.dtype !== "int32" ? i.graph.constant(1, { dtype: i.dtype }) : 1;
const next = (i: number | Output): number | Output =>
  pieces.isOutput(i) ? i.graph.add("AddV2", [i, 1], { name: "add" }) : i + 1;
