import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { isVarscopeError } from "../../base/index.ts";
import { SavedObjectGraphSchema, TrackableObjectGraphSchema } from "../../proto/index.ts";
import { openCheckpointCollection } from "../checkpoint/index.ts";
import { attributeKey, readObjectGraph, unescapeLocalName } from "./graph.ts";
import { checkpointObjects, savedObjects, type TreeObject } from "./tree.ts";

const GOLDENS = new URL("../../../tests/goldens/", import.meta.url);
const TREES: Record<
  string,
  { children: Record<string, Record<string, number>>; paths: Record<string, string> }
> = JSON.parse(gunzipSync(readFileSync(new URL("object-tree/trees.json.gz", GOLDENS))).toString());

async function opened(name: string): Promise<TreeObject[]> {
  const path = fileURLToPath(new URL(`object-checkpoint/${name}`, GOLDENS));
  const { extras, close } = await openCheckpointCollection(path);
  await close();
  return checkpointObjects(readObjectGraph(extras.objectGraph!, name), name);
}

/** Path as CheckpointView spells it. */
const viewPath = (path: string): string =>
  ["root", ...(path === "" ? [] : path.split("/").map(unescapeLocalName))].join(".");

describe.each(Object.keys(TREES))("objects of %s", (name) => {
  test("have the children and paths that TensorFlow's CheckpointView tells", async () => {
    const objects = await opened(name);
    const { children, paths } = TREES[name]!;
    // a slot is no child, and CheckpointView does not come to it
    const reached = objects.filter((o) => o.path !== null && !o.path.includes(".OPTIMIZER_SLOT"));
    expect(reached.map((o) => String(o.id))).toEqual(
      Object.keys(paths).sort((a, b) => Number(a) - Number(b)),
    );
    for (const o of reached) {
      expect(Object.fromEntries(o.children.map((c) => [c.name, c.id]))).toEqual(children[o.id]);
      expect(viewPath(o.path!)).toBe(paths[o.id]);
    }
  });

  test("stand at the path that is in their keys", async () => {
    for (const o of await opened(name))
      for (const { attribute, key } of o.values) expect(attributeKey(o.path!, attribute)).toBe(key);
  });
});

const graphOf = (nodes: { children?: [string, number][]; slots?: [string, number, number][] }[]) =>
  create(TrackableObjectGraphSchema, {
    nodes: nodes.map(({ children = [], slots = [] }) => ({
      children: children.map(([localName, nodeId]) => ({ localName, nodeId })),
      slotVariables: slots.map(([slotName, originalVariableNodeId, slotVariableNodeId]) => ({
        slotName,
        originalVariableNodeId,
        slotVariableNodeId,
      })),
    })),
  });

describe("graphs of objects", () => {
  test("cycles end, a shared object has one place, what no path leads to has none", () => {
    const graph = graphOf([
      {
        children: [
          ["long", 1],
          ["b", 2],
        ],
      },
      {
        children: [
          ["way", 3],
          ["root", 0],
        ],
      },
      {
        children: [
          ["b", 2],
          ["short", 3],
        ],
      },
      {},
      { children: [["nobody", 4]] },
    ]);
    const objects = checkpointObjects(graph, "");
    expect(objects.map((o) => o.path)).toEqual(["", "long", "b", "long/way", null]);
    expect(objects[3]!.parent).toEqual({ id: 1, edge: 0 });
    expect(objects[4]!.parent).toBeNull();
  });

  test("a slot's path names variable and optimizer; what hangs on it is found too", () => {
    const graph = graphOf([
      {
        children: [
          ["w.x", 1],
          ["opt", 2],
        ],
      },
      {},
      { children: [["iter", 1]], slots: [["m", 1, 3]] },
      { children: [["inner", 4]] },
      {},
    ]);
    const slot = "w..x/.OPTIMIZER_SLOT/opt/m";
    expect(checkpointObjects(graph, "").map((o) => o.path)).toEqual([
      "",
      "w..x",
      "opt",
      slot,
      `${slot}/inner`,
    ]);
  });

  test("of a SavedModel say what they are", () => {
    const graph = create(SavedObjectGraphSchema, {
      nodes: [
        {
          userObject: { identifier: "_generic_user_object" },
          children: [1, 2, 3, 4, 5, 6].map((nodeId) => ({ nodeId, localName: `c${nodeId}` })),
        },
        { variable: { name: "w", dtype: 1, trainable: true, shape: { dim: [{ size: -1n }, { size: 2n }] } } },
        { function: { concreteFunctions: ["f_1", "f_2"] } },
        { constant: { operation: "Const" } },
        { asset: { assetFileDefIndex: 3 } },
        { resource: {} },
        { bareConcreteFunction: { concreteFunctionName: "f_1" } },
      ],
    });
    const objects = savedObjects(graph, new Set(["c1/.ATTRIBUTES/VARIABLE_VALUE"]), "");
    expect(objects.map((o) => [o.kind, o.detail])).toEqual([
      ["_generic_user_object", undefined],
      ["variable", undefined],
      ["function", "f_1, f_2"],
      ["constant", "Const"],
      ["asset", "3"],
      ["resource", undefined],
      ["concrete function", "f_1"],
    ]);
    expect(objects[1]!.values).toEqual([
      {
        attribute: "VARIABLE_VALUE",
        fullName: "w",
        key: "c1/.ATTRIBUTES/VARIABLE_VALUE",
        dtype: "float32",
        shape: [null, 2],
      },
    ]);
    expect(savedObjects(graph, new Set(), "")[1]!.values[0]!.key).toBe("");
  });

  test("that refer to nothing are refused; a chain is no deep stack, and its paths have a limit", () => {
    const broken = create(SavedObjectGraphSchema, { nodes: [{ children: [{ nodeId: 7, localName: "a" }] }] });
    expect(() => savedObjects(broken, new Set(), "f")).toThrow(
      "f: node 0 of the object graph refers to node 7; it has 1",
    );
    const chain = (length: number, name: string) =>
      graphOf(Array.from({ length }, (_, i) => (i + 1 < length ? { children: [[name, i + 1]] } : {})));
    expect(checkpointObjects(chain(5_000, "a"), "").at(-1)!.path).toHaveLength(2 * 4_999 - 1);
    const refused = (() => {
      try {
        checkpointObjects(chain(3_000, "a name of thirty letters, just"), "");
      } catch (e) {
        return e;
      }
    })();
    expect(isVarscopeError(refused, "RESOURCE_EXHAUSTED")).toBe(true);
  });
});
