/** Names and constants of the public image functions are those that TensorFlow 2.21's Python makes. */

import { describe, expect, test } from "vitest";
import { type Shape, type Tensor, toNested } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import * as ops from "./index.ts";

function image(shape: Shape, g = new Graph(ops.CORE_OPS)): Output {
  return g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims: shape } } });
}

/** Nodes but placeholders: name, type, inputs, and a constant's value. */
const nodes = (g: Graph): unknown[] =>
  g.operations
    .filter((op) => op.type !== "Placeholder")
    .map((op) =>
      op.type === "Const"
        ? [op.name, toNested(op.attrs.value as Tensor)]
        : [op.name, op.type, ...op.inputs.map((x) => x.op.name)],
    );

describe("convolution", () => {
  test("conv2d takes one stride for height and width", () => {
    const x = image([2, 8, 8, 3]);
    const y = ops.conv2d(x, image([3, 3, 3, 4], x.graph), {
      strides: 2,
      padding: [
        [0, 0],
        [1, 1],
        [2, 1],
        [0, 0],
      ],
    });
    expect(y.op.name).toBe("Conv2D");
    expect(y.op.attrs).toMatchObject({
      strides: [1, 2, 2, 1],
      padding: "EXPLICIT",
      explicit_paddings: [0, 0, 1, 1, 2, 1, 0, 0],
    });
    expect(y.shape).toEqual([2, 4, 5, 4]);
  });

  test("conv2d refuses three strides", () => {
    const x = image([2, 8, 8, 3]);
    expect(() =>
      ops.conv2d(x, image([3, 3, 3, 4], x.graph), { strides: [1, 2, 2], padding: "SAME" }),
    ).toThrow("strides should be of length 1, 2 or 4");
  });

  test("conv2dTranspose keeps its sizes as a constant", () => {
    const x = image([2, 4, 4, 3]);
    ops.conv2dTranspose(x, image([3, 3, 5, 3], x.graph), [2, 8, 8, 5], { strides: 2 });
    expect(nodes(x.graph)).toEqual([
      ["conv2d_transpose/input_sizes", [2, 8, 8, 5]],
      [
        "conv2d_transpose",
        "Conv2DBackpropInput",
        "conv2d_transpose/input_sizes",
        "Placeholder_1",
        "Placeholder",
      ],
    ]);
  });

  test("separableConv2d is depthwise, then 1x1", () => {
    const x = image([2, 8, 8, 3]);
    const [each, mix] = [image([3, 3, 3, 2], x.graph), image([1, 1, 6, 4], x.graph)];
    ops.separableConv2d(x, each, mix, { padding: "SAME" });
    expect(nodes(x.graph)).toEqual([
      ["separable_conv2d/Shape", [3, 3, 3, 2]],
      ["separable_conv2d/dilation_rate", [1, 1]],
      ["separable_conv2d/depthwise", "DepthwiseConv2dNative", "Placeholder", "Placeholder_1"],
      ["separable_conv2d", "Conv2D", "separable_conv2d/depthwise", "Placeholder_2"],
    ]);
  });

  test("a dilated depthwise convolution goes through the batch, SAME", () => {
    const x = image([null, 7, 8, 3]);
    const y = ops.depthwiseConv2d(x, image([2, 3, 3, 2], x.graph), { padding: "SAME", dilations: [2, 3] });
    const scope = "depthwise/required_space_to_batch_paddings";
    expect(nodes(x.graph)).toEqual([
      ["depthwise/Shape", [2, 3, 3, 2]],
      ["depthwise/dilation_rate", [2, 3]],
      [
        "depthwise/stack",
        [
          [1, 1],
          [3, 3],
        ],
      ],
      [`${scope}/input_shape`, [7, 8]],
      [
        `${scope}/paddings`,
        [
          [1, 2],
          [3, 4],
        ],
      ],
      [
        `${scope}/crops`,
        [
          [0, 1],
          [0, 1],
        ],
      ],
      ["depthwise/SpaceToBatchND/block_shape", [2, 3]],
      [
        "depthwise/SpaceToBatchND/paddings",
        [
          [1, 2],
          [3, 4],
        ],
      ],
      [
        "depthwise/SpaceToBatchND",
        "SpaceToBatchND",
        "Placeholder",
        "depthwise/SpaceToBatchND/block_shape",
        "depthwise/SpaceToBatchND/paddings",
      ],
      ["depthwise", "DepthwiseConv2dNative", "depthwise/SpaceToBatchND", "Placeholder_1"],
      ["depthwise/BatchToSpaceND/block_shape", [2, 3]],
      [
        "depthwise/BatchToSpaceND/crops",
        [
          [0, 1],
          [0, 1],
        ],
      ],
      [
        "depthwise/BatchToSpaceND",
        "BatchToSpaceND",
        "depthwise",
        "depthwise/BatchToSpaceND/block_shape",
        "depthwise/BatchToSpaceND/crops",
      ],
    ]);
    expect(y.shape).toEqual([null, 7, 8, 6]);
  });

  test("VALID pads only what the blocks need, NCHW leaves the channels alone", () => {
    const x = image([2, 3, 7, 8]);
    const y = ops.depthwiseConv2d(x, image([3, 3, 3, 2], x.graph), {
      padding: "VALID",
      dilations: [2, 3],
      dataFormat: "NCHW",
    });
    expect(nodes(x.graph)).toContainEqual([
      "depthwise/required_space_to_batch_paddings/base_paddings",
      [
        [0, 0],
        [0, 0],
      ],
    ]);
    expect(nodes(x.graph)).toContainEqual(["depthwise/SpaceToBatchND/block_shape", [1, 2, 3]]);
    expect(nodes(x.graph)).toContainEqual([
      "depthwise/SpaceToBatchND/paddings",
      [
        [0, 0],
        [0, 1],
        [0, 1],
      ],
    ]);
    expect(y.shape).toEqual([2, 6, 3, 2]);
  });

  test("a dilated depthwise convolution of unknown size says what it needs", () => {
    const x = image([null, null, null, 3]);
    expect(() =>
      ops.depthwiseConv2d(x, image([2, 3, 3, 2], x.graph), { padding: "SAME", dilations: [2, 2] }),
    ).toThrow(
      "[UNIMPLEMENTED] Placeholder:0: a dilated depthwise convolution needs known heights and widths",
    );
  });
});

describe("pooling", () => {
  test("each function has its own name", () => {
    const x = image([2, 8, 8, 3]);
    const names = [ops.maxPool, ops.maxPool2d, ops.avgPool, ops.avgPool2d].map(
      (f) => f(x, 2, 2, { padding: "SAME" }).op.name,
    );
    expect(names).toEqual(["MaxPool", "MaxPool2d", "AvgPool", "AvgPool2D"]);
  });
});

describe("batch normalization", () => {
  test("fused: absent statistics are empty constants", () => {
    const x = image([2, 8, 8, 3]);
    ops.fusedBatchNorm(x, [1, 1, 1], [0, 0, 0], { name: "bn" });
    expect(nodes(x.graph)).toEqual([
      ["scale", [1, 1, 1]],
      ["offset", [0, 0, 0]],
      ["Const", []],
      ["Const_1", []],
      ["bn", "FusedBatchNormV3", "Placeholder", "scale", "offset", "Const", "Const_1"],
    ]);
    expect(x.graph.operation("bn").attrs.epsilon).toBe(1e-3);
  });

  test("fused: inference needs its statistics", () => {
    const x = image([2, 8, 8, 3]);
    expect(() => ops.fusedBatchNorm(x, [1, 1, 1], [0, 0, 0], { isTraining: false })).toThrow(
      "Both `mean` and `variance` must be a 1D tensor when `is_training` is False",
    );
  });

  test("written out: offset and scale, or neither", () => {
    const x = image([2, 3]);
    const [mean, variance, offset, scale] = Array.from({ length: 4 }, () => image([3], x.graph));
    ops.batchNormalization(x, mean!, variance!, offset!, scale!, 1e-3);
    const epsilon = Math.fround(1e-3);
    expect(nodes(x.graph)).toEqual([
      ["batchnorm/add/y", epsilon],
      ["batchnorm/add", "AddV2", "Placeholder_2", "batchnorm/add/y"],
      ["batchnorm/Rsqrt", "Rsqrt", "batchnorm/add"],
      ["batchnorm/mul", "Mul", "batchnorm/Rsqrt", "Placeholder_4"],
      ["batchnorm/mul_1", "Mul", "Placeholder", "batchnorm/mul"],
      ["batchnorm/mul_2", "Mul", "Placeholder_1", "batchnorm/mul"],
      ["batchnorm/sub", "Sub", "Placeholder_3", "batchnorm/mul_2"],
      ["batchnorm/add_1", "AddV2", "batchnorm/mul_1", "batchnorm/sub"],
    ]);
    ops.batchNormalization(x, mean!, variance!, null, null, 1e-3, "plain");
    expect(
      nodes(x.graph)
        .slice(8)
        .map((n) => (n as unknown[])[0]),
    ).toEqual([
      "plain/add/y",
      "plain/add",
      "plain/Rsqrt",
      "plain/mul",
      "plain/Neg",
      "plain/mul_1",
      "plain/add_1",
    ]);
  });
});
