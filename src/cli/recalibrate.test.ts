import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tensor, toNumbers } from "../base/index.ts";
import { openModel } from "../edit/open-model.ts";
import { writeNpy } from "../wire/index.ts";
import { runCli } from "./program.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens", "recalibrate");
const golden = (name: string): string => join(GOLDENS, name);

interface Moments {
  readonly mean: readonly number[];
  readonly variance: readonly number[];
}
const EXPECTED: {
  readonly net: { readonly [passes: string]: Record<string, Moments> };
  readonly keras: { readonly "per-layer": Record<string, Moments> };
} = JSON.parse(readFileSync(golden("expected.json"), "utf8"));

let dir = "";
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "varscope-recalibrate-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const at = (name: string): string => join(dir, name);

async function cli(...argv: string[]) {
  let [out, err] = ["", ""];
  const code = await runCli(argv, {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out, err };
}

const FEED = ["--feed", `x=@${golden("x.npy")}`, "--batch", "8"];

/** Statistics in a container are those that TensorFlow computed; all other variables are those of the input. */
async function expectWritten(
  path: string,
  from: string,
  want: Record<string, Moments>,
  scope = "",
): Promise<void> {
  const [model, before] = [await openModel(path), await openModel(from)];
  const told = new Set<string>();
  for (const [layer, moments] of Object.entries(want)) {
    for (const kind of ["mean", "variance"] as const) {
      const name = `${scope}${layer}/moving_${kind}`;
      told.add(model.find(name).name);
      const got = toNumbers(await model.read(name));
      for (const [i, v] of moments[kind].entries()) expect(got[i], `${name}[${i}]`).toBeCloseTo(v, 5);
    }
  }
  expect(model.variables.map((v) => v.name)).toEqual(before.variables.map((v) => v.name));
  for (const { name } of model.variables)
    if (!told.has(name)) expect(await model.read(name), name).toEqual(await before.read(name));
  await model.close();
  await before.close();
}

describe("a checkpoint and its MetaGraph with a training placeholder", () => {
  test.each(["one", "per-layer"] as const)(
    "passes %s: TensorFlow's numbers, in a new checkpoint",
    async (passes) => {
      const { code, out, err } = await cli(
        "recalibrate",
        golden("net.meta"),
        ...FEED,
        "--passes",
        passes,
        "-o",
        at(passes),
      );
      expect({ code, err }).toEqual({ code: 0, err: "" });
      expect(out).toMatch(
        /^layer +channels +elements +shift +ratio +farthest channel: moving -> data\na +4 +320 /,
      );
      expect(out).toMatch(
        new RegExp(`3 layers, ${passes === "one" ? "1 pass" : "3 passes"} over 3 batches -> .*checkpoint-v2`),
      );
      expect(out).not.toMatch(/not carried/);
      await expectWritten(at(passes), golden("net"), EXPECTED.net[passes]!);
    },
  );

  test("without an output it measures: the gap is large, and gone in the copy", async () => {
    const measure = async (...more: string[]) =>
      JSON.parse(
        (await cli("recalibrate", golden("net.meta"), ...FEED, "--passes", "per-layer", "--json", ...more))
          .out,
      );
    const before = await measure();
    expect(before.layers.map((l: { layer: string }) => l.layer)).toEqual(["a", "b", "c"]);
    expect(before.layers.every((l: { gap: { shift: number } }) => l.gap.shift > 0.1)).toBe(true);
    await measure("-o", at("calibrated"));
    const after = await measure("--checkpoint", at("calibrated"));
    for (const { gap } of after.layers) expect(gap.shift).toBeLessThan(1e-5);
  });

  test("V1 too; an output that is there is not overwritten", async () => {
    const args = ["recalibrate", golden("net.meta"), ...FEED, "--passes", "per-layer", "-o", at("old.v1")];
    expect((await cli(...args)).code).toBe(0);
    await expectWritten(at("old.v1"), golden("net"), EXPECTED.net["per-layer"]!);
    const again = await cli(...args);
    expect(again.code).toBe(1);
    expect(again.err).toMatch(/ALREADY_EXISTS/);
    expect((await cli(...args, "--force")).code).toBe(0);
  });
});

describe("Keras 3, by the graph that it exports", () => {
  test("a .keras file gets its statistics back in a .keras file, by the convention of Keras 3", async () => {
    const { code, err, out } = await cli(
      ...["recalibrate", golden("exported"), "--signature", "serve", "--checkpoint", golden("model.keras")],
      ...[...FEED, "--passes", "per-layer", "-o", at("model.keras")],
    );
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/, variance as keras3 \(saved by Keras 3\.[\d.]+\) -> /);
    await expectWritten(at("model.keras"), golden("model.keras"), EXPECTED.keras["per-layer"], "sequential/");
  });

  test("another convention can be asked for", async () => {
    const args = ["recalibrate", golden("exported"), "--signature", "serve", ...FEED, "--json"];
    const told = async (...more: string[]) => JSON.parse((await cli(...args, ...more)).out);
    const [population, sample] = [await told(), await told("--convention", "tf1-fused")];
    expect(population.layers[0].convention).toBe("population");
    expect(sample).toMatchObject({ convention: { convention: "tf1-fused", why: null } });
    const { count, gap } = sample.layers[0];
    const ratio = gap.worst.data.variance / population.layers[0].gap.worst.data.variance;
    expect(ratio).toBeCloseTo(count / (count - 1), 6);
  });

  test("a SavedModel gets them in a copy of itself", async () => {
    const { code, err } = await cli(
      ...["recalibrate", golden("exported"), "--signature", "serve"],
      ...[...FEED, "--passes", "per-layer", "-o", at("exported")],
    );
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(existsSync(join(at("exported"), "saved_model.pb"))).toBe(true);
    await expectWritten(at("exported"), golden("exported"), EXPECTED.keras["per-layer"], "sequential/");
  });
});

test("a frozen graph gets other constants", async () => {
  const frozen = at("frozen.pb");
  await cli("freeze", golden("net.meta"), "--outputs", "out", "-o", frozen);
  const args = [...FEED, "--feed", "training=false", "--passes", "per-layer", "--force"];
  const { code, err, out } = await cli("recalibrate", frozen, ...args, "-o", at("calibrated.pb"));
  expect({ code, err }).toEqual({ code: 0, err: "" });
  expect(out).toMatch(/graph-def/);
  await expectWritten(at("calibrated.pb"), frozen, EXPECTED.net["per-layer"]!);
});

describe("what is wrong is said", () => {
  test("usage", async () => {
    expect((await cli("recalibrate", golden("net.meta"))).code).toBe(2);
    const { code, err } = await cli("recalibrate", golden("net.meta"), ...FEED, "--passes", "two");
    expect(code).toBe(2);
    expect(err).toMatch(/one or per-layer is wanted/);
    const other = await cli("recalibrate", golden("net.meta"), ...FEED, "--convention", "keras4");
    expect(other).toMatchObject({
      code: 2,
      err: expect.stringMatching(/keras-standalone, sample or population is wanted/),
    });
  });

  test("a container without a graph, rows that do not agree, a name that is not there", async () => {
    const wrong = async (...argv: string[]) => (await cli("recalibrate", ...argv)).err;
    expect(await wrong(golden("model.keras"), ...FEED)).toMatch(/keras-v3 has no graph/);
    writeFileSync(at("y.npy"), writeNpy(tensor(new Array(96).fill(1), "float32", [3, 4, 4, 2])));
    expect(await wrong(golden("net.meta"), "--feed", `z=@${at("y.npy")}`)).toMatch(/NOT_FOUND.* z/);
    expect(await wrong(golden("net.meta"), ...FEED, "--layers", "zz")).toMatch(/a not asked for/);
  });
});
