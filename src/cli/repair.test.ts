import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { runCli } from "./program.ts";

const folder = mkdtempSync(join(tmpdir(), "varscope-cli-repair-"));
afterAll(() => rmSync(folder, { recursive: true }));

async function run(...argv: string[]) {
  const out = { stdout: "", stderr: "" };
  const sink = (name: "stdout" | "stderr") => ({
    write: (text: string | Uint8Array) => {
      out[name] += String(text);
      return true;
    },
  });
  const code = await runCli(argv, { stdout: sink("stdout"), stderr: sink("stderr") });
  return { ...out, code };
}

test("repair exits with 1 where something is lost, with 0 where nothing is, and overwrites with --force alone", async () => {
  const golden = new URL("../../tests/goldens/checkpoint/dtypes", import.meta.url).pathname;
  const [damaged, out] = [join(folder, "damaged"), join(folder, "out")];
  for (const suffix of [".index", ".data-00000-of-00001"]) copyFileSync(golden + suffix, damaged + suffix);
  expect(await run("repair", damaged, out)).toMatchObject({
    code: 0,
    stdout: `27 tensors saved, 0 lost -> ${out}\n`,
  });
  expect(readFileSync(`${out}.index`)).toEqual(readFileSync(`${golden}.index`));

  const data = readFileSync(`${damaged}.data-00000-of-00001`);
  data[20]! ^= 0xff;
  writeFileSync(`${damaged}.data-00000-of-00001`, data);
  const refused = await run("repair", damaged, out);
  expect([refused.code, refused.stderr.slice(0, 16)]).toEqual([1, "[ALREADY_EXISTS]"]);
  const { code, stdout } = await run("repair", damaged, out, "--force", "--json");
  const report = JSON.parse(stdout);
  expect([code, report.saved.length, report.lost[0].name, report.damages]).toEqual([
    1,
    26,
    "dtype/float32",
    [],
  ]);
});
