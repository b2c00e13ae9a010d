import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Nested, tensor, toNested } from "../base/index.ts";
import { openModel } from "../edit/open-model.ts";
import { writeModel } from "../edit/write-model.ts";
import { variableOf } from "../formats/collection/index.ts";
import { runCli } from "./program.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens");
let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "varscope-surgery-"));
  const kernel = tensor([[1, 2, 3, 4]], "float32");
  const variables = ["qkv/kernel", "qkv/kernel/Adam"].map((name) => variableOf(name, kernel));
  await writeModel(at("in"), { variables }, { format: "checkpoint-v2" });
  writeFileSync(at("order"), "3\n0-1\n");
  writeFileSync(at("old"), "a\nb\nc\nd\n");
  writeFileSync(at("new"), "d\nx\na\n");
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const at = (name: string) => join(dir, name);

async function cli(...argv: string[]) {
  let [out, err] = ["", ""];
  const code = await runCli(argv, {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out, err };
}

/** Values by name after an edit of the small checkpoint. */
async function edited(...options: string[]): Promise<Record<string, Nested>> {
  const { code, err } = await cli("edit", at("in"), at("out"), "--force", ...options);
  expect(err).toBe("");
  expect(code).toBe(0);
  const model = await openModel(at("out"));
  const all = await Promise.all(
    model.variables.map(async (v) => [v.name, toNested(await model.read(v.name))] as const),
  );
  await model.close();
  return Object.fromEntries(all);
}

describe("steps of surgery", () => {
  test("split and concat, slots too, with sizes and without", async () => {
    expect(await edited("--split", "qkv/kernel=q/kernel:1,kv/kernel:3@1")).toEqual({
      "kv/kernel": [[2, 3, 4]],
      "kv/kernel/Adam": [[2, 3, 4]],
      "q/kernel": [[1]],
      "q/kernel/Adam": [[1]],
    });
    const both = ["--split", "qkv/kernel=a,b@-1", "--concat", "c=b,a@1", "--drop-slots"];
    expect(await edited(...both)).toEqual({ c: [[3, 4, 1, 2]] });
  });

  test("are taken in the order in which they are given", async () => {
    const [reshape, reverse] = [
      ["--reshape", "qkv/kernel=2,2"],
      ["--reverse", "qkv/kernel:1"],
    ] as const;
    expect((await edited(...reshape, ...reverse))["qkv/kernel"]).toEqual([
      [2, 1],
      [4, 3],
    ]);
    expect((await edited(...reverse, ...reshape))["qkv/kernel"]).toEqual([
      [4, 3],
      [2, 1],
    ]);
  });

  test("places by list and by file, axes by letters and by number", async () => {
    expect((await edited("--take", "qkv/kernel@1=2-3,0"))["qkv/kernel"]).toEqual([[3, 4, 1]]);
    expect((await edited("--take", `qkv/kernel@1=@${at("order")}`))["qkv/kernel"]).toEqual([[4, 1, 2]]);
    expect((await edited("--transpose", "kernel=oi,io"))["qkv/kernel"]).toEqual([[1], [2], [3], [4]]);
    expect((await edited("--transpose", "kernel=1,0"))["qkv/kernel/Adam"]).toEqual([[1], [2], [3], [4]]);
  });

  test("channels and vocabularies", async () => {
    expect(await edited("--channels", "qkv/kernel@1=1")).toEqual({ "qkv/kernel": [[10]] });
    expect(await edited("--channels", "qkv/kernel=2:zeros")).toEqual({
      "qkv/kernel": [
        [1, 2, 3, 4],
        [0, 0, 0, 0],
      ],
    });
    const vocabulary = `qkv/kernel@1=${at("old")},${at("new")}`;
    expect((await edited("--vocab", vocabulary))["qkv/kernel"]).toEqual([[4, 0, 1]]);
    expect((await edited("--vocab", `${vocabulary},mean`))["qkv/kernel"]).toEqual([[4, 2.5, 1]]);
    const drawn = await edited("--vocab", `${vocabulary},normal:3:0.1`);
    expect(Math.abs((drawn["qkv/kernel"] as number[][])[0]![1]!)).toBeLessThan(1);
  });

  test("gates: an LSTM of TensorFlow 1 as Keras has it, in the plan and written", async () => {
    const rnn = join(GOLDENS, "surgery", "rnn.npz");
    const options = ["--keep", "^lstm/tf1", "--gates", "lstm/tf1=tf1,keras"];
    const { out } = await cli("edit", rnn, at("lstm.npz"), ...options, "--dry-run");
    expect(out).toMatch(/lstm\/tf1\/bias.*axis 0 reordered, \+ 1 from 4 to 8/);
    expect((await cli("edit", rnn, at("lstm.npz"), ...options, "--rename", "tf1=keras")).code).toBe(0);
    const same = ["--filter", "lstm/keras", "--atol", "1e-6", "--json"];
    const { changed, onlyInA } = JSON.parse((await cli("diff", at("lstm.npz"), rnn, ...same)).out);
    expect([changed, onlyInA]).toEqual([[], []]);
  });

  test.each([
    ["--split", "a=b,c", "NAME=PART,PART@AXIS"],
    ["--concat", "a=b,@1", "NAME=PART,PART@AXIS"],
    ["--take", "a@1=1,x", "NAME@AXIS=0,5-9,2"],
    ["--transpose", "a=oihw,hwix", "oihw,hwio or 2,3,1,0"],
    ["--channels", "a=0", "NAME=N"],
    ["--vocab", "a@0=old", "NAME@AXIS=OLD,NEW"],
    ["--vocab", "a@0=old,new,ones", "zeros, mean, normal:SEED"],
    ["--gates", "a=tf1,keras:1", "tf1, tf1:FORGET_BIAS, keras or pytorch"],
  ])("%s %s is wrong usage: %s is the form", async (option, text, form) => {
    const { code, err } = await cli("edit", at("in"), at("out"), option, text);
    expect(code).toBe(2);
    expect(err).toContain(form);
  });

  test("a file that is no list of places is named", async () => {
    const { code, err } = await cli("edit", at("in"), at("x"), "--take", `qkv/kernel@1=@${at("old")}`);
    expect(code).toBe(1);
    expect(err).toMatch(/old: this is no list of places; write whole numbers/);
  });
});
