/**
 * @file Space moved into channels or into the batch, and back: blocks of an image become channels (SpaceToDepth) or
 * images (SpaceToBatchND, by which dilated convolutions become plain ones).
 *
 * @see TensorFlow core/ops/array_ops.cc "SpaceToBatchND", "SpaceToDepth"; python/ops/array_grad.py
 */

import { isStatic, type Shape, type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import {
  attr,
  defineOp,
  type Graph,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { padded, permuted } from "./kernels/rearrange.ts";
import { movable } from "./onnx-facts.ts";
import { axesOf, imageShape, invalid, needRank } from "./window.ts";

/** A rearrangement: split the axes as `view`, permute, join as `shape`. Dims may be unknown while inferring. */
interface Rearrangement {
  readonly view: Shape;
  readonly perm: readonly number[];
  readonly shape: Shape;
}

const times = (a: number | null, b: number): number | null => (a === null ? null : a * b);

/** @throws VarscopeError INVALID_ARGUMENT - it leaves a rest */
function divided(a: number | null, b: number): number | null {
  if (a === null) return null;
  if (a % b !== 0) throw invalid(`Dimension size must be evenly divisible by ${b} but is ${a}`);
  return a / b;
}

interface DepthAttrs {
  readonly block_size: number;
  readonly data_format: string;
}

function imageDims(shape: Shape | null, format: string) {
  needRank(shape, 4);
  if (format === "NCHW_VECT_C") throw new VarscopeError("UNIMPLEMENTED", "NCHW_VECT_C is not supported");
  const { c, h, w } = axesOf(format);
  const dims = shape ?? [null, null, null, null];
  return { n: dims[0]!, h: dims[h]!, w: dims[w]!, c: dims[c]! };
}

function toDepth(image: Shape | null, { block_size: b, data_format: format }: DepthAttrs): Rearrangement {
  const { n, h, w, c } = imageDims(image, format);
  const [rows, columns] = [divided(h, b), divided(w, b)];
  const shape = imageShape(format, n, rows, columns, times(c, b * b));
  return format === "NHWC"
    ? { view: [n, rows, b, columns, b, c], perm: [0, 1, 3, 2, 4, 5], shape }
    : { view: [n, c, rows, b, columns, b], perm: [0, 3, 5, 1, 2, 4], shape };
}

function toSpace(image: Shape | null, { block_size: b, data_format: format }: DepthAttrs): Rearrangement {
  const { n, h, w, c } = imageDims(image, format);
  const depth = divided(c, b * b);
  const shape = imageShape(format, n, times(h, b), times(w, b), depth);
  return format === "NHWC"
    ? { view: [n, h, w, b, b, depth], perm: [0, 1, 3, 2, 4, 5], shape }
    : { view: [n, b, b, depth, h, w], perm: [0, 3, 4, 1, 5, 2], shape };
}

const rearranged = (t: Tensor, r: Rearrangement): Tensor =>
  permuted(t, r.view as number[], r.perm, r.shape as number[]);

const lowered = (onnx: Onnx, x: OnnxValue, r: Rearrangement): OnnxValue =>
  onnx.reshape(onnx.transpose(onnx.reshape(x, r.view), r.perm), r.shape);

/** All dims but the batch are known. */
const knownButBatch = (shape: Shape | null): boolean => shape !== null && isStatic(shape.slice(1));

const depthAttrs = {
  T: attr.type(),
  block_size: attr.int({ min: 2 }),
  data_format: attr.string({ default: "NHWC", allowed: ["NHWC", "NCHW", "NCHW_VECT_C"] }),
};

const oppositeDepth = (g: Graph, op: Operation, dy: Output, type: string): Output[] => {
  const { block_size, data_format } = op.attrs;
  return [g.add(type, [dy], { attrs: { block_size: block_size!, data_format: data_format! } })];
};

/** Blocks of block_size x block_size pixels become the channels of one. */
export const SpaceToDepth = defineOp("SpaceToDepth", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: depthAttrs,
  infer: ({ input }, attrs) => [{ shape: toDepth(input.shape, attrs).shape }],
  grad: (g, op, [dy]) => oppositeDepth(g, op, dy!, "DepthToSpace"),
  lowers: ({ T }, { input }) => movable(T) && knownButBatch(input.shape),
  lower: (onnx, { input }, attrs) => [lowered(onnx, input, toDepth(input.shape, attrs))],
  host: ({ input }, attrs) => [rearranged(input, toDepth(input.shape, attrs))],
});

/** Channels become blocks of block_size x block_size pixels. */
export const DepthToSpace = defineOp("DepthToSpace", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: depthAttrs,
  infer: ({ input }, attrs) => [{ shape: toSpace(input.shape, attrs).shape }],
  grad: (g, op, [dy]) => oppositeDepth(g, op, dy!, "SpaceToDepth"),
  lowers: ({ T }, { input }) => movable(T) && knownButBatch(input.shape),
  lower: (onnx, { input }, attrs) => [lowered(onnx, input, toSpace(input.shape, attrs))],
  host: ({ input }, attrs) => [rearranged(input, toSpace(input.shape, attrs))],
});

/** Block sizes and pads (or crops) of a batch op; null where they are not known. */
interface Blocks {
  readonly count: number;
  readonly block: readonly number[] | null;
  readonly pads: readonly (readonly [number, number])[] | null;
}

/** @throws VarscopeError INVALID_ARGUMENT - sizes below 1, negative pads, ranks that do not fit */
function blocksOf(block: Spec, pads: Spec, input: Shape | null, word: "paddings" | "crops"): Blocks | null {
  needRank(block.shape, 1);
  needRank(pads.shape, 2);
  const count = block.shape?.[0] ?? pads.shape?.[0] ?? null;
  if (count === null) return null;
  if (input !== null && input.length < count + 1) {
    throw invalid(`Shape must be at least rank ${count + 1} but is rank ${input.length}`);
  }
  const sizes = block.value === null ? null : toNumbers(block.value);
  if (sizes?.some((b) => b < 1)) throw invalid("block_shape must be positive");
  const flat = pads.value === null ? null : toNumbers(pads.value);
  if (flat?.some((p) => p < 0)) throw invalid(`${word} cannot be negative`);
  const pairs = flat && Array.from({ length: count }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!] as const);
  return { count, block: sizes, pads: pairs };
}

const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);

interface Known {
  readonly block: readonly number[];
  readonly pads: readonly (readonly [number, number])[];
}

const withRest = (pads: Known["pads"], rank: number): (readonly [number, number])[] =>
  Array.from({ length: rank }, (_, i) => pads[i - 1] ?? [0, 0]);

/** After padding: [n, s/b, b, ..., rest] -> [b..., n, s/b..., rest]. */
function intoBatch(shape: Shape, { block, pads }: Known): Rearrangement {
  const m = block.length;
  const rest = shape.slice(m + 1);
  const parts = block.map((b, i) => {
    const size = shape[i + 1]!;
    return divided(size === null ? null : size + pads[i]![0] + pads[i]![1], b);
  });
  const view = [shape[0]!, ...parts.flatMap((p, i) => [p, block[i]!]), ...rest];
  const inner = block.map((_, i) => 2 * i + 2);
  const perm = [...inner, 0, ...block.map((_, i) => 2 * i + 1), ...rest.map((_, i) => 2 * m + 1 + i)];
  return { view, perm, shape: [times(shape[0]!, product(block)), ...parts, ...rest] };
}

/** Before cropping: [b..., n, s..., rest] -> [n, s, b, ..., rest]. */
function outOfBatch(shape: Shape, { block }: Pick<Known, "block">): Rearrangement {
  const m = block.length;
  const rest = shape.slice(m + 1);
  const batch = divided(shape[0]!, product(block));
  const sizes = block.map((b, i) => times(shape[i + 1]!, b));
  const perm = [m, ...block.flatMap((_, i) => [m + 1 + i, i]), ...rest.map((_, i) => 2 * m + 1 + i)];
  return { view: [...block, batch, ...shape.slice(1)], perm, shape: [batch, ...sizes, ...rest] };
}

function intoBatchShape(input: Shape | null, blocks: Blocks | null): Shape | null {
  if (input === null || blocks === null) return null;
  const { count, block, pads } = blocks;
  if (block !== null && pads !== null) return intoBatch(input, { block, pads }).shape;
  const batch = block === null ? null : times(input[0]!, product(block));
  return [batch, ...new Array<null>(count).fill(null), ...input.slice(count + 1)];
}

function outOfBatchShape(input: Shape | null, blocks: Blocks | null): Shape | null {
  if (input === null || blocks === null) return null;
  const { count, block, pads } = blocks;
  if (block === null) return [null, ...new Array<null>(count).fill(null), ...input.slice(count + 1)];
  const whole = outOfBatch(input, { block }).shape;
  return whole.map((d, i) => {
    if (i === 0 || i > count) return d;
    if (d === null || pads === null) return null;
    const cut = pads[i - 1]![0] + pads[i - 1]![1];
    if (d < cut) throw invalid(`Negative dimension size caused by subtracting ${cut} from ${d}`);
    return d - cut;
  });
}

const knownOf = (block: Tensor, pads: Tensor): Known => {
  const flat = toNumbers(pads);
  const sizes = toNumbers(block);
  return { block: sizes, pads: sizes.map((_, i) => [flat[2 * i]!, flat[2 * i + 1]!] as const) };
};

const specOf = (t: Tensor): Spec => ({
  dtype: t.dtype,
  shape: t.shape,
  value: t,
  partial: null,
  handle: null,
});

const indexType = attr.typeOr("int32", "int32", "int64");

const lowersBatch = (T: Spec["dtype"], input: Spec, block: Spec, pads: Spec): boolean =>
  movable(T) && knownButBatch(input.shape) && block.value !== null && pads.value !== null;

/**
 * Zero-pads space, then moves every block_shape-th pixel into an image of its own: the batch grows by their product.
 */
export const SpaceToBatchND = defineOp("SpaceToBatchND", {
  inputs: { input: "T", block_shape: "Tblock_shape", paddings: "Tpaddings" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tblock_shape: indexType, Tpaddings: indexType },
  infer: ({ input, block_shape, paddings }) => [
    { shape: intoBatchShape(input.shape, blocksOf(block_shape, paddings, input.shape, "paddings")) },
  ],
  grad: (g, op, [dy]) => [g.add("BatchToSpaceND", [dy!, op.inputs[1]!, op.inputs[2]!]), null, null],
  lowers: ({ T }, { input, block_shape, paddings }) => lowersBatch(T, input, block_shape, paddings),
  lower: (onnx, { input, block_shape, paddings }) => {
    const known = knownOf(block_shape.constant!, paddings.constant!);
    const pads = withRest(known.pads, input.shape!.length);
    const plan = intoBatch(input.shape!, known);
    if (pads.every(([a, b]) => a + b === 0)) return [lowered(onnx, input, plan)];
    const shape = input.shape!.map((d, i) => (d === null ? null : d + pads[i]![0] + pads[i]![1]));
    const around = onnx.ints([...pads.map((p) => p[0]), ...pads.map((p) => p[1])]);
    return [lowered(onnx, onnx.add("Pad", [input, around], {}, { shape }), plan)];
  },
  host: ({ input, block_shape, paddings }) => {
    blocksOf(specOf(block_shape), specOf(paddings), input.shape, "paddings");
    const known = knownOf(block_shape, paddings);
    return [
      rearranged(padded(input, withRest(known.pads, input.shape.length)), intoBatch(input.shape, known)),
    ];
  },
});

/** The reverse of SpaceToBatchND: images interleave to larger ones, which are then cropped. */
export const BatchToSpaceND = defineOp("BatchToSpaceND", {
  inputs: { input: "T", block_shape: "Tblock_shape", crops: "Tcrops" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tblock_shape: indexType, Tcrops: indexType },
  infer: ({ input, block_shape, crops }) => [
    { shape: outOfBatchShape(input.shape, blocksOf(block_shape, crops, input.shape, "crops")) },
  ],
  grad: (g, op, [dy]) => [g.add("SpaceToBatchND", [dy!, op.inputs[1]!, op.inputs[2]!]), null, null],
  lowers: ({ T }, { input, block_shape, crops }) => lowersBatch(T, input, block_shape, crops),
  lower: (onnx, { input, block_shape, crops }) => {
    const known = knownOf(block_shape.constant!, crops.constant!);
    const plan = outOfBatch(input.shape!, known);
    const whole = lowered(onnx, input, plan);
    if (known.pads.every(([a, b]) => a + b === 0)) return [whole];
    const ends = known.pads.map(([, after], i) => plan.shape[i + 1]! - after);
    const axes = onnx.ints(known.pads.map((_, i) => i + 1));
    const shape = plan.shape.map((d, i) =>
      d === null || !known.pads[i - 1] ? d : ends[i - 1]! - known.pads[i - 1]![0],
    );
    return [
      onnx.add(
        "Slice",
        [whole, onnx.ints(known.pads.map((p) => p[0])), onnx.ints(ends), axes],
        {},
        { shape },
      ),
    ];
  },
  host: ({ input, block_shape, crops }) => {
    outOfBatchShape(input.shape, blocksOf(specOf(block_shape), specOf(crops), input.shape, "crops"));
    const known = knownOf(block_shape, crops);
    const whole = rearranged(input, outOfBatch(input.shape, known));
    const cuts = withRest(known.pads, input.shape.length).map(([a, b]) => [-a, -b] as const);
    return [padded(whole, cuts)];
  },
});
