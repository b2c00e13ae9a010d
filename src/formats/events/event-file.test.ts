import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isVarscopeError, tensor } from "../../base/index.ts";
import { newGraph } from "../../ops/index.ts";
import { type Event, SummaryMetadataSchema, SummarySchema } from "../../proto/index.ts";
import { writeRecord } from "../../wire/index.ts";
import { readGraphDef } from "../graph-def/index.ts";
import { readMetaGraph } from "../meta-graph/index.ts";
import { readEvents, SESSION_STATUS, writeEvent } from "./event-file.ts";
import { type FileWriterOptions, fileWriter } from "./file-writer.ts";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "varscope-events-"));
});
afterAll(() => rm(root, { recursive: true }));

const only = async (dir: string): Promise<Uint8Array> => readFile(join(dir, (await readdir(dir)).sort()[0]!));
const eventsOf = async (dir: string): Promise<Event[]> => [...readEvents(await only(dir))];
const frozen: FileWriterOptions = { clock: () => 1_700_000_000.25 };

test("an event file has TensorFlow's name and begins with TensorFlow's bytes; one of the same second has a name of its own", async () => {
  const dir = join(root, "names");
  for (let i = 0; i < 2; i++) await fileWriter(dir, frozen).close();
  await fileWriter(dir, { ...frozen, filenameSuffix: ".eval" }).close();
  const name = `events.out.tfevents.1700000000.${hostname()}`;
  expect((await readdir(dir)).sort()).toEqual([name, `${name}.1`, `${name}.eval`]);
  // tf.compat.v1.Event(wall_time=1700000000.25, file_version="brain.Event:2").SerializeToString().hex()
  const bytes = Buffer.from(await only(dir));
  expect(bytes.subarray(12, -4).toString("hex")).toBe("0900001040fc54d9411a0d627261696e2e4576656e743a32");
});

test("summaries, graphs and session logs come back with their steps; metadata of a tag are written once", async () => {
  const dir = join(root, "events");
  const writer = fileWriter(dir, frozen);
  const graph = newGraph();
  graph.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null, 2] } } });
  const metadata = create(SummaryMetadataSchema, { pluginData: { pluginName: "p" } });
  const summary = (value: number) => ({
    value: [{ tag: "t", value: { case: "simpleValue" as const, value }, metadata }],
  });
  writer.addSummary(summary(1), 1);
  writer.addSummary(toBinary(SummarySchema, create(SummarySchema, summary(2))), 2n);
  writer.addSummary(tensor(toBinary(SummarySchema, create(SummarySchema, summary(3)))));
  writer.addGraph(graph);
  writer.addMetaGraph(graph, undefined, 4);
  writer.addSessionLog({ status: SESSION_STATUS.CHECKPOINT, checkpointPath: "d/model.ckpt" }, 5);
  await writer.close();

  const events = await eventsOf(dir);
  expect(events.map((e) => [e.what.case, Number(e.step), e.wallTime])).toEqual([
    ["summary", 1, 1_700_000_000.25],
    ["summary", 2, 1_700_000_000.25],
    ["summary", 0, 1_700_000_000.25],
    ["graphDef", 0, 1_700_000_000.25],
    ["metaGraphDef", 4, 1_700_000_000.25],
    ["sessionLog", 5, 1_700_000_000.25],
  ]);
  const values = events
    .slice(0, 3)
    .map(({ what }) => (what.case === "summary" ? what.value.value[0]! : null)!);
  expect(values.map((v) => v.value.value)).toEqual([1, 2, 3]);
  expect(values.map((v) => v.metadata?.pluginData?.pluginName)).toEqual(["p", undefined, undefined]);
  const bytes = (i: number): Uint8Array => events[i]!.what.value as Uint8Array;
  const shapes = readGraphDef(bytes(3), { registry: graph.registry }).operation("x").attrs._output_shapes;
  expect(shapes).toEqual([{ dims: [null, 2] }]);
  expect(readMetaGraph(bytes(4), { registry: graph.registry }).graph.operation("x").type).toBe("Placeholder");
});

test("what waits is written when there is enough of it, when it is late, and by flush", async () => {
  const dir = join(root, "queue");
  let now = 0;
  const writer = fileWriter(dir, { maxQueue: 3, flushSecs: 60, clock: () => now });
  const count = async (): Promise<number> =>
    [...readEvents(await only(dir).catch(() => new Uint8Array(0)))].length;
  const log = { status: SESSION_STATUS.START };
  writer.addSessionLog(log); // with the version it is 2
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await count()).toBe(0);
  writer.addSessionLog(log);
  await expect.poll(count).toBe(2);
  now = 61;
  writer.addSessionLog(log);
  await expect.poll(count).toBe(3);
  writer.addSessionLog(log);
  await writer.flush();
  expect(await count()).toBe(4);
  await writer.close();
  expect(() => writer.addSessionLog(log)).toThrow("the event file is closed");
});

test("an error of writing shows at flush", async () => {
  const file = join(root, "a-file");
  await writeFile(file, "");
  const writer = fileWriter(file, { maxQueue: 1 });
  writer.addSessionLog({ status: SESSION_STATUS.START });
  await expect(writer.flush()).rejects.toThrow(/a-file/);
});

test("a writer that was killed leaves whole events to read; a damaged file is an error", () => {
  const whole = [1, 2].map((step) => writeEvent({ step: BigInt(step), wallTime: 1 }));
  const bytes = new Uint8Array(Buffer.concat(whole));
  const cut = bytes.subarray(0, bytes.length - 3);
  expect([...readEvents(cut)].map((e) => e.step)).toEqual([1n]);
  expect(() => [...readEvents(cut, { file: "f", allowCut: false })]).toThrow("[DATA_LOSS] f@");
  const damaged = bytes.slice();
  damaged[14]! ^= 1;
  expect(() => [...readEvents(damaged)]).toThrow("corrupted record at 0");
  expect(() => [...readEvents(writeRecord(Uint8Array.of(0xff)))]).toThrow("record 0 is no Event");
  const newer = writeEvent({ what: { case: "fileVersion", value: "brain.Event:3" } });
  expect(() => [...readEvents(newer, { file: "f" })]).toThrow(
    "[UNIMPLEMENTED] f: event files of version 'brain.Event:3' are not known",
  );
});

test("no bytes of an event, however changed, give anything but events and typed errors", () => {
  const summary = { value: [{ tag: "t", value: { case: "simpleValue" as const, value: 1 } }] };
  const event = writeEvent({
    wallTime: 1,
    step: 2n,
    what: { case: "summary", value: create(SummarySchema, summary) },
  });
  const payload = event.subarray(12, -4);
  for (let at = 0; at < payload.length; at++) {
    for (const bit of [1, 8, 64, 128]) {
      const changed = payload.slice();
      changed[at]! ^= bit;
      try {
        expect([...readEvents(writeRecord(changed))].length).toBeLessThanOrEqual(1);
      } catch (e) {
        expect(isVarscopeError(e)).toBe(true);
      }
    }
  }
});
