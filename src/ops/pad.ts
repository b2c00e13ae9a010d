/** @file Borders around tensors: zeros, a value, mirror images. */

import {
  getElement,
  isComplex,
  type Shape,
  setElement,
  sizeOf,
  stridesOf,
  type Tensor,
  toNumbers,
  VarscopeError,
  zeros,
} from "../base/index.ts";
import {
  attr,
  defineOp,
  type Grad,
  type Graph,
  type Input,
  type Onnx,
  type OnnxValue,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { pickAlong, sourcesAlong } from "./kernels/pick.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const indexType = attr.typeOr("int32", "int32", "int64");
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

type Pairs = readonly (readonly [number, number])[];

function pairsOf(paddings: Tensor): Pairs {
  const flat = toNumbers(paddings);
  return Array.from({ length: paddings.shape[0]! }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

function paddedShape(x: Shape | null, paddings: Spec, sign: 1 | -1 = 1): Shape | null {
  const { shape } = paddings;
  if (shape !== null && (shape.length !== 2 || (shape[1] !== null && shape[1] !== 2))) {
    throw invalid(`paddings must be a matrix with 2 columns: [${shape.map((d) => d ?? "?")}]`);
  }
  const rank = x?.length ?? shape?.[0] ?? null;
  if (rank === null) return null;
  if (shape?.[0] != null && shape[0] !== rank)
    throw invalid(`Shape must be rank ${shape[0]} but is rank ${rank}: one row of paddings for each dim`);
  if (paddings.value === null) return new Array<null>(rank).fill(null);
  return pairsOf(paddings.value).map(([before, after], i) => {
    if (before < 0 || after < 0) throw invalid(`Paddings must be non-negative: ${before} ${after}`);
    const d = x?.[i] ?? null;
    return d === null ? null : d + sign * (before + after);
  });
}

function padded(x: Tensor, paddings: Tensor, filler?: Tensor): Tensor {
  const strides = stridesOf(x.shape);
  const tables = pairsOf(paddings).map(([before, after], axis) => {
    if (before < 0 || after < 0) throw invalid(`Paddings must be non-negative: ${before} ${after}`);
    const d = x.shape[axis]!;
    return Int32Array.from({ length: before + d + after }, (_, i) =>
      i < before || i >= before + d ? -1 : (i - before) * strides[axis]!,
    );
  });
  return pickAlong(x, tables, filler);
}

/** Paddings in ONNX's order: all befores, then all afters. */
function lowerPads(onnx: Onnx, paddings: OnnxValue): OnnxValue {
  if (paddings.constant !== null) {
    const pairs = pairsOf(paddings.constant);
    return onnx.ints([...pairs.map(([b]) => b), ...pairs.map(([, a]) => a)]);
  }
  return onnx.reshape(onnx.transpose(onnx.cast(paddings, "int64"), [1, 0]), [null]);
}

function padGrad(g: Graph, op: Operation, dy: Grad): Output {
  const [x, paddings] = op.inputs as [Output, Output];
  const { dtype } = paddings;
  const rank = pieces.rank(x);
  const before = g.add("Slice", [paddings, [0, 0], pieces.pack(g, [rank, 1], "int32", "stack")], {
    attrs: { Index: "int32" },
  });
  const begin = pieces.reshape(before, [-1]);
  return g.add("Slice", [dy as Output, begin, pieces.shape(x, { outType: dtype as "int32" })]);
}

// float16 and small ints have no Pad kernel in ONNX Runtime's CPU provider.
const PADDABLE = new Set([
  "float32",
  "float64",
  "int32",
  "int64",
  "uint32",
  "uint64",
  "int8",
  "uint8",
  "bool",
]);

/** x with zeros around it. @see TensorFlow core/ops/array_ops.cc "Pad"; python/ops/array_grad.py "_PadGrad" */
export const Pad = defineOp("Pad", {
  inputs: { input: "T", paddings: "Tpaddings" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tpaddings: indexType },
  infer: ({ input, paddings }) => [{ shape: paddedShape(input.shape, paddings) }],
  grad: (g, op, [dy]) => [padGrad(g, op, dy!), null],
  lower: (onnx, inputs, _, op) => {
    const shape = outShape(op, inputs);
    return [onnx.add("Pad", [inputs.input, lowerPads(onnx, inputs.paddings)], {}, { shape })];
  },
  lowers: ({ T }) => PADDABLE.has(T),
  host: ({ input, paddings }) => [padded(input, paddings)],
});

/** x with a value around it. @see TensorFlow core/ops/array_ops.cc "PadV2" */
export const PadV2 = defineOp("PadV2", {
  inputs: { input: "T", paddings: "Tpaddings", constant_values: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tpaddings: indexType },
  infer: ({ input, paddings }) => [{ shape: paddedShape(input.shape, paddings) }],
  grad: (g, op, [dy]) => [padGrad(g, op, dy!), null, null],
  lower: (onnx, inputs, _, op) => {
    const shape = outShape(op, inputs);
    return [
      onnx.add(
        "Pad",
        [inputs.input, lowerPads(onnx, inputs.paddings), inputs.constant_values],
        {},
        { shape },
      ),
    ];
  },
  lowers: ({ T }) => PADDABLE.has(T),
  host: ({ input, paddings, constant_values }) => [padded(input, paddings, constant_values)],
});

type Mode = "REFLECT" | "SYMMETRIC";

const mode = attr.string({ allowed: ["REFLECT", "SYMMETRIC"] });

/** For each axis, the source position of every padded one. */
function mirrors(dims: readonly number[], pairs: Pairs, kind: Mode): number[][] {
  const skip = kind === "REFLECT" ? 1 : 0;
  return dims.map((d, axis) => {
    const [before, after] = pairs[axis]!;
    if (before < 0 || after < 0) throw invalid(`paddings must be non-negative: ${before} ${after}`);
    if (before > d - skip || after > d - skip) {
      const bound =
        kind === "REFLECT" ? "less than the dimension size" : "no greater than the dimension size";
      throw invalid(
        `paddings must be ${bound}: ${before}, ${after} not ${skip ? "less than" : "at most"} ${d}`,
      );
    }
    return Array.from({ length: before + d + after }, (_, i) => {
      const at = i - before;
      if (at < 0) return -at - 1 + skip;
      return at < d ? at : 2 * d - 1 - skip - at;
    });
  });
}

const tablesOf = (positions: readonly number[][], dims: readonly number[]): Int32Array[] => {
  const strides = stridesOf(dims);
  return positions.map((row, axis) => Int32Array.from(row, (p) => p * strides[axis]!));
};

/** x with its mirror image around it; REFLECT leaves out the edge. @see TensorFlow core/ops/array_ops.cc "MirrorPad" */
export const MirrorPad = defineOp("MirrorPad", {
  inputs: { input: "T", paddings: "Tpaddings" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tpaddings: indexType, mode },
  infer: ({ input, paddings }) => [{ shape: paddedShape(input.shape, paddings) }],
  grad: (g, op, [dy], attrs) => [
    g.add("MirrorPadGrad", [dy!, op.inputs[1]!], { attrs: { mode: attrs.mode } }),
    null,
  ],
  lower: (onnx, { input, paddings }, attrs) => {
    const pairs = pairsOf(paddings.constant!);
    const dims = input.shape!.map((d) => d ?? Number.POSITIVE_INFINITY);
    let [x, now] = [input, [...input.shape!]];
    pairs.forEach(([before, after], axis) => {
      if (before === 0 && after === 0) return;
      const rows = mirrors([dims[axis]!], [[before, after]], attrs.mode as Mode)[0]!;
      now = now.map((d, i) => (i === axis ? rows.length : d));
      x = onnx.add("Gather", [x, onnx.ints(rows)], { axis }, { shape: now });
    });
    return [x];
  },
  lowers: ({ T }, { input, paddings }) =>
    movable(T) && paddings.value !== null && paddedDimsKnown(input.shape, pairsOf(paddings.value)),
  host: ({ input, paddings }, attrs) => [
    pickAlong(input, tablesOf(mirrors(input.shape, pairsOf(paddings), attrs.mode as Mode), input.shape)),
  ],
});

const paddedDimsKnown = (shape: Shape | null, pairs: Pairs): boolean =>
  shape?.every((d, i) => d !== null || pairs[i]!.every((n) => n === 0)) ?? false;

/** What flows back through MirrorPad: the border folded onto what it mirrors. @see TensorFlow core/kernels/mirror_pad_op.cc */
export const MirrorPadGrad = defineOp("MirrorPadGrad", {
  inputs: { input: "T", paddings: "Tpaddings" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tpaddings: indexType, mode },
  infer: ({ input, paddings }) => [{ shape: paddedShape(input.shape, paddings, -1) }],
  grad: (g, op, [dy], attrs) => [
    g.add("MirrorPad", [dy!, op.inputs[1]!], { attrs: { mode: attrs.mode } }),
    null,
  ],
  lower: (onnx, { input, paddings }, attrs) => {
    let [x, now] = [input, [...input.shape!]];
    pairsOf(paddings.constant!).forEach((pair, axis) => {
      if (pair[0] === 0 && pair[1] === 0) return;
      const dim = now[axis]! - pair[0] - pair[1];
      const folded = foldMatrix(dim, pair, attrs.mode as Mode, onnx, input.dtype);
      now = now.map((d, i) => (i === axis ? dim : d));
      x = timesAlong(onnx, x, folded, axis, now);
    });
    return [x];
  },
  lowers: ({ T }, { input, paddings }) =>
    (T === "float32" || T === "float64") &&
    paddings.value !== null &&
    paddedDimsKnown(input.shape, pairsOf(paddings.value)),
  host: ({ input, paddings }, attrs) => {
    const pairs = pairsOf(paddings);
    const dims = input.shape.map((d, i) => d - pairs[i]![0] - pairs[i]![1]);
    const targets = sourcesAlong(tablesOf(mirrors(dims, pairs, attrs.mode as Mode), dims));
    const sums = zeros(isComplex(input.dtype) ? input.dtype : "float64", dims);
    const wide = input.dtype === "int64" || input.dtype === "uint64" ? zeros(input.dtype, dims) : sums;
    targets.forEach((target, i) => {
      setElement(wide, target, plus(getElement(wide, target), getElement(input, i)));
    });
    const out = zeros(input.dtype, dims);
    for (let i = 0; i < sizeOf(dims); i++) setElement(out, i, getElement(wide, i));
    return [out];
  },
});

type Value = ReturnType<typeof getElement>;
const plus = (a: Value, b: Value): Value => {
  if (typeof a === "bigint") return a + (b as bigint);
  if (Array.isArray(a) && Array.isArray(b)) return [a[0] + b[0], a[1] + b[1]];
  return (a as number) + (b as number);
};

/** [padded, dim] matrix of 0 and 1 that adds a mirrored axis up. */
function foldMatrix(
  dim: number,
  pair: readonly [number, number],
  kind: Mode,
  onnx: Onnx,
  dtype: "float32" | string,
): OnnxValue {
  const rows = mirrors([dim], [pair], kind)[0]!;
  const data =
    dtype === "float64" ? new Float64Array(rows.length * dim) : new Float32Array(rows.length * dim);
  rows.forEach((to, from) => {
    data[from * dim + to] = 1;
  });
  return onnx.constant({ dtype: dtype as "float32", shape: [rows.length, dim], data });
}

/** x times a matrix along one axis. */
function timesAlong(onnx: Onnx, x: OnnxValue, matrix: OnnxValue, axis: number, shape: Shape): OnnxValue {
  const rank = shape.length;
  if (axis === rank - 1 && rank > 1) return onnx.add("MatMul", [x, matrix], {}, { shape });
  if (rank === 1) return onnx.add("MatMul", [x, matrix], {}, { shape });
  const perm = [...Array(rank).keys()].filter((i) => i !== axis).concat(axis);
  const turned = onnx.transpose(x, perm);
  const product = onnx.add("MatMul", [turned, matrix], {}, { shape: perm.map((i) => shape[i]!) });
  return onnx.transpose(
    product,
    [...perm.keys()].map((i) => perm.indexOf(i)),
  );
}

export interface PadOptions {
  /** "CONSTANT" */
  readonly mode?: "CONSTANT" | Mode;
  /** 0 */
  readonly constantValues?: number | Output;
  readonly name?: string;
}

/** `x` with a border. `paddings`: [before, after] for each axis. Named "Pad", "PadV2" where the value is not 0, or "MirrorPad". */
export function pad(x: Output, paddings: Input, options: PadOptions = {}): Output {
  const { constantValues = 0, name } = options;
  const g = x.graph;
  const attrs = { Tpaddings: pieces.isOutput(paddings) ? paddings.dtype : "int32" } as const;
  if (options.mode === "REFLECT" || options.mode === "SYMMETRIC") {
    return g.add(MirrorPad, [x, paddings], { name, attrs: { ...attrs, mode: options.mode } });
  }
  if (constantValues === 0) return g.add(Pad, [x, paddings], { name, attrs });
  return g.add(PadV2, [x, paddings, constantValues], { name, attrs });
}
