import { describe, expect, test } from "vitest";
import { type Nested, type Tensor, tensor } from "../base/index.ts";
import { Graph, type Operation, type Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS } from "./index.ts";

const newGraph = (): Graph => new Graph(CORE_OPS);

const refVariable = (g: Graph, dims: (number | null)[] | null, name = "v"): Output =>
  g.add("VariableV2", [], { name, attrs: { dtype: "float32", shape: { dims } } });

const handle = (g: Graph, dims: number[] | null, name = "h"): Output =>
  g.add("VarHandleOp", [], { name, attrs: { dtype: "float32", shape: { dims }, shared_name: name } });

const placeholder = (g: Graph, dims: (number | null)[] | null = null): Output =>
  g.add("Placeholder", [], { attrs: { dtype: "float32", shape: { dims } } });

async function withSession<R>(g: Graph, body: (session: Session) => Promise<R>): Promise<R> {
  const session = new Session(g);
  try {
    return await body(session);
  } finally {
    await session.close();
  }
}

const values = async (session: Session, x: Output): Promise<number[]> =>
  Array.from(((await session.run(x)) as Tensor).data as Float32Array);

describe("ref variables", () => {
  test("an assignment's output is the variable after it", async () => {
    const g = newGraph();
    const v = refVariable(g, [2]);
    const init = g.addOp("Assign", [v, [1, 2]]);
    const more = g.add("AssignAdd", [v, [10, 20]]);
    await withSession(g, async (session) => {
      await session.run([], { targets: [init] });
      expect(await values(session, more)).toEqual([11, 22]);
      expect(await values(session, v)).toEqual([11, 22]);
    });
  });

  test("an assignment of another shape leaves the value", async () => {
    const g = newGraph();
    const v = refVariable(g, [2]);
    const value = placeholder(g);
    const assign = g.addOp("Assign", [v, value]);
    await withSession(g, async (session) => {
      await session.run([], { targets: [assign], feeds: new Map([[value, [1, 2]]]) });
      const wrong = session.run([], { targets: [assign], feeds: new Map([[value, [1, 2, 3]]]) });
      await expect(wrong).rejects.toThrow(
        "Assign requires shapes of both tensors to match. lhs shape= [2] rhs shape= [3]",
      );
      expect(await values(session, v)).toEqual([1, 2]);
    });
  });

  test("without validation the variable takes the value's shape", async () => {
    const g = newGraph();
    const v = refVariable(g, null);
    const assign = g.addOp("Assign", [v, [1, 2, 3]], { attrs: { validate_shape: false } });
    await withSession(g, async (session) => {
      await session.run([], { targets: [assign] });
      expect(await values(session, v)).toEqual([1, 2, 3]);
    });
  });

  test("a scalar shape of the old Variable op may mean any shape", () => {
    const g = newGraph();
    const attrs = (dims: number[]) => ({ dtype: "float32", shape: { dims } }) as const;
    expect(g.add("Variable", [], { attrs: attrs([]) }).shape).toBe(null);
    expect(g.add("Variable", [], { attrs: attrs([2]) }).shape).toEqual([2]);
  });

  test("only a variable can be assigned to", () => {
    const g = newGraph();
    expect(() => g.add("Assign", [g.constant([1]), [2]])).toThrow("requires l-value input");
  });
});

describe("resource variables", () => {
  test("what has no value yet is said", async () => {
    const g = newGraph();
    const h = handle(g, [2]);
    const read = g.add("ReadVariableOp", [h], { attrs: { dtype: "float32" } });
    const probe = g.add("VarIsInitializedOp", [h]);
    const init = g.addOp("AssignVariableOp", [h, [1, 2]]);
    await withSession(g, async (session) => {
      await expect(session.run(read)).rejects.toThrow("Could not find variable h");
      expect(await values(session, probe)).toEqual([0]);
      await session.run([], { targets: [init] });
      expect(await values(session, probe)).toEqual([1]);
      expect(await values(session, read)).toEqual([1, 2]);
    });
  });

  test("the declared shape holds, though TensorFlow lets such a value pass", async () => {
    const g = newGraph();
    const value = placeholder(g);
    const assign = g.addOp("AssignVariableOp", [handle(g, [2]), value]);
    await withSession(g, async (session) => {
      const wrong = session.run([], { targets: [assign], feeds: new Map([[value, [1, 2, 3]]]) });
      await expect(wrong).rejects.toThrow("wrong shape. Expected [2] got [3]");
    });
  });

  test("a variable is not destroyed", async () => {
    const g = newGraph();
    const destroy = g.addOp("DestroyResourceOp", [handle(g, [2])]);
    await withSession(g, async (session) => {
      await expect(session.run([], { targets: [destroy] })).rejects.toThrow("close the session");
    });
  });
});

describe("rows, by host kernels", () => {
  const t = (v: Nested, dtype: Tensor["dtype"] = "float32"): Tensor => tensor(v, dtype);
  const table = t([
    [1, 2],
    [3, 4],
  ]);
  const host = (
    type: string,
    inputs: Record<string, Tensor>,
    attrs: Record<string, unknown> = {},
  ): unknown => {
    const def = CORE_OPS.get(type)!;
    const op = { name: "rows", type, inputs: [] } as unknown as Operation;
    if (def.updateHost !== undefined) return def.updateHost(inputs as never, attrs as never, op);
    return (def.host as (...args: unknown[]) => unknown)(inputs, attrs, { op });
  };

  test("an index outside is named with its place", () => {
    const indices = t(
      [
        [0, 1],
        [1, 2],
      ],
      "int32",
    );
    expect(() => host("ResourceGather", { resource: table, indices }, { batch_dims: 0 })).toThrow(
      "indices[1,1] = 2 is not in [0, 2)",
    );
    const scatter = { resource: table, indices: t([0, -1], "int32"), updates: table };
    expect(() => host("ResourceScatterAdd", scatter)).toThrow("indices[1] = -1 is not in [0, 2)");
    expect(() => host("ResourceGatherNd", { resource: table, indices: t([[1, 2]], "int32") })).toThrow(
      "indices[0] = [1, 2] does not index into param shape [2,2], node name: rows",
    );
  });

  test("updates of another shape are named with all shapes", () => {
    const inputs = { ref: table, indices: t([0, 1], "int32"), updates: t([[1, 2, 3]]) };
    expect(() => host("ScatterSub", inputs)).toThrow(
      "got updates.shape [1,3], indices.shape [2], params.shape [2,2]",
    );
  });

  test("half floats round after every update", () => {
    const half = { dtype: "float16", shape: [1, 1], data: Uint16Array.of(0x6800) } as const; // 2048
    const updates = t([[1], [1]], "float16");
    const { ref } = host("ScatterAdd", { ref: half, indices: t([0, 0], "int32"), updates }) as {
      ref: Tensor;
    };
    // 2049 is no half float: each 1 is lost, while their sum would not be
    expect([...(ref.data as Uint16Array)]).toEqual([0x6800]);
    expect([...half.data]).toEqual([0x6800]);
  });

  test("optimizers say which shape is wrong", () => {
    const attrs = { T: "float32", use_locking: false };
    const scalar = tensor(0.1, "float32", []);
    const inputs = { var: table, accum: t([1, 2]), lr: scalar, grad: table, momentum: scalar };
    expect(() => host("ResourceApplyMomentum", inputs, attrs)).toThrow(
      "var and accum do not have the same shape[2,2] [2]",
    );
    expect(() => host("ApplyGradientDescent", { var: table, alpha: t([1]), delta: table }, attrs)).toThrow(
      "alpha is not a scalar: [1]",
    );
    const sparse = { var: table, accum: table, lr: scalar, grad: table, indices: t([0], "int32") };
    expect(() => host("SparseApplyAdagrad", sparse, attrs)).toThrow(
      "grad must have shape [1,2], one row for each index",
    );
    const ints = { var: t([1], "int32"), alpha: tensor(1, "int32", []), delta: t([1], "int32") };
    expect(() => host("ApplyGradientDescent", ints, { T: "int32" })).toThrow("no kernel for int32");
  });
});
