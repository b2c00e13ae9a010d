/** @file What mutants are made of beyond containers of variables: graphs with control flow, records, states, answers of servers. Start at `programs`. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { tensor } from "../../src/base/index.ts";
import { Origins, PASSES, provenanceOf } from "../../src/edit/transform/index.ts";
import { namedPlace } from "../../src/edit/transform/provenance.ts";
import { writeEvent, writeVersionEvent } from "../../src/formats/events/event-file.ts";
import { readGraphDef, writeGraphDef, writeTensorProto } from "../../src/formats/graph-def/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import * as proto from "../../src/proto/index.ts";
import type { Kind, Seed } from "./corpus.ts";

const ENCODER = new TextEncoder();
const LARGEST_GRAPH = 40_000;

/** @param containers - found so far: graphs are taken from them, too; @param files - all goldens */
export function programs(containers: readonly Seed[], files: readonly string[]): Seed[] {
  const found: Seed[] = [];
  const add = (kind: Kind, open: string, content: Uint8Array): void => {
    if (content.length <= LARGEST_GRAPH) found.push({ kind, open, files: new Map([[open, content]]) });
  };
  for (const path of files) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (!/\/(control-flow|loops)\/[^/]*\.pb\.gz$/.test(path)) continue;
    const bytes = new Uint8Array(gunzipSync(readFileSync(path)));
    add("control-flow", name.replace(/\.gz$/, ""), bytes);
  }
  for (const { kind, open, files: of } of containers) {
    if (kind === "graph-def") add("transform", open, of.get(open)!);
    if (kind === "meta-graph") add("meta-graph-import", open, of.get(open)!);
    if (kind === "saved-model") found.push({ kind: "saved-model-load", open, files: of });
  }
  const flow = found.filter((s) => s.kind === "control-flow");
  for (const kind of ["transform", "control-flow-run"] as const)
    found.push(...flow.map((seed) => ({ ...seed, kind })));
  for (const { open, files: of } of containers.filter((s) => s.kind === "graph-def" && s.open.includes("bn")))
    found.push(provenance(open, of.get(open)!));
  return [...found, events(), ...states(), ...answers()];
}

/** A folded graph and its record. */
function provenance(open: string, bytes: Uint8Array): Seed {
  const origins = new Origins(CORE_OPS, namedPlace);
  const { graph } = PASSES.get("fold-batch-norm")!.run(readGraphDef(bytes, { registry: CORE_OPS }), {
    origins,
  });
  const folded = writeGraphDef(graph);
  const facts = { source: { graph: open, checkpoint: null }, outputs: [], passes: [], bytes: folded };
  const record = ENCODER.encode(JSON.stringify(provenanceOf(graph, origins, facts)));
  return {
    kind: "provenance",
    open,
    files: new Map([
      ["graph.pb", folded],
      ["record.json", record],
    ]),
  };
}

function events(): Seed {
  const value = (tag: string, x: object) => ({ tag, ...x });
  const records = [
    writeVersionEvent(1.5),
    writeEvent({
      step: 1n,
      what: {
        case: "summary",
        value: { value: [value("loss", { value: { case: "simpleValue", value: 0.5 } })] },
      },
    } as never),
    writeEvent({ step: 2n, what: { case: "graphDef", value: ENCODER.encode("graph") } }),
    writeEvent({ step: 3n, what: { case: "sessionLog", value: { status: 3, checkpointPath: "model-3" } } }),
  ];
  return {
    kind: "events",
    open: "events",
    files: new Map([["events", Uint8Array.from(records.flatMap((x) => [...x]))]]),
  };
}

/** States of iterators over the pipelines of check-programs.ts. */
function states(): Seed[] {
  const shuffle = { kind: "shuffle", seeds: [87654321, 7], taken: 3, input: { kind: "slices", index: 0 } };
  const all = {
    plain: { kind: "slices", index: 4 },
    shuffled: shuffle,
    repeated: { kind: "repeat", round: 2, input: shuffle },
    endless: {
      kind: "shuffle",
      seeds: [87654321, 7],
      taken: 40,
      input: { kind: "repeat", round: 0, input: { kind: "slices", index: 0 } },
    },
  };
  return Object.entries(all).map(([open, state]) => ({
    kind: "iterator-state",
    open,
    files: new Map([["state.json", ENCODER.encode(JSON.stringify(state))]]),
  }));
}

/** What a server says, method by method. */
function answers(): Seed[] {
  const encode = <D extends DescMessage>(schema: D, fields: MessageInitShape<D>): Uint8Array =>
    toBinary(schema, create(schema, fields));
  const values = {
    "y:0": tensor([1, 2, 3, 4], "float32", [2, 2]),
    "n:0": tensor(7, "int64"),
    "s:0": tensor(["a", "bc"], "string"),
    "b:0": tensor([true, false], "bool"),
  };
  const named = Object.entries(values).map(([name, t]) => ({ name, tensor: writeTensorProto(t) }));
  const node = {
    nodeName: "y",
    allStartMicros: 1n,
    allEndRelMicros: 2n,
    timelineLabel: "y = Mul(x)",
    threadId: 1,
  };
  const metadata = { stepStats: { devStats: [{ device: "/cpu:0", nodeStats: [node] }] } };
  const device = { name: "/job:worker/task:0/device:CPU:0", deviceType: "CPU", memoryLimit: 1n << 30n };
  const files = new Map([
    ["CreateSession", encode(proto.CreateSessionResponseSchema, { sessionHandle: "s1", graphVersion: 1n })],
    ["ExtendSession", encode(proto.ExtendSessionResponseSchema, { newGraphVersion: 2n })],
    ["RunStep", encode(proto.RunStepResponseSchema, { tensor: named, metadata })],
    [
      "ListDevices",
      encode(proto.ListDevicesResponseSchema, { localDevice: [device], remoteDevice: [device] }),
    ],
  ]);
  return [{ kind: "server-answer", open: "RunStep", files }];
}
