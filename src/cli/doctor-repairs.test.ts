/** The commands that the doctor names are run as they stand, and the finding is gone. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromData, type Tensor, tensor } from "../base/index.ts";
import { openCheckpoint, saveCheckpoint } from "../formats/checkpoint/index.ts";
import { runCli } from "./program.ts";

const HEALTHY = join(import.meta.dirname, "..", "..", "tests", "goldens", "healthy");
const dir = mkdtempSync(join(tmpdir(), "varscope repairs $ "));
const healthy = new Map<string, Tensor>();
beforeAll(async () => {
  const from = await openCheckpoint(join(HEALTHY, "ema.ckpt"));
  for (const name of from.names()) healthy.set(name, await from.read(name));
  await from.close();
});
afterAll(() => rmSync(dir, { recursive: true }));

async function cli(...argv: string[]) {
  let [out, err] = ["", ""];
  const code = await runCli(argv, {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
}

/** Words of a command as a shell splits them; what follows `#` is a comment. */
function words(command: string): string[] {
  const found = [...command.matchAll(/((?:'[^']*'|\\'|[^\s'#])+)|#.*$/g)].map((m) => m[1]);
  return found.flatMap((w) => (w === undefined ? [] : [w.replace(/'([^']*)'|\\(.)/g, "$1$2")]));
}

const rulesOf = async (
  path: string,
  graph: readonly string[],
): Promise<{ readonly rule: string; readonly repair: string }[]> =>
  JSON.parse((await cli("doctor", path, "--json", ...graph)).out).findings;

const at0 = (name: string, value: number): Tensor => {
  const t = healthy.get(name)!;
  const data = Float32Array.from(t.data as Float32Array);
  data[0] = value;
  return { ...t, data };
};
const get = (name: string): Tensor => healthy.get(name)!;
const of = (shape: readonly number[], value: number): Tensor =>
  fromData("float32", shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value));

type Changes = Readonly<Record<string, Tensor | null>>;
const CASES: Readonly<Record<string, () => Changes>> = {
  "not-finite": () => ({ "fc1/kernel/Adam": at0("fc1/kernel/Adam", Number.NaN) }),
  "weights-constant": () => ({ "fc1/kernel": of([64, 8], 0) }),
  duplicates: () => ({ "copy of/kernel": get("fc1/kernel") }),
  "tensor-empty": () => ({ "it's/kernel": of([0, 3], 0) }),
  "bn-statistics-half": () => ({
    "bn1/moving_variance": tensor(Array.from(get("bn1/moving_variance").data as Float32Array), "float16"),
  }),
  "bn-mean-variance-swapped": () => ({
    "bn1/moving_mean": get("bn1/moving_variance"),
    "bn1/moving_variance": get("bn1/moving_mean"),
  }),
  "bn-gamma-beta-swapped": () => ({
    "bn1/gamma": of([4], 0.1),
    "bn1/beta": get("bn1/gamma"),
    "bn2/gamma": of([8], -0.1),
    "bn2/beta": get("bn2/gamma"),
  }),
  "variance-negative": () => ({ "fc1/kernel/Adam_1": at0("fc1/kernel/Adam_1", -1e-3) }),
  "slot-orphan": () => ({ "logits/bias": null }),
  "slot-missing": () => ({ "logits/bias/Adam": null, "logits/bias/Adam_1": null }),
  "slot-shape": () => ({ "logits/kernel/Adam": of([8, 10], 0.01) }),
  "statistics-trained": () => ({
    "bn1/moving_mean/Adam": of([4], 0.01),
    "bn1/moving_mean/Adam_1": of([4], 0.02),
  }),
  "ema-stale": () => ({ "bn1/gamma/ExponentialMovingAverage": of([4], 1) }),
  "ema-orphan": () => ({ "logits/bias": null }),
};
const GRAPH_CASES: Readonly<Record<string, () => Changes>> = {
  "graph-variables-missing": () => ({ "conv1/kernel": null, "tower/first=1/kernel": get("conv1/kernel") }),
  "graph-shape-mismatch": () => ({ "fc1/kernel": { ...get("fc1/kernel"), shape: [4, 4, 4, 8] } }),
  "graph-variables-unknown": () => ({ "head/kernel": at0("logits/kernel", 0.77) }),
};

async function repaired(rule: string, changes: Changes, graph: readonly string[]): Promise<void> {
  const [sick, out] = [join(dir, `${rule} sick`), join(dir, `${rule} out`)];
  const values = new Map(healthy);
  for (const [name, t] of Object.entries(changes)) {
    if (t === null) values.delete(name);
    else values.set(name, t);
  }
  await saveCheckpoint(
    sick,
    [...values].map(([name, t]) => ({ name, tensor: t })),
  );
  const finding = (await rulesOf(sick, graph)).find((f) => f.rule === rule);
  expect(finding).toBeDefined();
  const [program, ...argv] = words(finding!.repair).map((word) => (word === "OUT" ? out : word));
  expect(program).toBe("varscope");
  expect(argv).toContain(sick);
  const done = await cli(...argv);
  expect(done).toMatchObject({ code: 0, err: "" });
  expect((await rulesOf(out, graph)).map((f) => f.rule)).not.toContain(rule);
}

describe("a repair as it is printed repairs", () => {
  test.each(Object.entries(CASES))("%s", (rule, changes) => repaired(rule, changes(), []));
  test.each(Object.entries(GRAPH_CASES))("%s", (rule, changes) =>
    repaired(rule, changes(), ["--graph", join(HEALTHY, "inference.meta")]),
  );
});
