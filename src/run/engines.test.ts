import { expect, test } from "vitest";
import { isVarscopeError, tensor, toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { loadRuntime as loadNative } from "./ort-node.ts";
import { loadWasm } from "./ort-web.ts";
import { loadError, missingKernelAt, type Runtime } from "./runtime.ts";
import { Session } from "./session.ts";

const native = await loadNative();

const placeholder = (g: Graph, name: string, dtype: string, dims: number[]): Output =>
  g.add("Placeholder", [], { name, attrs: { dtype, shape: { dims } } });

/** An engine without a kernel for one TF node; says how many models it loaded and refused. */
function lacking(name: string): { runtime: Runtime; loads: string[] } {
  const loads: string[] = [];
  const load: Runtime["load"] = async (model, ...rest) => {
    if (Buffer.from(model).includes(name)) {
      loads.push("refused");
      throw loadError(
        new Error(
          `[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Relu(14) node with name '${name}#3'`,
        ),
      );
    }
    loads.push("loaded");
    return native.load(model, ...rest);
  };
  return { runtime: { ...native, load }, loads };
}

test("an op without a kernel runs on the host, between ONNX stages, and is not tried again", async () => {
  const g = new Graph(CORE_OPS);
  const x = placeholder(g, "x", "float32", [3]);
  const y = g.add("Neg", [g.add("Relu", [g.add("Neg", [x])], { name: "gate" })]);
  const { runtime, loads } = lacking("gate");
  await using session = new Session(g, { runtime });
  const feeds = new Map([[x, tensor([1, -2, 3], "float32")]]);
  expect(toNumbers(await session.run(y, { feeds }))).toEqual([-0, -2, -0]);
  expect(loads).toEqual(["refused", "loaded", "loaded"]);
  loads.length = 0;
  await session.run([y, g.operation("gate").output(0)], { feeds });
  expect(loads).not.toContain("refused");
});

test("an op with neither kernel nor host form is named", async () => {
  const g = new Graph(CORE_OPS);
  const x = placeholder(g, "x", "float32", [1, 2, 2, 1]);
  const op = g.add("Relu", [x], { name: "only" });
  const def = { ...CORE_OPS.get("Relu")!, host: { absent: "as if" } };
  Object.assign(op.op, { def });
  const { runtime } = lacking("only");
  await using session = new Session(g, { runtime });
  const e = await session
    .run(op, { feeds: new Map([[x, tensor([1, 2, 3, 4], "float32", [1, 2, 2, 1])]]) })
    .catch((e: unknown) => e);
  expect(isVarscopeError(e, "UNIMPLEMENTED")).toBe(true);
  expect(String(e)).toContain("only: this build of ONNX Runtime has no kernel for Relu");
});

test("a wrong model is no missing kernel", () => {
  expect(
    missingKernelAt(loadError(new Error("Node (op#1) Op (Gemm) [ShapeInferenceError] Dimension mismatch"))),
  ).toBe(null);
});

test.each([
  ["native", native],
  ["WASM", await loadWasm()],
] as const)("variables keep what a run writes: %s", async (_name, runtime) => {
  const g = new Graph(CORE_OPS);
  const v = g.add("VarHandleOp", [], {
    name: "v",
    attrs: { dtype: "float32", shape: { dims: [2] }, shared_name: "v" },
  });
  const x = placeholder(g, "x", "float32", [2]);
  const init = g.addOp("AssignVariableOp", [v, g.constant([1, 2], { dtype: "float32" })]);
  const step = g.addOp("AssignAddVariableOp", [v, x]);
  const read = g.add("ReadVariableOp", [v], { attrs: { dtype: "float32" } });
  await using session = new Session(g, { runtime });
  await session.run([], { targets: [init] });
  for (let i = 0; i < 3; i++)
    await session.run([], { targets: [step], feeds: new Map([[x, tensor([1, 10], "float32")]]) });
  expect(toNumbers(await session.run(read))).toEqual([4, 32]);
});

test("what ONNX Runtime finds wrong with data is said in TensorFlow's words", async () => {
  const g = new Graph(CORE_OPS);
  const indices = placeholder(g, "indices", "int32", [2]);
  const y = g.add("Neg", [
    g.add("GatherV2", [
      g.constant([1, 2, 3], { dtype: "float32" }),
      indices,
      g.constant(0, { dtype: "int32" }),
    ]),
  ]);
  await using session = new Session(g, { runtime: native });
  await expect(session.run(y, { feeds: new Map([[indices, tensor([0, 7], "int32")]]) })).rejects.toThrow(
    "indices[1] = 7 is not in [0, 3)",
  );
});
