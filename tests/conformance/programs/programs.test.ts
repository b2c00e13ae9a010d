/** Whole programs built here have the NodeDefs, collections and values that TensorFlow Python gives the same program. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { toGraphDef } from "../../../src/formats/graph-def/index.ts";
import { Graph } from "../../../src/graph/index.ts";
import { CORE_OPS } from "../../../src/ops/index.ts";
import { AttrValueSchema, type GraphDef, GraphDefSchema } from "../../../src/proto/graph.gen.ts";
import { VariableDefSchema } from "../../../src/proto/variable.gen.ts";
import { globalVariables } from "../../../src/variables/index.ts";
import { LAYER_PROGRAMS } from "./layers.ts";
import { TRAINING_PROGRAMS } from "./training.ts";
import { VARIABLE_PROGRAMS } from "./variables.ts";

const GOLDENS = new URL("../../goldens/programs/", import.meta.url);
const read = (name: string): Buffer => readFileSync(new URL(name, GOLDENS));
const PROGRAMS = { ...VARIABLE_PROGRAMS, ...TRAINING_PROGRAMS, ...LAYER_PROGRAMS };
const VALUES = JSON.parse(gunzipSync(read("values.json.gz")).toString());

/** One readable line a node. */
const lines = (def: GraphDef): string[] =>
  def.node.map((n) => {
    const attrs = Object.keys(n.attr)
      .sort()
      .map((k) => `${k}=${JSON.stringify(toJson(AttrValueSchema, n.attr[k]!))}`);
    return [n.name, n.op, `(${n.input.join(", ")})`, n.device, ...attrs].join(" ");
  });

const build = (name: string): Graph => {
  const graph = new Graph(CORE_OPS);
  PROGRAMS[name]!(graph);
  return graph;
};

test("there is a program for each golden", () => {
  expect(Object.keys(PROGRAMS).sort()).toEqual(Object.keys(VALUES).sort());
});

describe.each(Object.keys(PROGRAMS))("%s", (name) => {
  test("makes TensorFlow's graph", () => {
    const golden = fromBinary(GraphDefSchema, gunzipSync(read(`${name}.pb.gz`)));
    expect(lines(toGraphDef(build(name)))).toEqual(lines(golden));
  });

  test("fills TensorFlow's collections", () => {
    const graph = build(name);
    const collections = Object.fromEntries(
      [...graph.collections]
        .filter(([, items]) => items.every((x) => typeof (x as { name?: unknown }).name === "string"))
        .map(([key, items]) => [key, items.map((x) => (x as { name: string }).name)]),
    );
    expect(collections).toEqual(VALUES[name].collections);
    const defs = globalVariables(graph).map((v) =>
      Buffer.from(toBinary(VariableDefSchema, v.toProto())).toString("hex"),
    );
    expect(defs).toEqual(VALUES[name].variableDefs);
  });
});
