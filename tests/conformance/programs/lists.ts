/** @file Programs of tensor arrays and lists: twins of tools/goldens/lists.py. */

import { gradients } from "../../../src/autodiff/index.ts";
import { tensor } from "../../../src/base/index.ts";
import {
  densify,
  type Graph,
  type Input,
  isIndexedSlices,
  type Output,
  whileLoop,
} from "../../../src/graph/index.ts";
import { addN, reduceSum, tensorArray } from "../../../src/ops/index.ts";
import { element, range, shape } from "../../../src/ops/pieces.ts";
import { add, holder, identity, mul, type Program, tanh, unary } from "./pieces.ts";

const sin = unary("Sin");

const lossOf = (outputs: readonly Output[]): Output =>
  addN(
    outputs.map((y) => reduceSum(sin(y))),
    "loss",
  );

const gradientOf = (y: Output, x: Output): Output => {
  const [dx] = gradients(y, x);
  return isIndexedSlices(dx!) ? densify(dx) : dx!;
};

function tensorArrays(g: Graph): void {
  const x = holder(g, "x", [4, 2]);
  const kept = tensorArray(g, "float32", 4, { clearAfterRead: false }).unstack(x);
  const one = kept.read(2);
  const some = kept.gather([3, 0]);
  const empty = tensorArray(g, "float32", 0, { dynamicSize: true });
  const made = empty.write(2, mul(one, 2)).write(0, one);
  const parts = tensorArray(g, "float32", 2, { inferShape: false }).split(x, [1, 3]);
  const scattered = tensorArray(g, "float32", 4).scatter([2, 0, 1, 3], mul(x, x));
  const even = tensorArray(g, "float32", 2).split(x, g.constant([2, 2], { dtype: "int64" }));
  const loss = lossOf([one, some, made.stack(), parts.read(1), scattered.stack(), even.concat()]);
  const dx = gradientOf(loss, x);
  const again = gradientOf(loss, x);
  identity(dx, "dx");
  identity(again, "again");
  identity(made.size(), "size");
}

function named(g: Graph): void {
  const x = holder(g, "x", [null, 2]);
  const n = element(g, shape(x), 0);
  const b = g.nameScope("in", () => {
    const options = { tensorArrayName: "rows", elementShape: [null], name: "made" };
    const a = tensorArray(g, "float32", n, options).unstack(x, "filled");
    const apart = tensorArray(g, "float32", n, { colocateWithFirstWriteCall: false });
    return apart.write(0, a.read(0, "first"), "put").write(1, [5, 6]);
  });
  const [y, z, part] = g.withDevice("/cpu:0", () => [
    b.stack("all"),
    b.concat("flat"),
    b.gather(range(g, 0, 1), "part"),
  ]) as [Output, Output, Output];
  const ints = tensorArray(g, "int64", 1).write(0, g.constant(3, { dtype: "int64" }));
  identity(ints.read(0), "int");
  g.controlDependencies([ints.flow], () => ints.close());
  lossOf([y]);
  identity(gradientOf(y, x), "dx");
  shape(z, { name: "flat_shape" });
  identity(part, "some");
}

function inLoop(g: Graph): void {
  const x = holder(g, "x", [null, 2]);
  const n = element(g, shape(x), 0);
  const source = tensorArray(g, "float32", n).unstack(x);
  const made = tensorArray(g, "float32", n, { clearAfterRead: false });
  const zeros = g.constant(0, { dtype: "float32", shape: [2], name: "zeros" });
  const [, flow, last] = whileLoop(
    g,
    (i) => g.add("Less", [i!, n], { name: "Less" }),
    (i, before, old) => {
      const state = tanh(add(source.read(i!), old!));
      return [add(i!, 1), made.withFlow(before!).write(i!, state).flow, state];
    },
    [tensor(0, "int32", []), made.flow, zeros],
  );
  identity(last!, "last");
  identity(made.withFlow(flow!).stack(), "y");
}

const F32 = { element_dtype: "float32" } as const;
const item = (list: Output, index: number): Output =>
  list.graph.add("TensorListGetItem", [list, index, -1], { attrs: F32 });
const set = (list: Output, index: number, x: Output, grows = false): Output =>
  list.graph.add("TensorListSetItem", [list, index, x], { attrs: { resize_if_index_out_of_bounds: grows } });
const stack = (list: Output, elementShape: Input = -1, count = -1): Output =>
  list.graph.add("TensorListStack", [list, elementShape], { attrs: { ...F32, num_elements: count } });
const fromTensor = (x: Output, elementShape: Input): Output =>
  x.graph.add("TensorListFromTensor", [x, elementShape], { attrs: { shape_type: "int32" } });

function tensorLists(g: Graph): void {
  const x = holder(g, "x", [3, 2]);
  const a = fromTensor(x, [2]);
  const got = item(a, 1);
  const pushed = g.add("TensorListPushBack", [set(a, 0, mul(got, 3)), got]);
  const popped = g.addOp("TensorListPopBack", [pushed, -1], { attrs: F32 });
  const [b, last] = popped.outputs as [Output, Output];
  const grown = set(b, 4, last, true);
  const cut = g.add("TensorListResize", [grown, 2]);
  const some = g.add("TensorListGather", [b, [2, 0, 2], -1], { attrs: F32 });
  const attrs = { shape_type: "int32" } as const;
  const scattered = g.add("TensorListScatterV2", [x, [2, 0, 1], [2], -1], { attrs });
  const doubled = mul(x, 2);
  const onto = g.add("TensorListScatterIntoExistingList", [scattered, doubled, [0, 1, 1]]);
  const outputs = [stack(b), stack(cut, [2]), some, stack(scattered, -1, 3), stack(onto)];
  identity(gradientOf(lossOf(outputs), x), "dx");
}

function listParts(g: Graph): void {
  const x = holder(g, "x", [null, 2]);
  const v = holder(g, "v", [3]);
  const attrs = { shape_type: "int32" } as const;
  const lengths = g.constant([1, 2], { dtype: "int64" });
  const parts = g.add("TensorListSplit", [x, -1, lengths], { attrs });
  const none = g.constant([], { dtype: "int64", shape: [0] });
  const joined = g.addOp("TensorListConcatV2", [parts, [-1, 2], none], { attrs: { ...F32, ...attrs } });
  const first = item(parts, 0);
  const scalars = fromTensor(v, g.constant([], { dtype: "int32", shape: [0] }));
  const rows = fromTensor(x, -1);
  const old = g.addOp("TensorListConcat", [parts], { attrs: F32 });
  const loss = lossOf([joined.output(0), first, stack(scalars), stack(rows), old.output(0)]);
  const [dx, dv] = gradients(loss, [x, v]) as [Output, Output];
  identity(dx, "dx");
  identity(dv, "dv");
}

export const LIST_PROGRAMS: Readonly<Record<string, Program>> = {
  tensor_array: tensorArrays,
  tensor_array_named: named,
  tensor_array_loop: inLoop,
  tensor_list: tensorLists,
  tensor_list_parts: listParts,
};
