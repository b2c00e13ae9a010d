/** @file What goldens cannot show: reductions of images in whatever layout a convolution leaves them, and what functions refuse. */

import { describe, expect, test } from "vitest";
import { interpret } from "../../tests/conformance/interpret.ts";
import { type Tensor, tensor, toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import * as tf from "./index.ts";

const wave = (shape: readonly number[]): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Array.from({ length: size }, (_, i) => Math.sin(i * 1.7)),
    "float32",
    shape,
  );
};

/** A convolution's output, of 16 channels, which may be in blocks. */
function image(format: "NHWC" | "NCHW"): { g: Graph; x: Output; y: Output; value: Tensor } {
  const g = new Graph(tf.CORE_OPS);
  const value = wave(format === "NHWC" ? [3, 4, 5, 16] : [3, 16, 4, 5]);
  const x = g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims: value.shape } } });
  // A variable, since plans without one leave layouts to ONNX Runtime.
  const filter = g.add("VariableV2", [], { attrs: { dtype: "float32", shape: { dims: [1, 1, 16, 16] } } });
  g.addOp("Assign", [filter, g.constant(wave([1, 1, 16, 16]))], { name: "init" });
  const attrs = { strides: [1, 1, 1, 1], padding: "SAME", data_format: format };
  return { g, x, y: g.add("Conv2D", [x, filter], { attrs }), value };
}

async function expectAlike(got: readonly Tensor[], want: readonly Tensor[]): Promise<void> {
  got.forEach((t, i) => {
    expect(t.shape).toEqual(want[i]!.shape);
    toNumbers(t).forEach((v, k) => {
      expect(Math.abs(v - toNumbers(want[i]!)[k]!), `output ${i}, element ${k}`).toBeLessThan(1e-4);
    });
  });
}

describe.each(["NHWC", "NCHW"] as const)("an image in %s", (format) => {
  test("reduces, and takes a bias, as the plain tensor does", async () => {
    const { g, x, y, value } = image(format);
    const spatial = format === "NHWC" ? [1, 2] : [2, 3];
    const fetches = [
      ...[spatial, [0, ...spatial], [0], [1], [3], [0, 1, 2, 3]].flatMap((axis) => [
        tf.reduceMean(y, { axis }),
        tf.reduceSum(y, { axis, keepDims: true }),
      ]),
      tf.biasAdd(y, g.constant(wave([16])), { dataFormat: format }),
      g.add("BiasAddGrad", [y], { attrs: { data_format: format } }),
      tf.reduceMax(y, { axis: spatial }),
      tf.l2Loss(y),
      ...Object.values(tf.moments(y, format === "NHWC" ? [0, 1, 2] : [0, 2, 3])),
    ];
    const session = new Session(g);
    try {
      await session.run([], { targets: [g.operation("init")] });
      const feeds = new Map([[x, value]]);
      const [filter, ...got] = await session.run([g.output("VariableV2:0"), ...fetches], { feeds });
      const given = new Map([...feeds, [g.output("VariableV2:0"), filter!]]);
      await expectAlike(got, await interpret(fetches, given));
    } finally {
      await session.close();
    }
  });
});

describe("functions refuse", () => {
  const g = new Graph(tf.CORE_OPS);
  const x = g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims: [2, 3] } } });

  test.each([
    [
      "both transpose and adjoint",
      () => tf.matmul(x, x, { transposeA: true, adjointA: true }),
      /Only one of transpose and adjoint/,
    ],
    ["three tensors in einsum", () => tf.einsum("ij,jk,kl->il", [x, x, x]), /one or two tensors, 3 given/],
    ["einsum labels out of nowhere", () => tf.einsum("ij->ik", [x]), /'k' of the output is in no input/],
    ["a softmax axis out of range", () => tf.softmax(x, { axis: 2 }), /axis 2 is not in \[-2, 2\)/],
    ["a variance of integers", () => tf.reduceVariance(tf.cast(x, "int32")), /integer type int32/],
    [
      "an unknown data format",
      () => tf.biasAdd(x, [1, 2, 3], { dataFormat: "CHW" }),
      /N...C or NC..., got 'CHW'/,
    ],
    [
      "labels of the rank of the logits",
      () => tf.sparseSoftmaxCrossEntropyWithLogits({ labels: tf.cast(x, "int32"), logits: x }),
      /rank 2/,
    ],
    ["literals alone", () => tf.matmul([[1]], [[2]]), /one must be a tensor of a graph/],
  ])("%s", (_, build, message) => {
    expect(build).toThrow(message);
  });
});

test("the value of Qr has orthonormal columns, and gives the matrix back", async () => {
  const g = new Graph(tf.CORE_OPS);
  const a = g.constant(wave([40, 24]));
  const { q, r } = tf.qr(a);
  const fetches = [tf.matmul(q, q, { transposeA: true }), tf.matmul(q, r)];
  const identity = tensor(
    Array.from({ length: 24 * 24 }, (_, i) => (i % 25 === 0 ? 1 : 0)),
    "float32",
    [24, 24],
  );
  await expectAlike(await interpret(fetches, new Map()), [identity, wave([40, 24])]);
});
