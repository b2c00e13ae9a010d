/** Graphs, conditionals and gradients built here have the NodeDefs that TensorFlow Python makes for the same program. */

import { readdirSync, readFileSync } from "node:fs";
import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { toGraphDef, writeGraphDef } from "../../src/formats/graph-def/index.ts";
import { Graph } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import { AttrValueSchema, type GraphDef, GraphDefSchema } from "../../src/proto/graph.gen.ts";
import { PROGRAMS } from "./graph-programs.ts";

const GOLDENS = new URL("../goldens/graph/", import.meta.url);

/** One readable line a node. */
const lines = (def: GraphDef): string[] =>
  def.node.map((n) => {
    const attrs = Object.keys(n.attr)
      .sort()
      .map((k) => `${k}=${JSON.stringify(toJson(AttrValueSchema, n.attr[k]!))}`);
    return [n.name, n.op, `(${n.input.join(", ")})`, n.device, ...attrs].join(" ");
  });

/** Python sorts map keys with longer ones first ("Tidx", "T"), C++ does not: the same bytes in C++'s order. */
function inOrder(def: GraphDef): Uint8Array {
  for (const node of def.node)
    node.attr = Object.fromEntries(Object.entries(node.attr).sort(([a], [b]) => (a < b ? -1 : 1)));
  return toBinary(GraphDefSchema, def);
}

describe("programs", () => {
  test("there is one for each golden", () => {
    const manifest = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8"));
    const wanted = manifest.files
      .filter((f: { what: string }) => f.what === "program")
      .map((f: { file: string }) => f.file.replace(".pb", ""));
    expect(Object.keys(PROGRAMS).sort()).toEqual(wanted.sort());
    expect(readdirSync(GOLDENS)).toEqual(expect.arrayContaining(wanted.map((name: string) => `${name}.pb`)));
  });

  for (const [name, build] of Object.entries(PROGRAMS)) {
    test(`${name} makes TensorFlow's graph`, () => {
      const golden = readFileSync(new URL(`${name}.pb`, GOLDENS));
      const graph = new Graph(CORE_OPS);
      build(graph);
      const wanted = fromBinary(GraphDefSchema, golden);
      expect(lines(toGraphDef(graph))).toEqual(lines(wanted));
      expect(Buffer.from(writeGraphDef(graph)).equals(inOrder(wanted))).toBe(true);
    });
  }
});
