import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tensor, toNumbers } from "../base/index.ts";
import { openModel } from "../edit/open-model.ts";
import { writeModel } from "../edit/write-model.ts";
import { variableOf } from "../formats/collection/index.ts";
import { runCli } from "./program.ts";
import { commandWords } from "./score-command.ts";

let dir: string;
const at = (name: string) => join(dir, name);
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "varscope soup-"));
  for (const [name, value] of Object.entries({ a: 30, b: 8, c: 11 })) {
    const variables = [variableOf("w", tensor([value], "float32"))];
    await writeModel(at(`${name}.safetensors`), { variables }, { format: "safetensors" });
  }
  // The one float32 is the file's end: its distance from 10.
  writeFileSync(
    at("score.mjs"),
    `import { readFileSync } from "node:fs";
     const bytes = readFileSync(process.argv[2]);
     console.log("scoring " + process.argv[2]);
     console.log(process.argv[3] === "words" ? "good" : -Math.abs(bytes.readFloatLE(bytes.length - 4) - 10));
     process.exit(process.argv[3] === "fail" ? 3 : 0);`,
  );
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function soup(out: string, ...argv: string[]) {
  let [stdout, err] = ["", ""];
  const inputs = ["a", "b", "c"].map((name) => at(`${name}.safetensors`));
  const code = await runCli(["average", at(out), ...inputs, "--greedy", ...argv], {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out: stdout, err };
}
const script = (end = "") => `"${process.execPath}" "${at("score.mjs")}" {}${end}`.replaceAll("\\", "\\\\");

describe("average --greedy", () => {
  test("asks the command for each file, keeps what helps, and says each decision", async () => {
    const { code, out } = await soup("out.safetensors", "--score", script());
    expect(code).toBe(0);
    const [first, second, third, last] = out.split("\n");
    expect(first).toBe(`kept: ${at("c.safetensors")}, -1 alone, -1 with it`);
    expect(second).toBe(`kept: ${at("b.safetensors")}, -2 alone, -0.5 with it`);
    expect(third).toMatch(/^left out: .*a\.safetensors, -20 alone, -6\.33\d* with it$/);
    expect(last).toMatch(/^1 variables averaged over 2 containers/);
    const model = await openModel(at("out.safetensors"));
    expect(toNumbers(await model.read("w"))).toEqual([9.5]);
    await model.close();
    expect(readdirSync(dir).filter((name) => name.startsWith(".soup"))).toEqual([]);
  });

  test("tells it as JSON", async () => {
    const { out } = await soup("json.safetensors", "--score", script(), "--json");
    expect(JSON.parse(out)).toMatchObject({
      score: -0.5,
      inputs: [at("b.safetensors"), at("c.safetensors")],
      decisions: [{ input: at("c.safetensors"), isKept: true }, { isKept: true }, { isKept: false }],
    });
  });

  test.each([
    ["a command that fails", " fail", /the command ended with exit code 3/],
    ["a last line that is no number", " words", /the command's last line is "good"; let the score/],
  ])("%s ends it, and nothing is left behind", async (_, end, message) => {
    const { code, err } = await soup("bad.safetensors", "--score", script(end));
    expect(code).toBe(1);
    expect(err).toMatch(message);
    expect(readdirSync(dir).filter((name) => name.startsWith(".soup") || name.startsWith("bad"))).toEqual([]);
  });

  test("a program that is not there is named; options that make no sense are refused", async () => {
    expect((await soup("x", "--score", "no-such-program {}")).err).toMatch(
      /\[NOT_FOUND\] no-such-program: the program does not start/,
    );
    expect((await soup("x")).err).toMatch(/--greedy asks a command which models to keep/);
    expect((await soup("x", "--score", "a {}", "--weights", "1,1,1")).err).toMatch(/exclude each other/);
  });
});

describe("the words of a command", () => {
  test("quotes hold them together; no shell's signs have a meaning", () => {
    expect(commandWords(`run  "a b" 'c "d' e\\ f {}`)).toEqual(["run", "a b", 'c "d', "e f", "{}"]);
    expect(commandWords("a; rm -rf $HOME | b > c && `d` --file={}")).toEqual([
      ..."a; rm -rf $HOME | b > c && `d` --file={}".split(" "),
    ]);
    expect(commandWords(String.raw`C:\bin\eval.exe "x\"y" '' {}`)).toEqual([
      String.raw`C:\bin\eval.exe`,
      'x"y',
      "",
      "{}",
    ]);
  });

  test("refuses an open quote, and a command without a place for the file", () => {
    expect(() => commandWords("a 'b {}")).toThrow(
      "[INVALID_ARGUMENT] --score: a quote ' does not end; close it",
    );
    expect(() => commandWords("python eval.py")).toThrow(/no \{\} stands for the file; write it as/);
  });
});
