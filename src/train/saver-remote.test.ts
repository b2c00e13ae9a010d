/** Savers of sessions whose server has a disk of its own. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import { answering, SESSION, serve } from "../../tests/interop/fake-master.ts";
import { tensor } from "../base/index.ts";
import { readTensorProto } from "../formats/graph-def/index.ts";
import { Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { RunStepRequestSchema } from "../proto/index.ts";
import { Session } from "../run/index.ts";
import { getVariable, onesInitializer } from "../variables/index.ts";
import { saver } from "./saver.ts";

const PREFIX = "/only/on/the/server/m";

async function opened() {
  const g = new Graph(CORE_OPS);
  getVariable(g, "w", { shape: [], initializer: onesInitializer() });
  const save = saver(g);
  const answer = answering({ [save.saverDef!.saveTensorName]: tensor(PREFIX, "string") });
  const fake = await serve({ ...SESSION, RunStep: () => answer });
  const session = new Session(g, { target: fake.target });
  onTestFinished(() => session.close());
  const steps = () =>
    fake.calls.filter((c) => c.method === "RunStep").map((c) => fromBinary(RunStepRequestSchema, c.request));
  return { save, session, steps };
}

test("a checkpoint that only the server sees is saved and restored there", async () => {
  const { save, session, steps } = await opened();
  const options = { writeState: false, writeMetaGraph: false };
  expect(await save.save(session, PREFIX, options)).toBe(PREFIX);
  const report = await save.restore(session, PREFIX);
  expect(report).toMatchObject({ path: PREFIX, matched: [{ name: "w", key: "w" }], missing: [], unused: [] });
  const [saved, restored] = steps();
  expect([saved!.fetch, restored!.target]).toEqual([
    [save.saverDef!.saveTensorName],
    [save.saverDef!.restoreOpName],
  ]);
  for (const { feed } of [saved!, restored!]) {
    const [file] = readTensorProto(feed[0]!.tensor!, "file").data;
    expect(new TextDecoder().decode(file as Uint8Array)).toBe(PREFIX);
  }
  await expect(save.restore(session, PREFIX, { partial: true })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
  });
});

test("state file and MetaGraph need a folder here, and nothing is saved without it", async () => {
  const { save, session, steps } = await opened();
  await expect(save.save(session, PREFIX)).rejects.toMatchObject({
    code: "FAILED_PRECONDITION",
    what: expect.stringContaining("/only/on/the/server is not on this machine"),
    hint: expect.stringContaining("writeMetaGraph false"),
  });
  expect(steps()).toEqual([]);
  const folder = mkdtempSync(join(tmpdir(), "saver-remote-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  await save.save(session, join(folder, "m"));
  expect(readdirSync(folder)).toEqual(["checkpoint", "m.meta"]);
});
