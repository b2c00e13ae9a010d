import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { fromData } from "../base/index.ts";
import { openCheckpoint, saveCheckpoint } from "../formats/checkpoint/index.ts";
import { runCli } from "./program.ts";

const HEALTHY = join(import.meta.dirname, "..", "..", "tests", "goldens", "healthy");
let dir: string;
let sick: string;

/** The healthy checkpoint with the statistics of one layer as they were at the start, and a NaN in a slot. */
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "varscope-cli-doctor-"));
  sick = join(dir, "sick");
  const from = await openCheckpoint(join(HEALTHY, "tf1_ref.ckpt"));
  const tensors = await Promise.all(
    from.names().map(async (name) => ({ name, tensor: await from.read(name) })),
  );
  await from.close();
  const changed = tensors.map(({ name, tensor }) => {
    if (tensor.dtype !== "float32") return { name, tensor };
    const data = Float32Array.from(tensor.data as Float32Array);
    if (name === "bn1/moving_mean") data.fill(0);
    else if (name === "bn1/moving_variance") data.fill(1);
    else if (name === "fc1/bias/Adam") data[1] = Number.NaN;
    else return { name, tensor };
    return { name, tensor: fromData("float32", tensor.shape, data) };
  });
  await saveCheckpoint(sick, changed);
  for (const end of [".index", ".data-00000-of-00001"])
    copyFileSync(`${sick}${end}`, join(dir, `flipped${end}`));
  const data = join(dir, "flipped.data-00000-of-00001");
  const bytes = readFileSync(data);
  bytes[0]! ^= 1;
  writeFileSync(data, bytes);
});
afterAll(() => rmSync(dir, { recursive: true }));

async function cli(argv: readonly string[], isTTY = false) {
  let [out, err] = ["", ""];
  const sink = (add: (text: string) => void) => ({ write: add, isTTY });
  const code = await runCli(["doctor", ...argv], {
    stdout: sink((text) => {
      out += text;
    }),
    stderr: sink((text) => {
      err += text;
    }),
  });
  return { code, out, err };
}

test("a healthy file is one line that says what was checked", async () => {
  const path = join(HEALTHY, "tf1_ref.ckpt");
  const { code, out } = await cli([path]);
  expect(code).toBe(0);
  expect(out).toMatch(
    /^checkpoint-v2 {2}.*tf1_ref.ckpt {2}healthy: \d+ rules on 34 tensors, 8.1 KiB, 2 batch normalizations, step 500\n$/,
  );
});

test("findings say rule, number, consequence and a command; an error is exit code 1", async () => {
  const { code, out } = await cli([sick]);
  expect(code).toBe(1);
  const lines = out.split("\n");
  expect(lines[2]).toBe("2 errors");
  expect(lines[4]).toMatch(/^ {2}not-finite {2}1$/);
  expect(lines[5]).toContain(
    "1 NaN and 0 infinite in 1 tensor of 34 (fc1/bias/Adam; the first in fc1/bias/Adam at element 1 of 8): the next step of training spreads them",
  );
  expect(lines[6]).toBe(`    $ varscope edit ${sick} OUT --drop-slots`);
  expect(out).toMatch(
    / {2}bn-never-updated {2}1 {2}2 variables\n {4}moving mean is exactly 0 and moving variance exactly 1 in 1 of 2 normalizations \(bn1\)/,
  );
});

test("colour is for terminals", async () => {
  const [plain, coloured] = [await cli([sick]), await cli([sick], true)];
  expect(plain.out).not.toContain("\u001b");
  expect(coloured.out).toContain("\u001b[31mnot-finite\u001b[39m");
});

test("--json is the contract's document", async () => {
  const { code, out } = await cli([sick, "--json"]);
  expect(code).toBe(1);
  const found = JSON.parse(out);
  expect(found.path).toBe(sick);
  expect(found.findings.map((f: { rule: string }) => f.rule)).toEqual(["not-finite", "bn-never-updated"]);
  for (const f of found.findings)
    expect(Object.keys(f)).toEqual(["rule", "severity", "variables", "value", "message", "repair"]);
  expect(found.findings[0]).toMatchObject({ severity: "error", variables: ["fc1/bias/Adam"], value: 1 });
});

test("the graph beside it names the update ops, and variables that are missing", async () => {
  const graph = join(HEALTHY, "tf1_resource.ckpt.meta");
  const { out } = await cli([sick, "--graph", graph, "--json"]);
  const { findings } = JSON.parse(out);
  const never = findings.find((f: { rule: string }) => f.rule === "bn-never-updated");
  expect(never.repair).toContain("--target bn1/AssignMovingAvg/AssignSubVariableOp");
  expect(findings.find((f: { rule: string }) => f.rule === "graph-variables-missing")).toMatchObject({
    severity: "warning",
    value: 9,
  });
});

test("a damaged tensor is one finding among the others", async () => {
  const { code, out } = await cli([join(dir, "flipped"), "--json"]);
  expect(code).toBe(1);
  expect(JSON.parse(out).findings.map((f: { rule: string }) => f.rule)).toEqual([
    "checksum-wrong",
    "not-finite",
    "bn-never-updated",
  ]);
});

test("notes alone are exit code 0; nothing at a path is a failure", async () => {
  const fresh = await cli([join(HEALTHY, "fresh.ckpt")]);
  expect(fresh.code).toBe(0);
  expect(fresh.out).toMatch(/healthy: .*step 0\n\n {2}bn-never-updated/);
  const none = await cli([join(dir, "none")]);
  expect(none).toMatchObject({ code: 1, out: "" });
  expect(none.err).toMatch(/^\[NOT_FOUND\]/);
});
