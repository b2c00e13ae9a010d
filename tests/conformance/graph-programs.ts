/**
 * @file The programs of tools/goldens/graph.py, op by op: both must make the same graph. Python's literals and default names are written
 * out here, so that these programs test the graph, conditionals and gradients alone.
 */

import { gradients } from "../../src/autodiff/index.ts";
import type { DType, Shape } from "../../src/base/index.ts";
import { cond, type Graph, type Output } from "../../src/graph/index.ts";

type Program = (g: Graph) => void;

const holder = (g: Graph, name: string, shape: Shape | null, dtype: DType = "float32"): Output =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: shape } } });

/** tf.reduce_sum, tf.reduce_mean over all axes. */
function reduceAll(g: Graph, type: "Sum" | "Mean", x: Output): Output {
  const axes = g.constant(
    x.shape!.map((_, i) => i),
    { dtype: "int32", shape: [x.shape!.length] },
  );
  return g.add(type, [x, axes], { name: type });
}

const unary =
  (type: string) =>
  (x: Output): Output =>
    x.graph.add(type, [x], { name: type });
const binary =
  (type: string, name: string) =>
  (x: Output, y: Output | number): Output =>
    x.graph.add(type, [x, y], { name });

const square = unary("Square");
const exp = unary("Exp");
const tanh = unary("Tanh");
const mul = binary("Mul", "mul");
const add = binary("AddV2", "add");
const sub = binary("Sub", "sub");
const matmul = binary("MatMul", "MatMul");
const gather = (table: Output, ids: Output): Output =>
  table.graph.nameScope("GatherV2", (scope) => {
    const axis = table.graph.constant(0, { dtype: "int32", name: "axis" });
    return table.graph.add("GatherV2", [table, ids, axis], { name: scope });
  });

const conv = (x: Output, w: Output): Output =>
  x.graph.add("Conv2D", [x, w], { name: "Conv2D", attrs: { strides: [1, 1, 1, 1], padding: "SAME" } });

function batchNorm(inputs: readonly Output[], training: boolean): Output[] {
  const { graph } = inputs[0]!;
  const epsilon = Math.fround(1e-3);
  const op = graph.addOp("FusedBatchNormV3", inputs, {
    name: "FusedBatchNormV3",
    attrs: { epsilon, is_training: training },
  });
  return op.outputs.slice(0, 3);
}

/** What tf.nn.fused_batch_norm takes as mean and variance while training. */
const noStatistics = (g: Graph): Output[] =>
  [0, 1].map(() => g.constant([], { dtype: "float32", shape: [0] }));

export const PROGRAMS: Readonly<Record<string, Program>> = {
  mlp(g) {
    const x = holder(g, "x", [null, 4]);
    const [w1, b1, w2] = [holder(g, "w1", [4, 8]), holder(g, "b1", [8]), holder(g, "w2", [8, 3])];
    const labels = holder(g, "labels", [null], "int32");
    const h = unary("Relu")(g.add("BiasAdd", [matmul(x, w1), b1], { name: "BiasAdd" }));
    const logits = matmul(h, w2);
    const name = "SparseSoftmaxCrossEntropyWithLogits";
    const losses = g.nameScope(name, () => {
      g.add("Shape", [labels], { name: "Shape" });
      return g.add(name, [logits, labels], { name });
    });
    gradients(reduceAll(g, "Mean", losses), [w1, b1, w2]);
  },

  polynomial(g) {
    const x = holder(g, "x", [2, 3]);
    const y = add(mul(x, x), exp(x));
    const cubic = g.nameScope("mul", (scope) => {
      const three = g.constant(3, { name: "x" });
      return g.add("Mul", [three, x], { name: scope });
    });
    gradients(sub(y, cubic), x);
  },

  unknown_shape(g) {
    const [x, y] = [holder(g, "x", null), holder(g, "y", null)];
    gradients(tanh(mul(x, y)), [x, y]);
  },

  conv_bn_relu(g) {
    const [x, w] = [holder(g, "x", [8, 8, 8, 3]), holder(g, "w", [3, 3, 3, 4])];
    const [gamma, beta] = [holder(g, "gamma", [4]), holder(g, "beta", [4])];
    holder(g, "mean", [0]);
    holder(g, "variance", [0]);
    const y = conv(x, w);
    const [bn] = batchNorm([y, gamma, beta, ...noStatistics(g)], true);
    gradients(reduceAll(g, "Mean", unary("Relu")(bn!)), [w, gamma, beta]);
  },

  shared_weights(g) {
    const [x, w] = [holder(g, "x", [2, 2]), holder(g, "w", [2, 2])];
    let h = x;
    for (let i = 0; i < 3; i++) h = unary("Sigmoid")(matmul(h, w));
    gradients(h, [w, x]);
  },

  embedding(g) {
    const [table, ids] = [holder(g, "table", [10, 4]), holder(g, "ids", [null], "int32")];
    gradients(reduceAll(g, "Sum", gather(table, ids)), [table]);
  },

  two_embeddings(g) {
    const table = holder(g, "table", [10, 4]);
    const [a, b] = [holder(g, "a", [null], "int32"), holder(g, "b", [3], "int64")];
    const loss = add(reduceAll(g, "Sum", gather(table, a)), reduceAll(g, "Sum", gather(table, b)));
    gradients(loss, [table]);
  },

  embedding_and_dense(g) {
    const [table, a] = [holder(g, "table", [10, 4]), holder(g, "a", [null], "int32")];
    const loss = add(reduceAll(g, "Sum", gather(table, a)), reduceAll(g, "Sum", square(table)));
    gradients(loss, [table]);
  },

  stopped(g) {
    const x = holder(g, "x", [3]);
    const y = square(x);
    const z = add(mul(y, unary("StopGradient")(y)), y);
    gradients(z, [x, y], { stopGradients: [y] });
  },

  weighted(g) {
    const [x, dy] = [holder(g, "x", [3]), holder(g, "dy", [3])];
    gradients([square(x), exp(x)], [x], { gradYs: [dy, null] });
  },

  second_order(g) {
    const x = holder(g, "x", []);
    const y = mul(mul(x, x), x);
    const [dx] = gradients(y, x);
    gradients(dx as Output, x);
  },

  unconnected(g) {
    const [x, z] = [holder(g, "x", [2]), holder(g, "z", [null, 3])];
    gradients(square(x), [x, z], { unconnectedGradients: "zero" });
  },

  unused_output(g) {
    const x = holder(g, "x", [4, 2]);
    const b = g.nameScope("split", (scope) => {
      const axis = g.constant(0, { dtype: "int32", name: "split_dim" });
      return g.addOp("Split", [axis, x], { name: scope, attrs: { num_split: 2 } }).output(1);
    });
    gradients(square(b), x);
  },

  gated(g) {
    const [x, w] = [holder(g, "x", [2, 3]), holder(g, "w", [3, 2])];
    gradients(tanh(matmul(x, w)), [x, w], { gateGradients: true });
  },

  colocated(g) {
    const [x, w] = [holder(g, "x", [2, 3]), holder(g, "w", [3, 2])];
    const y = tanh(matmul(x, w));
    gradients(add(y, square(y)), [x, w], { colocateGradientsWithOps: true });
  },

  scoped(g) {
    const x = holder(g, "x", [2]);
    g.nameScope("model", () => {
      const y = square(x);
      gradients(y, x);
      gradients(y, x, { name: "again" });
    });
  },

  simple_cond(g) {
    const [p, x, y] = [holder(g, "p", [], "bool"), holder(g, "x", [2]), holder(g, "y", [2])];
    cond(
      p,
      () => add(x, y),
      () => mul(x, 2),
    );
  },

  cond_constants(g) {
    const [p, x] = [holder(g, "p", [], "bool"), holder(g, "x", [2])];
    const yes = () => [g.constant(1), x];
    const no = () => [g.constant(2), square(x)];
    cond(p, yes, no, { name: "pick" });
  },

  cond_nested(g) {
    const [p, q, x] = [holder(g, "p", [], "bool"), holder(g, "q", [], "bool"), holder(g, "x", [2])];
    const inner = () =>
      cond(
        q,
        () => add(x, 1),
        () => x,
      );
    cond(p, inner, () => square(x));
  },

  cond_gradient(g) {
    const [p, x, y] = [holder(g, "p", [], "bool"), holder(g, "x", [2]), holder(g, "y", [2])];
    const z = cond(
      p,
      () => add(square(x), y),
      () => exp(y),
    );
    gradients(z, [x, y]);
  },

  cond_gradient_unknown(g) {
    const [p, x, y] = [holder(g, "p", [], "bool"), holder(g, "x", null), holder(g, "y", [null, 2])];
    const z = cond(
      p,
      () => square(x),
      () => mul(x, y),
    );
    gradients(z, [x, y]);
  },

  cond_gradient_colocated(g) {
    const [p, x, y] = [holder(g, "p", [], "bool"), holder(g, "x", [2]), holder(g, "y", [2])];
    const z = cond(
      p,
      () => square(x),
      () => mul(x, y),
    );
    gradients(z, [x, y], { colocateGradientsWithOps: true });
  },

  batch_norm_cond(g) {
    const [x, w] = [holder(g, "x", [null, 8, 8, 3]), holder(g, "w", [3, 3, 3, 4])];
    const training = holder(g, "training", [], "bool");
    const [gamma, beta] = [holder(g, "gamma", [4]), holder(g, "beta", [4])];
    const [mean, variance] = [holder(g, "mean", [4]), holder(g, "variance", [4])];
    const y = conv(x, w);
    const train = () => batchNorm([y, gamma, beta, ...noStatistics(g)], true);
    const infer = () => batchNorm([y, gamma, beta, mean, variance], false);
    const [out] = cond(training, train, infer) as Output[];
    gradients(reduceAll(g, "Mean", unary("Relu")(out!)), [w, gamma, beta]);
  },

  cond_resource(g) {
    const [p, x] = [holder(g, "p", [], "bool"), holder(g, "x", [2])];
    const make = (name: string) =>
      g.add("VarHandleOp", [], {
        name,
        attrs: { dtype: "float32", shape: { dims: [2] }, shared_name: name },
      });
    const [v, u] = [make("v"), make("u")];
    const read = (h: Output) =>
      g.add("ReadVariableOp", [h], { name: "ReadVariableOp", attrs: { dtype: "float32" } });
    const z = cond(
      p,
      () => mul(x, read(v)),
      () => add(read(v), read(u)),
    );
    gradients(z, [v, u]);
  },

  cond_reference(g) {
    const p = holder(g, "p", [], "bool");
    const w = g.add("VariableV2", [], { name: "w", attrs: { dtype: "float32", shape: { dims: [2] } } });
    const assign = (values: number[]) => g.add("Assign", [w, values], { name: "Assign" });
    cond(
      p,
      () => assign([1, 2]),
      () => w,
    );
    cond(
      p,
      () => assign([3, 4]).op,
      () => g.addOp("NoOp", [], { name: "NoOp" }),
    );
  },

  cond_embedding(g) {
    const [p, table] = [holder(g, "p", [], "bool"), holder(g, "table", [10, 4])];
    const ids = holder(g, "ids", [3], "int32");
    const z = cond(
      p,
      () => gather(table, ids),
      () => g.constant(0, { shape: [3, 4], name: "zeros" }),
    );
    gradients(z, table);
  },
};
