/** A short slice of the mutation run, in this process: `npm run fuzz` is the whole of it. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { probe } from "./check.ts";
import { KINDS, readCorpus, withStateFiles } from "./corpus.ts";
import { mutate } from "./mutate.ts";
import { MUTANTS } from "./plan.ts";
import { randomOf } from "./random.ts";

const corpus = withStateFiles(readCorpus(join(import.meta.dirname, "..", "goldens")));
const SEED = 2026;

test("a full run has 200,000 mutants and all formats", () => {
  expect(Object.values(MUTANTS).reduce((a, b) => a + b)).toBeGreaterThanOrEqual(200_000);
  expect(KINDS.filter((kind) => !corpus.some((seed) => seed.kind === kind))).toEqual([]);
});

test.each(KINDS)("unchanged files of %s are read whole", async (kind) => {
  const small = corpus.filter((seed) => seed.kind === kind && kind !== "meta-graph").slice(0, 3);
  for (const seed of small) expect(["whole", "partly"], seed.open).toContain(await probe(seed));
});

test.each(KINDS)("mutants of %s give values or a typed error", async (kind) => {
  const seeds = corpus.filter((seed) => seed.kind === kind);
  const count = Math.ceil(MUTANTS[kind] / 200);
  for (let index = 0; index < count; index++) {
    const r = randomOf(SEED, kind, index);
    const mutant = await mutate(r.pick(seeds), seeds, r);
    await probe(mutant).catch((e: unknown) => {
      throw new Error(`${kind} ${index}, seed ${SEED}: neither values nor a typed error`, { cause: e });
    });
  }
});
