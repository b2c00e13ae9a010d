/** @file What mutants of graphs, records, states and answers may do. Start at `probePrograms`. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import {
  DTYPES,
  type DType,
  fromData,
  isVarscopeError,
  sizeOf,
  type Tensor,
  tensor,
  VarscopeError,
} from "../../src/base/index.ts";
import { fromTensorSlices } from "../../src/data/index.ts";
import { freezeGraph } from "../../src/edit/graph/freeze.ts";
import { PASSES, readProvenance, refoldGraph } from "../../src/edit/transform/index.ts";
import { readEvents } from "../../src/formats/events/index.ts";
import { importGraphDef, readGraphDef, writeGraphDef } from "../../src/formats/graph-def/index.ts";
import { exportMetaGraph } from "../../src/formats/meta-graph/index.ts";
import { Graph, type Output } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import type { TensorInfo } from "../../src/proto/index.ts";
import { expand, inlineCalls } from "../../src/run/control/expand.ts";
import { Session } from "../../src/run/index.ts";
import { importMetaGraph } from "../../src/train/index.ts";
import { loadSavedModel } from "../../src/train/saved-model/index.ts";
import { readRecords } from "../../src/wire/index.ts";
import type { Outcome } from "./check.ts";
import type { Kind, Seed } from "./corpus.ts";

/** Collects what becomes of the parts of a mutant. */
class Trial {
  good = 0;
  bad = 0;

  async try<T>(work: () => T | Promise<T>): Promise<T | undefined> {
    try {
      const value = await work();
      this.good++;
      return value;
    } catch (e) {
      if (!isVarscopeError(e) || e.code === "INTERNAL") throw e;
      this.bad++;
      return undefined;
    }
  }

  get outcome(): Outcome {
    return this.bad === 0 ? "whole" : this.good === 0 ? "refused" : "partly";
  }
}

type Probe = (seed: Seed, trial: Trial) => Promise<unknown>;

const DTYPE_CODES = new Map(Object.entries(DTYPES).map(([name, { code }]) => [code, name as DType]));

const only = (seed: Seed): Uint8Array => seed.files.get(seed.open) ?? new Uint8Array(0);
const text = (seed: Seed, name: string): string => new TextDecoder().decode(seed.files.get(name));

/** Import beside another graph, calls inlined and loops lowered in all ways. */
const controlFlow: Probe = async (seed, trial) => {
  const graph = new Graph(CORE_OPS);
  if ((await trial.try(() => importGraphDef(graph, only(seed), { prefix: "" }))) === undefined) return;
  await trial.try(() => importGraphDef(graph, only(seed)));
  const run = await trial.try(() => expand(graph));
  for (const op of run === undefined ? [] : graph.operations) await trial.try(() => run?.operations(op));
  for (const loops of ["lower", "keep"] as const) {
    const inlined = await trial.try(() => inlineCalls(graph, { loops }).graph);
    if (inlined !== undefined)
      await trial.try(() => readGraphDef(writeGraphDef(inlined), { registry: CORE_OPS }));
  }
};

/** What nobody takes, on zeros. */
const run: Probe = async (seed, trial) => {
  const graph = await trial.try(() => readGraphDef(only(seed), { registry: CORE_OPS }));
  if (graph === undefined) return;
  const feeds = new Map<Output, Tensor>();
  for (const x of graph.operations.filter((op) => op.type === "Placeholder").map((op) => op.output(0))) {
    const shape = (x.shape ?? []).map((d) => d ?? 2);
    if (sizeOf(shape) < 1000 && DTYPES[x.dtype].kind !== "other") feeds.set(x, filled(x.dtype, shape));
  }
  const ends = graph.operations.filter((op) => op.consumers.size === 0 && !feeds.has(op.outputs[0]!));
  const session = new Session(graph, { warn: () => {} });
  try {
    for (const op of ends.slice(-2))
      await trial.try(() => session.run([], { targets: [op], feeds, signal: AbortSignal.timeout(500) }));
  } finally {
    await session.close();
  }
};

/** All passes, and variables frozen to zeros. */
const transform: Probe = async (seed, trial) => {
  const graph = await trial.try(() => readGraphDef(only(seed), { registry: CORE_OPS }));
  if (graph === undefined) return;
  const ends = graph.operations.filter((op) => op.consumers.size === 0).map((op) => op.name);
  for (const [name, { run }] of PASSES)
    if (name !== "rename") await trial.try(() => run(graph, { outputs: ends.slice(0, 3) }));
  await trial.try(() =>
    freezeGraph(graph, ends.slice(-2), (name) => zeros(graph, name), {
      clearDevices: true,
      dropUpdates: true,
    }),
  );
};

const filled = (dtype: DType, shape: readonly number[]): Tensor =>
  tensor(new Array(sizeOf(shape)).fill(dtype === "string" ? "" : 0), dtype, shape);

function zeros(graph: Graph, name: string): Tensor | null {
  const op = graph.operation(name);
  const { dtype, shape } = op.def!.variable!(op.attrs as never);
  if (shape === null || shape.includes(null) || sizeOf(shape as number[]) > 1000 || dtype === "string")
    return null;
  return filled(dtype, shape as number[]);
}

const metaGraph: Probe = async (seed, trial) => {
  const graph = new Graph(CORE_OPS);
  if ((await trial.try(() => importMetaGraph(graph, only(seed)))) === undefined) return;
  await trial.try(() => importMetaGraph(graph, only(seed), { importScope: "again", clearDevices: true }));
  await trial.try(() => exportMetaGraph(graph));
};

/** A folder on the disk, as servers load it; its signatures run where they need no values. */
const savedModel: Probe = async (seed, trial) => {
  const folder = mkdtempSync(join(tmpdir(), "varscope-fuzz-"));
  try {
    for (const [name, bytes] of seed.files) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), bytes);
    }
    const signal = AbortSignal.timeout(1000);
    const model = await trial.try(() => loadSavedModel(join(folder, "m"), { signal, warn: () => {} }));
    for (const [signature, { inputs }] of Object.entries(model?.signatures ?? {})) {
      const feeds = Object.entries(inputs).map(([key, info]) => [key, zerosLike(info)] as const);
      await trial.try(() => model!.run(Object.fromEntries(feeds), { signature, signal }));
    }
    await model?.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
};

function zerosLike({ dtype, tensorShape }: TensorInfo): Tensor {
  const shape = (tensorShape?.dim ?? [])
    .map(({ size }) => (size > 0n && size < 10n ? Number(size) : 2))
    .slice(0, 4);
  const known = DTYPE_CODES.get(dtype) ?? "float32";
  return filled(DTYPES[known].kind === "other" ? "float32" : known, shape);
}

const events: Probe = async (seed, trial) => {
  for (const allowCut of [true, false]) {
    await trial.try(() => [...readRecords(only(seed), { allowCut })]);
    await trial.try(() => [...readEvents(only(seed), { allowCut })]);
  }
};

const provenance: Probe = async (seed, trial) => {
  const record = await trial.try(() => readProvenance(text(seed, "record.json")));
  if (record === undefined) return;
  await trial.try(() =>
    refoldGraph(seed.files.get("graph.pb")!, record, CORE_OPS, async ({ key }) => {
      if (key === "") throw new VarscopeError("NOT_FOUND", "no name");
      return fromData("float32", [4], new Float32Array(4)) as Tensor;
    }),
  );
};

const iteratorState: Probe = async (seed, trial) => {
  const state = await trial.try(() => {
    try {
      return JSON.parse(text(seed, "state.json"));
    } catch (cause) {
      throw new VarscopeError("DATA_LOSS", "no JSON", { cause });
    }
  });
  const slices = fromTensorSlices(tensor([1, 2, 3, 4, 5], "float32"));
  const shuffled = slices.shuffle(3, { seed: 7 });
  for (const dataset of [
    slices,
    shuffled,
    shuffled.repeat(4),
    slices.repeat().shuffle(3, { seed: 7 }).batch(2),
  ]) {
    const iterator = dataset.iterator();
    await trial.try(() => iterator.restore(state));
    for (let i = 0; i < 3; i++) await trial.try(() => iterator.next());
    await trial.try(() => iterator.state());
  }
};

/** A session on a server that answers with the mutant. */
const serverAnswer: Probe = async (seed, trial) => {
  const server = new Server();
  const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
  for (const [method, bytes] of [...seed.files, ["CloseSession", new Uint8Array(0)] as const])
    server.register(
      `/tensorflow.MasterService/${method}`,
      (_: unknown, done: (e: null, answer: Uint8Array) => void) => done(null, bytes),
      asBuffer,
      (b: Buffer) => b,
      "unary",
    );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (e, p) =>
      e ? reject(e) : resolve(p),
    ),
  );
  const graph = new Graph(CORE_OPS);
  const place = (name: string, dtype: "float32" | "int64" | "string" | "bool") =>
    graph.add("Placeholder", [], { name, attrs: { dtype, shape: { dims: null } } });
  const fetches = [place("y", "float32"), place("n", "int64"), place("s", "string"), place("b", "bool")];
  const session = new Session(graph, { target: `grpc://127.0.0.1:${port}` });
  const timeoutMs = 1000;
  try {
    await trial.try(() => session.run(fetches, { timeoutMs, onMetadata: () => {} }));
    await trial.try(() => session.remote!.listDevices());
    await trial.try(() => session.close());
  } finally {
    server.forceShutdown();
  }
};

const PROBES: Partial<Record<Kind, Probe>> = {
  "control-flow": controlFlow,
  "control-flow-run": run,
  transform,
  "meta-graph-import": metaGraph,
  "saved-model-load": savedModel,
  events,
  provenance,
  "iterator-state": iteratorState,
  "server-answer": serverAnswer,
};

/** Null where the kind is a container. @throws what is no typed error, or an error that says INTERNAL */
export async function probePrograms(seed: Seed): Promise<Outcome | null> {
  const probe = PROBES[seed.kind];
  if (probe === undefined) return null;
  const trial = new Trial();
  await probe(seed, trial);
  return trial.outcome;
}
