import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tensor } from "../base/index.ts";
import { openModel } from "../edit/open-model.ts";
import { writeNpy } from "../wire/index.ts";
import { runCli } from "./program.ts";

/** 20 variables of a small model, Adam's among them. */
const PREFIX = join(import.meta.dirname, "..", "..", "tests", "goldens", "cli", "resource-50");
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "varscope-edit-"));
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
const json = async (...argv: string[]) => JSON.parse((await cli(...argv, "--json")).out);
const namesIn = async (path: string) => {
  const model = await openModel(path);
  await model.close();
  return model.variables.map((v) => v.name);
};

describe("diff", () => {
  test("of a container with itself is empty, exit 0", async () => {
    const { code, out } = await cli("diff", PREFIX, PREFIX, "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ onlyInA: [], onlyInB: [], changed: [], equal: 20 });
  });

  test("names what is different, exit 1", async () => {
    writeFileSync(at("v.npy"), writeNpy(tensor(new Array(8).fill(0.5), "float32")));
    await cli("edit", PREFIX, at("other"), "--set", `conv1/bn/beta=@${at("v.npy")}`, "--drop", "global_step");
    const { code, out } = await cli("diff", PREFIX, at("other"), "--json");
    expect(code).toBe(1);
    const found = JSON.parse(out);
    expect(found).toMatchObject({ onlyInA: ["global_step"], onlyInB: [], equal: 18 });
    expect(found.changed).toMatchObject([
      { name: "conv1/bn/beta", dtype: ["float32", "float32"], shape: [[8], [8]] },
    ]);
    const table = await cli("diff", PREFIX, at("other"));
    expect(table.out).toContain("18 equal, 1 changed, 1 only in A, 0 only in B");
    expect((await cli("diff", PREFIX, at("other"), "--filter", "gamma")).code).toBe(0);
    expect((await cli("diff", PREFIX, at("other"), "--atol", "nope")).code).toBe(2);
  });
});

describe("edit", () => {
  test("with a dry run prints the plan and writes nothing", async () => {
    const { code, out } = await cli("edit", PREFIX, at("dry"), "--rename", "^conv1/=stem/", "--dry-run");
    expect(code).toBe(0);
    expect(out).toContain("stem/bn/gamma");
    expect(out).toContain("renamed from conv1/bn/gamma");
    expect(out).toContain(`would write 20 variables to ${at("dry")} (checkpoint-v2)`);
    expect(existsSync(`${at("dry")}.index`)).toBe(false);
  });

  test("renames, slots along, and a diff knows all values again", async () => {
    const { code } = await cli("edit", PREFIX, at("renamed"), "--rename", "^conv(\\d)/=block$1/");
    expect(code).toBe(0);
    expect(await namesIn(at("renamed"))).toContain("block1/bn/gamma/Adam_1");
    const back = await cli("edit", at("renamed"), at("back"), "--rename", "^block=conv");
    expect(back.code).toBe(0);
    expect((await cli("diff", PREFIX, at("back"))).code).toBe(0);
    for (const end of [".index", ".data-00000-of-00001"])
      expect(readFileSync(at("back") + end).equals(readFileSync(PREFIX + end)), end).toBe(true);
  });

  test("refuses what is there, unless forced; its own input, too", async () => {
    await cli("edit", PREFIX, at("there"));
    const { code, err } = await cli("edit", PREFIX, at("there"), "--drop-slots");
    expect(code).toBe(1);
    expect(err).toMatch(/^\[ALREADY_EXISTS\].*there.*--force to overwrite it\n$/);
    expect((await cli("edit", at("there"), at("there"), "--drop-slots", "--force")).code).toBe(0);
    const names = await namesIn(at("there"));
    expect(names).toContain("global_step");
    expect(names.filter((n) => /Adam|power/.test(n))).toEqual([]);
  });

  test("refuses two variables of one name before anything is written", async () => {
    const { code, err } = await cli("edit", PREFIX, at("twice"), "--rename", "gamma=beta");
    expect(code).toBe(1);
    expect(err).toMatch(/would both be called conv1\/bn\/beta; make the pattern narrower/);
    expect(readdirSync(dir).filter((n) => n.startsWith("twice"))).toEqual([]);
  });

  test("refuses a cast that overflows, naming the variable and how many", async () => {
    writeFileSync(at("big.npy"), writeNpy(tensor([1e6, 1, 1, 1, 1, 1, 1, 1], "float32")));
    const big = [
      "edit",
      PREFIX,
      at("half.safetensors"),
      "--set",
      `conv1/bn/moving_variance=@${at("big.npy")}`,
      "--drop-slots",
    ];
    const { code, err } = await cli(...big, "--cast", ".*=float16");
    expect(code).toBe(1);
    expect(err).toMatch(
      /^\[OUT_OF_RANGE\].*conv1\/bn\/moving_variance: 1 overflow as float16.*--allow-lossy\n$/,
    );
    expect(existsSync(at("half.safetensors"))).toBe(false);
    const allowed = await json(...big, "--cast", ".*=float16", "--allow-lossy");
    expect(allowed.losses).toMatchObject([{ name: "conv1/bn/moving_variance", overflow: 1, refused: true }]);
    expect(allowed.format).toBe("safetensors");
  });

  test("writes shards", async () => {
    expect((await cli("edit", PREFIX, at("sharded"), "--shards", "3")).code).toBe(0);
    expect(
      readdirSync(dir)
        .filter((n) => n.startsWith("sharded"))
        .sort(),
    ).toEqual([
      "sharded.data-00000-of-00003",
      "sharded.data-00001-of-00003",
      "sharded.data-00002-of-00003",
      "sharded.index",
    ]);
    expect((await cli("diff", PREFIX, at("sharded"))).code).toBe(0);
    const { err } = await cli("edit", PREFIX, at("x.npz"), "--shards", "3");
    expect(err).toMatch(/npz has no shards; leave --shards out/);
  });

  test("tells what an option means", async () => {
    expect((await cli("edit", PREFIX, at("x"), "--rename", "nothing")).code).toBe(2);
    expect((await cli("edit", PREFIX, at("x"), "--cast", ".*=half")).err).toMatch(
      /half is no dtype; write it as/,
    );
    expect((await cli("edit", PREFIX, at("x"), "--reverse", "conv1")).err).toMatch(
      /names no axis; write it as NAME:AXIS/,
    );
    expect((await cli("edit", PREFIX, at("x"), "--drop", "zzz", "--dry-run")).err).toBe(
      "varscope: --drop zzz matches nothing\n",
    );
  });
});

describe("average", () => {
  test("of two checkpoints, counters from the last", async () => {
    writeFileSync(at("step.npy"), writeNpy(tensor(60n, "int64")));
    await cli("edit", PREFIX, at("later"), "--set", `global_step=@${at("step.npy")}`);
    const { code, out } = await cli("average", at("mean"), PREFIX, at("later"));
    expect(code).toBe(0);
    expect(out).toContain("17 variables averaged over 2 containers, 3 from the last");
    expect(out).toContain("moving means and variances are averages, too");
    const found = await json("diff", at("later"), at("mean"));
    expect(found).toMatchObject({ changed: [], equal: 20 });
  });

  test("refuses containers of other variables", async () => {
    const { code, err } = await cli("average", at("mean2"), PREFIX, at("other"));
    expect(code).toBe(1);
    expect(err).toMatch(/other: it lacks global_step; average checkpoints of one model/);
  });
});

describe("convert", () => {
  test.each(["c.npz", "c.safetensors", "c.v1", "c.pb"])(
    "to %s and back gives the same bytes",
    async (name) => {
      const { code, out } = await cli("convert", PREFIX, at(name));
      expect(out).toContain(`20 variables -> ${at(name)}`);
      expect(code).toBe(0);
      expect((await cli("diff", PREFIX, at(name))).code).toBe(0);
      await cli("convert", at(name), at(`${name}-back`));
      for (const end of [".index", ".data-00000-of-00001"])
        expect(readFileSync(at(`${name}-back`) + end).equals(readFileSync(PREFIX + end)), end).toBe(true);
    },
  );

  test("says what has no place, once", async () => {
    await cli("edit", PREFIX, at("strings"), "--keep", "beta$");
    const { out } = await cli("convert", PREFIX, at("no.keras"));
    expect(out).toBe("");
    const { err } = await cli("convert", PREFIX, at("no.keras"));
    expect(err).toMatch(
      /checkpoint-v2 holds no Keras model, and a .keras file is one; give a .keras file of the model/,
    );
  });

  test("like a template: its names and order, the values of the input", async () => {
    await cli("edit", PREFIX, at("template"), "--rename", "^=net/", "--drop-slots");
    const found = await json("convert", PREFIX, at("liked"), "--like", at("template"));
    expect(found.kept).toEqual([]);
    expect(found.left.map((l: { what: string }) => l.what)).toContain("beta1_power");
    expect(await namesIn(at("liked"))).toEqual(await namesIn(at("template")));
    expect((await cli("diff", at("liked"), at("template"))).code).toBe(0);
  });

  test("like a template that has more: named, or kept from it", async () => {
    await cli("edit", PREFIX, at("less"), "--drop", "conv1/bn/beta");
    const { code, err } = await cli("convert", at("less"), at("more"), "--like", PREFIX);
    expect(code).toBe(1);
    expect(err).toMatch(/has variables without a counterpart: conv1\/bn\/beta.*--partial/);
    const { kept } = await json("convert", at("less"), at("more"), "--like", PREFIX, "--partial");
    expect(kept).toContain("conv1/bn/beta");
  });
});

test.each([
  ["edit", PREFIX, "aborted"],
  ["convert", PREFIX, "aborted.npz"],
  ["convert", PREFIX, "aborted.safetensors"],
  ["average", "aborted.v1", PREFIX],
])("Ctrl-C leaves nothing: %s %s %s", async (command, ...paths) => {
  let err = "";
  const code = await runCli([command!, ...paths.map((p) => (p === PREFIX ? p : at(p!)))], {
    stdout: { write: () => {} },
    stderr: {
      write: (text: string) => {
        err += text;
      },
    },
    signal: AbortSignal.abort(),
  });
  expect(code).toBe(1);
  expect(err).toMatch(/^\[CANCELLED\]/);
  expect(readdirSync(dir).filter((n) => n.startsWith("aborted"))).toEqual([]);
});

test("diff and convert take names from a file", async () => {
  await cli("edit", PREFIX, at("unlike"), "--rename", "^dense/kernel$=zz/matrix", "--drop-slots");
  await cli("edit", PREFIX, at("plain"), "--drop-slots");
  writeFileSync(at("names.json"), '{"dense/kernel": "zz/matrix"}');
  expect((await cli("diff", at("plain"), at("unlike"))).code).toBe(1);
  expect((await cli("diff", at("plain"), at("unlike"), "--map", at("names.json"))).code).toBe(0);
  writeFileSync(at("bad.json"), "[1]");
  const { err } = await cli("diff", at("plain"), at("unlike"), "--map", at("bad.json"));
  expect(err).toMatch(/bad\.json: this is no JSON object of names; write it as/);
});
