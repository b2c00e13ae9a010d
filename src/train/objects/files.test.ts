/** Keys of object-based checkpoints, and files of other layouts. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { toNumbers, zeros } from "../../base/index.ts";
import { newCheckpointReader, openCheckpointCollection } from "../../formats/checkpoint/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { getVariable, globalVariablesInitializer, type Variable, variable } from "../../variables/index.ts";
import { Checkpoint, saver } from "../index.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "objects-"));
});
const open: Session[] = [];
const opened = (g: Graph): Session => {
  const session = new Session(g);
  open.push(session);
  return session;
};
afterEach(async () => {
  await Promise.all(open.splice(0).map((session) => session.close()));
  rmSync(dir, { recursive: true });
});

const valueIn = async (session: Session, v: Variable): Promise<number[]> =>
  toNumbers(await session.run(v.snapshot));

describe("key escaping", () => {
  test("'.' is '..' and '/' is '.S'", async () => {
    const g = new Graph(CORE_OPS);
    const w = getVariable(g, "w", { initializer: [9, 9], useResource: true });
    const b = variable(g, 9, { name: "b" });
    const session = opened(g);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    const checkpoint = new Checkpoint({ a: { "x/k.e/y": w, ".dot": new Map([[7, b]]) } });
    const reader = await newCheckpointReader(await checkpoint.save(session, join(dir, "c")));
    expect([...reader.getVariableToShapeMap().keys()]).toEqual([
      "_CHECKPOINTABLE_OBJECT_GRAPH",
      "a/..dot/7/.ATTRIBUTES/VARIABLE_VALUE",
      "a/x.Sk..e.Sy/.ATTRIBUTES/VARIABLE_VALUE",
      "save_counter/.ATTRIBUTES/VARIABLE_VALUE",
    ]);
    await reader.close();
  });
});

test("a SavedModel's folder is a checkpoint", async () => {
  const g = new Graph(CORE_OPS);
  const scale = variable(g, [[0, 0]], { name: "scale" });
  const session = opened(g);
  (await new Checkpoint({ scale }).read(session, "tests/goldens/saved-model/tf2")).assertConsumed();
  expect(await valueIn(session, scale)).toEqual([1, 2]);
});

describe("a checkpoint of another layout", () => {
  test("Keras 2's in objects named as Keras 3 names them loads nothing, and the report says so, with the names that fit", async () => {
    const path = "tests/goldens/object-checkpoint/k2-seq-adam";
    const g = new Graph(CORE_OPS);
    const names = ["d/kernel", "d/bias"];
    const collection = await openCheckpointCollection(path);
    const [kernel, bias] = names.map((name) => {
      const { shape } = collection.find(name);
      return variable(g, zeros("float32", shape as number[]), { name });
    });
    const session = opened(g);
    await session.run([], { targets: [globalVariablesInitializer(g)] });
    const model = { _operations: [{}, {}, { _kernel: kernel, bias }] };
    const status = await new Checkpoint({ model }).read(session, path);
    expect(status.report.matched).toEqual([]);
    expect(status.report.missing.map(({ name }) => name)).toEqual(names);
    expect(() => status.assertExistingObjectsMatched()).toThrow(/Found 2 Python objects that were not bound/);
    const { assignmentMap } = status.report;
    expect(assignmentMap).toMatchObject({
      "model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE": "d/kernel",
      "model/layer_with_weights-0/bias/.ATTRIBUTES/VARIABLE_VALUE": "d/bias",
    });
    await saver(g).restore(session, path); // by full names
    expect(toNumbers(await session.run(kernel!.snapshot))).toEqual(
      toNumbers(await collection.read("d/kernel")),
    );
    await collection.close();
  });
});
