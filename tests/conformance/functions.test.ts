/** @file Public functions add the nodes that TensorFlow's add, names and all: tools/goldens/functions.py has the same programs. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { gradients } from "../../src/autodiff/index.ts";
import type { DType, Shape } from "../../src/base/index.ts";
import { Graph, type Output } from "../../src/graph/index.ts";
import * as tf from "../../src/ops/index.ts";
import { nodeDifference } from "./compare.ts";
import type { NodeJson } from "./golden-json.ts";

interface Golden {
  readonly inputs: readonly (readonly [DType, Shape | null])[];
  readonly nodes: readonly NodeJson[];
}

const GOLDENS = JSON.parse(
  readFileSync(new URL("../goldens/functions/functions.json", import.meta.url), "utf8"),
) as Record<string, Golden>;

const xent = (logits: Output, labels: Output, axis?: number): Output =>
  tf.softmaxCrossEntropyWithLogits({ labels, logits, ...(axis === undefined ? {} : { axis }) });
const sparse = (logits: Output, labels: Output): Output =>
  tf.sparseSoftmaxCrossEntropyWithLogits({ labels, logits });
const logistic = (logits: Output, labels: Output): Output =>
  tf.sigmoidCrossEntropyWithLogits({ labels, logits });

const PROGRAMS: Readonly<Record<string, (...xs: Output[]) => unknown>> = {
  "mean of all": (x) => tf.reduceMean(x!),
  "mean of a scalar": (x) => tf.reduceMean(x!),
  "mean of an unknown rank": (x) => tf.reduceMean(x!),
  "sum twice": (x) => [tf.reduceSum(x!, { axis: 0 }), tf.reduceSum(x!, { axis: [0, 1], keepDims: true })],
  extremes: (x) => [tf.reduceMax(x!, { axis: 1 }), tf.reduceMin(x!), tf.reduceProd(x!, { axis: -1 })],
  truth: (x) => [tf.reduceAll(x!, { axis: [1], keepDims: true }), tf.reduceAny(x!)],
  "logsumexp of all": (x) => tf.reduceLogsumexp(x!),
  "logsumexp of rows": (x) => tf.reduceLogsumexp(x!, { axis: 1 }),
  "logsumexp with kept dims": (x) => tf.reduceLogsumexp(x!, { axis: 1, keepDims: true }),
  variance: (x) => tf.reduceVariance(x!),
  "variance of complex numbers": (x) => tf.reduceVariance(x!, { axis: 1 }),
  "standard deviation": (x) => tf.reduceStd(x!, { axis: 0 }),
  argmax: (x) => tf.argmax(x!),
  "argmin to int32": (x) => tf.argmin(x!, { axis: 1, outputType: "int32" }),
  cumsum: (x) => tf.cumsum(x!),
  "cumprod backward": (x) => tf.cumprod(x!, { axis: 1, exclusive: true, reverse: true }),
  "top k": (x) => tf.topK(x!, 2),
  "in top k": (x, y) => tf.inTopK(x!, y!, 2),
  matmul: (x, y) => tf.matmul(x!, y!, { transposeA: true }),
  "matmul of a batch": (x, y) => tf.matmul(x!, y!, { transposeB: true }),
  "matmul of adjoints": (x, y) => tf.matmul(x!, y!, { adjointA: true }),
  "matmul with a literal": (x) => tf.matmul(x!, [[1], [2], [3]]),
  einsum: (x, y) => tf.einsum("ij , jk", [x!, y!]),
  softmax: (x) => tf.softmax(x!),
  "softmax of a middle axis": (x) => tf.softmax(x!, { axis: 1 }),
  "log softmax of an axis from the end": (x) => tf.logSoftmax(x!, { axis: -2 }),
  "softmax of the first axis, named": (x) => tf.softmax(x!, { axis: 0, name: "p" }),
  "cross entropy": (x, y) => xent(x!, y!),
  "cross entropy of an unknown batch": (x, y) => xent(x!, y!),
  "cross entropy of a middle axis": (x, y) => xent(x!, y!, 1),
  "cross entropy of float16": (x, y) => xent(x!, y!),
  "sparse cross entropy": (x, y) => sparse(x!, y!),
  "sparse cross entropy, named": (x, y) =>
    tf.sparseSoftmaxCrossEntropyWithLogits({ labels: y!, logits: x!, name: "xe" }),
  "sparse cross entropy of three axes": (x, y) => sparse(x!, y!),
  "sparse cross entropy of three axes, unknown batch": (x, y) => sparse(x!, y!),
  "sparse cross entropy of float16": (x, y) => sparse(x!, y!),
  "logistic loss": (x, y) => logistic(x!, y!),
  "logistic loss of known shape": (x, y) => logistic(x!, y!),
  bias: (x, y) => tf.biasAdd(x!, y!),
  "bias of channels first": (x, y) => tf.biasAdd(x!, y!, { dataFormat: "NCDHW" }),
  "l2 loss": (x) => tf.l2Loss(x!),
  "l2 normalization": (x) => tf.l2Normalize(x!, { axis: 1 }),
  moments: (x) => tf.moments(x!, [0, 1]),
  "moments of float16, kept": (x) => tf.moments(x!, [0, 1], { keepDims: true }),
  "local response normalization": (x) => tf.localResponseNormalization(x!),
  qr: (x) => tf.qr(x!),
  "difference of lists": (x, y) => tf.setdiff1d(x!, y!),
  "gradients of equal sums": (x) =>
    gradients([tf.reduceSum(x!, { axis: 1 }), tf.reduceMean(x!, { axis: 1 })], x!),
  "gradient of a network's loss": (x, w, c, y) =>
    gradients(tf.reduceMean(sparse(tf.biasAdd(tf.matmul(x!, w!), c!), y!)), [w!, c!]),
  "gradient of a cross entropy": (x, y) => gradients(tf.reduceMean(xent(x!, tf.stopGradient(y!))), x!),
  "gradient of moments": (x) => {
    const { mean, variance } = tf.moments(x!, [0]);
    return gradients([mean, variance], x!);
  },
};

test("every golden has its program", () => {
  expect(Object.keys(PROGRAMS)).toEqual(Object.keys(GOLDENS));
});

test.each(Object.entries(GOLDENS))("%s", (title, { inputs, nodes }) => {
  const g = new Graph(tf.CORE_OPS);
  const xs = inputs.map(([dtype, dims], i) =>
    g.add("Placeholder", [], { name: `x${i}`, attrs: { dtype, shape: { dims } } }),
  );
  PROGRAMS[title]!(...xs);
  const made = g.operations.slice(xs.length);
  nodes.forEach((want, i) => {
    const found = made[i] === undefined ? `${want[1]} ${want[0]} is missing` : nodeDifference(made[i], want);
    expect(found, `node ${i}`).toBe(null);
  });
  expect(made.slice(nodes.length).map((op) => op.name)).toEqual([]);
});
