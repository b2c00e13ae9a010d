/** A short slice of the mutation run: `npm run fuzz` is the whole of it. HDF5 runs in a process of its own, which is ended where it hangs. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { probe } from "./check.ts";
import { KINDS, type Kind, readCorpus, withStateFiles } from "./corpus.ts";
import { mutate } from "./mutate.ts";
import { MUTANTS } from "./plan.ts";
import { randomOf } from "./random.ts";

const corpus = withStateFiles(readCorpus(join(import.meta.dirname, "..", "goldens")));
const SEED = 2026;
const HDF5: readonly Kind[] = ["keras-v3", "keras-weights", "keras-h5"];
/** Mutants of a kind in this slice. */
const sliceOf = (kind: Kind): number => Math.ceil(MUTANTS[kind] / 200);

test("a full run has 200,000 mutants and all formats", () => {
  expect(Object.values(MUTANTS).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(200_000);
  expect(KINDS.filter((kind) => !corpus.some((seed) => seed.kind === kind))).toEqual([]);
});

test.each(KINDS)("unchanged files of %s are read whole", async (kind) => {
  const small = corpus.filter((seed) => seed.kind === kind && kind !== "meta-graph").slice(0, 3);
  for (const seed of small) expect(["whole", "partly"], seed.open).toContain(await probe(seed));
});

test.each(KINDS.filter((kind) => !HDF5.includes(kind)))(
  "mutants of %s give values or a typed error",
  async (kind) => {
    const seeds = corpus.filter((seed) => seed.kind === kind);
    for (let index = 0; index < sliceOf(kind); index++) {
      const r = randomOf(SEED, kind, index);
      const mutant = await mutate(r.pick(seeds), seeds, r);
      await probe(mutant).catch((e: unknown) => {
        throw new Error(`${kind} ${index}, seed ${SEED}: neither values nor a typed error`, { cause: e });
      });
    }
  },
);

test("mutants of HDF5 files give values or a typed error", { timeout: 120_000 }, () => {
  const out = mkdtempSync(join(tmpdir(), "varscope-fuzz-"));
  const tool = join(import.meta.dirname, "..", "..", "tools", "fuzz.mjs");
  const options = { seed: SEED, kind: HDF5.join(), mutants: sliceOf("keras-h5"), workers: 1, out };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const { status, stdout } = spawnSync(process.execPath, [tool, ...args], {
    encoding: "utf8",
    timeout: 110_000,
  });
  rmSync(out, { recursive: true });
  expect(status, stdout).toBe(0);
});
