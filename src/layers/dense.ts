/**
 * @file Layers without a window: dense, dropout, flatten. Start at `dense`.
 *
 * @see TensorFlow python/keras/layers/core.py; python/ops/math_ops.py "tensordot"; python/ops/nn_ops.py "dropout"
 */

import { isStatic, mergeShapes, sizeOf, VarscopeError } from "../base/index.ts";
import { type Output, smartCond } from "../graph/index.ts";
import { randomUniform } from "../ops/index.ts";
import { addWith, toInput, type Variable } from "../variables/index.ts";
import { biasOf, type ConvOptions, finish } from "./conv.ts";
import { type DataFormat, type LayerOptions, layer, needDim } from "./layer.ts";

export type DenseOptions = Omit<ConvOptions, "strides" | "padding" | "dataFormat">;

/**
 * x · kernel + bias over the last axis, with variables `kernel` [in, units] and `bias` [units].
 *
 * @param x - float [..., in]
 * @throws VarscopeError INVALID_ARGUMENT - the last dim is not known
 */
export function dense(x: Output, units: number, options: DenseOptions = {}): Output {
  return layer(x, "dense", options, (l) => {
    const last = needDim(x, -1, null, "last");
    const kernel = l.weight("kernel", [last, units], {
      initializer: options.kernelInitializer,
      regularizer: options.kernelRegularizer,
      constraint: options.kernelConstraint,
    });
    const bias = biasOf(l, units, options);
    const y = x.shape!.length === 2 ? addWith(l.graph, "MatMul", [x, kernel]) : tensordot(x, kernel, units);
    return finish(l, y, options, bias);
  });
}

/** The last axis of `x` against the first of a matrix, as TensorFlow's tensordot spells it. */
function tensordot(x: Output, kernel: Variable, units: number): Output {
  const g = x.graph;
  const rank = x.shape!.length;
  const ints = (value: number[], name: string): Output =>
    g.constant(value, { dtype: "int32", shape: [value.length], name });
  const y = g.nameScope("Tensordot", (scope) => {
    const w = kernel.isResource ? g.nameScope("ReadVariableOp", (at) => named(kernel, at)) : toInput(kernel);
    if (isStatic(x.shape)) {
      const rows = x.shape.slice(0, -1);
      const matrix = g.add("Reshape", [x, [sizeOf(rows), x.shape[rank - 1]!]]);
      const product = g.add("MatMul", [matrix, w]);
      return g.add("Reshape", [product, [...rows, units]], { name: scope });
    }
    const axes = ints([rank - 1], "axes");
    const free = ints([...Array(rank - 1).keys()], "free");
    const shape = g.add("Shape", [x]);
    const pick = (indices: Output): Output =>
      g.nameScope("GatherV2", (at) => {
        const axis = g.constant(0, { dtype: "int32", name: "axis" });
        return g.add("GatherV2", [shape, indices, axis], { name: at });
      });
    const freeDims = pick(free);
    const innerDims = pick(axes);
    const rows = g.add("Prod", [freeDims, ints([0], "Const")]);
    const columns = g.add("Prod", [innerDims, ints([0], "Const")]);
    const join = (parts: Output[]): Output =>
      g.nameScope("concat", (at) =>
        g.add("ConcatV2", [parts, g.constant(0, { dtype: "int32", name: "axis" })], { name: at }),
      );
    const order = join([free, axes]);
    const matrix = g.add("Pack", [[rows, columns]], { name: "stack" });
    const turned = g.add("Transpose", [x, order], { name: "transpose" });
    const product = g.add("MatMul", [g.add("Reshape", [turned, matrix]), w]);
    const out = join([freeDims, ints([units], "Const")]);
    return g.add("Reshape", [product, out], { name: scope });
  });
  y.shape = mergeShapes(y.shape, [...x.shape!.slice(0, -1), units]);
  return y;
}

const named = (v: Variable, scope: string): Output =>
  v.graph.colocateWith(
    null,
    () => v.graph.add("ReadVariableOp", [v.handle], { name: scope, attrs: { dtype: v.dtype } }),
    true,
  );

export interface DropoutOptions extends LayerOptions {
  /** drops in training; otherwise x as it is: false */
  readonly training?: boolean | Output;
  readonly seed?: number;
}

/**
 * Zeroes elements with probability `rate` while training and scales the rest by 1 / (1 - rate).
 *
 * @throws VarscopeError INVALID_ARGUMENT - the rate is not in [0, 1)
 */
export function dropout(x: Output, rate = 0.5, options: DropoutOptions = {}): Output {
  if (!(rate >= 0 && rate < 1)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `\`rate\` must be a scalar tensor or a float in the range [0, 1). Received: rate=${rate}`,
    );
  }
  return layer(x, "dropout", options, ({ graph: g }) =>
    smartCond(
      options.training ?? false,
      () => (rate === 0 ? x : drop(x, rate, options.seed ?? null)),
      () => g.add("Identity", [x]),
    ),
  ) as Output;
}

function drop(x: Output, rate: number, seed: number | null): Output {
  const g = x.graph;
  return g.nameScope("dropout", () => {
    const scaled = g.add("Mul", [x, g.constant(1 / (1 - rate), { dtype: x.dtype })]);
    const shape = g.add("Shape", [x]);
    const random = randomUniform(g, shape, { dtype: x.dtype, seed });
    const keep = g.add("GreaterEqual", [random, rate]);
    const y = g.add("SelectV2", [keep, scaled, g.constant(0, { dtype: x.dtype })]);
    y.shape = mergeShapes(y.shape, x.shape);
    return y;
  });
}

export interface FlattenOptions extends LayerOptions {
  /** "channels_last"; channels that come first are moved to the end before */
  readonly dataFormat?: DataFormat;
}

/** [batch, ...] as [batch, product of the rest]. */
export function flatten(x: Output, options: FlattenOptions = {}): Output {
  return layer(x, "flatten", options, ({ graph: g }) => {
    const { shape } = x;
    if (shape === null) {
      throw new VarscopeError("INVALID_ARGUMENT", "flatten needs an input of known rank", { at: x.name });
    }
    let input = x;
    if (options.dataFormat === "channels_first" && shape.length > 1) {
      const order = [0, ...[...shape.keys()].slice(2), 1];
      input = g.nameScope("transpose", (scope) =>
        g.add("Transpose", [x, g.constant(order, { dtype: "int32", name: "perm" })], { name: scope }),
      );
    }
    const dims = input.shape!;
    if (dims.length === 1) {
      return g.nameScope("ExpandDims", (scope) =>
        g.add("ExpandDims", [input, g.constant(1, { dtype: "int32", name: "dim" })], { name: scope }),
      );
    }
    const rest = dims.slice(1);
    const ints = (value: number[]): Output => g.constant(value, { dtype: "int32" });
    if (rest.every((d) => d !== null)) {
      return g.add("Reshape", [input, ints([-1, (rest as number[]).reduce((a, b) => a * b, 1)])]);
    }
    if (dims[0] !== null) return g.add("Reshape", [input, ints([dims[0]!, -1])]);
    const sizes = g.add("Shape", [input]);
    const batch = g.nameScope("strided_slice", (scope) => {
      const bounds = [0, 1, 1].map((v) => g.constant([v], { dtype: "int32", name: "stack" }));
      return g.add("StridedSlice", [sizes, ...bounds], { name: scope, attrs: { shrink_axis_mask: 1 } });
    });
    return g.nameScope("Reshape", (scope) => {
      const packed = g.nameScope("shape", (at) =>
        g.add("Pack", [[batch, g.constant(-1, { dtype: "int32", name: "1" })]], { name: at }),
      );
      return g.add("Reshape", [input, packed], { name: scope });
    });
  });
}
