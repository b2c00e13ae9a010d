/** Graphs of savers have the nodes and SaverDefs that TensorFlow Python gives them. */

import { readFileSync } from "node:fs";
import { toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Graph } from "../../../src/graph/index.ts";
import { CORE_OPS } from "../../../src/ops/index.ts";
import { SaverDefSchema } from "../../../src/proto/meta-graph.gen.ts";
import { SAVER_PROGRAMS, saverDefs } from "./savers.ts";
import { programSuite } from "./suite.ts";

programSuite("savers", SAVER_PROGRAMS);

const { defs } = JSON.parse(
  readFileSync(new URL("../../goldens/savers/savers.json", import.meta.url), "utf8"),
) as { readonly defs: Readonly<Record<string, readonly string[]>> };

test.each(Object.keys(SAVER_PROGRAMS))("%s: SaverDefs are TensorFlow's", (name) => {
  const graph = new Graph(CORE_OPS);
  SAVER_PROGRAMS[name]!(graph);
  const ours = saverDefs
    .get(graph)!
    .map((def) => Buffer.from(toBinary(SaverDefSchema, def!)).toString("hex"));
  expect(ours).toEqual(defs[name]);
});
