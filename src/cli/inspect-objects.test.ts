import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { checkpointObjects, readObjectGraph, writeObjectGraph } from "../formats/object-graph/index.ts";
import { TrackableObjectGraphSchema } from "../proto/index.ts";
import { treeText } from "./inspect-objects.ts";
import { runCli } from "./program.ts";
import { styleFor } from "./terminal.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens");

async function cli(...argv: string[]) {
  let [out, err] = ["", ""];
  const code = await runCli(argv, {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out, err };
}

const lines = async (name: string): Promise<string[]> => {
  const { code, out, err } = await cli("inspect", join(GOLDENS, name), "--objects");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return out.split("\n").map((line) => line.replaceAll(/(?<=\S) {2,}/g, "  "));
};

describe("varscope inspect --objects", () => {
  test("shows a checkpoint's tree: names, dtypes, shapes, keys; values that are no variables", async () => {
    const text = await lines("object-checkpoint/plain-1");
    expect(text[1]).toBe("21 objects, 9 of them variables");
    expect(text.slice(3, 11)).toEqual([
      "object  is  variable  dtype  shape  key",
      "(root)",
      "  a.b",
      "    w  Variable  float32  [2]  a..b/w/.ATTRIBUTES/VARIABLE_VALUE",
      "    items  list of 2",
      "      0  Variable  float32  []  a..b/items/0/.ATTRIBUTES/VARIABLE_VALUE",
      "      1",
      "        x.y/z  w  float32  []  a..b/items/1/x..y.Sz/.ATTRIBUTES/VARIABLE_VALUE",
    ]);
    expect(text).toContain("    (py_state)  value  string  []  state/.ATTRIBUTES/py_state");
  });

  test("a shared object stands where its key says, elsewhere is a reference; slots stand below their optimizer", async () => {
    const keras3 = await lines("object-checkpoint/k3-seq-adam");
    expect(keras3).toContain(
      "          _kernel  -> optimizer/_trainable_variables/0  sequential/d/kernel  float32  [4,3]",
    );
    expect(
      keras3.filter((line) => line.includes("optimizer/_trainable_variables/0/.ATTRIBUTES")),
    ).toHaveLength(1);
    const keras2 = await lines("object-checkpoint/k2-seq-adam");
    expect(keras2).toContain("    layer-0  -> model/layer_with_weights-0");
    expect(keras2).toContain(
      "    m of model/layer_with_weights-0/kernel  Adam/d/kernel/m  float32  [4,3]  model/layer_with_weights-0/kernel/.OPTIMIZER_SLOT/optimizer/m/.ATTRIBUTES/VARIABLE_VALUE",
    );
  });

  test("a SavedModel's objects are what it is loaded as: functions, assets, constants, variables", async () => {
    const text = await lines("saved-model-run/table2");
    expect(text).toContain("  file  asset: 0");
    expect(text).toContain("      _filename  -> file");
    expect(text).toContain("  rows  rows  float32  [4,2]  rows/.ATTRIBUTES/VARIABLE_VALUE");
    expect(
      text.some((line) => /^ {4}trace_0 {2}concrete function: __inference___call___\d+$/.test(line)),
    ).toBe(true);
    expect(await lines("saved-model/keras3")).toContain(
      "    4  not trainable  net/bn/moving_mean  float32  [3]  variables/4/.ATTRIBUTES/VARIABLE_VALUE",
    );
  });

  test("--json has every object once, edges by id", async () => {
    const { out } = await cli(
      "inspect",
      join(GOLDENS, "object-checkpoint/k2-seq-adam"),
      "--objects",
      "--json",
    );
    const { format, objects } = JSON.parse(out);
    expect([format, objects.length]).toEqual(["checkpoint-object", 33]);
    const optimizer = objects.find((o: { path: string }) => o.path === "optimizer");
    expect(optimizer.slots[0]).toMatchObject({ name: "m" });
    const slot = objects[optimizer.slots[0].id];
    expect(slot.values[0]).toMatchObject({ fullName: "Adam/d/kernel/m", dtype: "float32", shape: [4, 3] });
    expect(objects[optimizer.slots[0].of].values[0].fullName).toBe("d/kernel");
    expect(objects[0]).toMatchObject({ path: "", parent: null, kind: "object", values: [] });
  });

  test("what has no objects is told so; it does not go with --stats, --filter, --slots", async () => {
    for (const name of ["slim/small.ckpt-20", "saved-model/tf1"]) {
      const { code, err } = await cli("inspect", join(GOLDENS, name), "--objects");
      expect(code).toBe(1);
      expect(err).toMatch(/FAILED_PRECONDITION.*has no graph of objects/);
    }
    const { code, err } = await cli(
      "inspect",
      join(GOLDENS, "object-checkpoint/plain-1"),
      "--objects",
      "--stats",
    );
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining("cannot be used with") });
  });

  test("cycles end, and neither deep trees nor long names make long lines", () => {
    const nodes = Array.from({ length: 300 }, (_, i) => ({
      children: [
        {
          localName: i === 7 ? "x".repeat(10_000) : i === 8 ? "\u001b[2J\n" : "a",
          nodeId: Math.min(i + 1, 299),
        },
        { localName: "root", nodeId: 0 },
      ],
    }));
    const bytes = writeObjectGraph(create(TrackableObjectGraphSchema, { nodes }));
    const objects = checkpointObjects(readObjectGraph(bytes, ""), "");
    const text = treeText({ path: "p", format: "checkpoint-object", objects }, styleFor({ write: () => {} }));
    const all = text.split("\n");
    expect(all.filter((line) => line.trim().startsWith("root"))).toHaveLength(300);
    expect(all.filter((line) => line.trim() === String.raw`\x1b[2J\x0a`)).toHaveLength(1);
    expect(Math.max(...all.map((line) => line.length))).toBeLessThan(500);
  });
});
