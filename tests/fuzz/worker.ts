/** @file A process that runs mutants: main.ts says which. Counts arrays, then loads the readers. */

import { writeSync } from "node:fs";
import { countArrays } from "./memory.ts";
import type { Job, Report } from "./plan.ts";

const taken = countArrays();
const { readCorpus, withStateFiles } = await import("./corpus.ts");
const { mutate } = await import("./mutate.ts");
const { probe } = await import("./check.ts");
const { randomOf } = await import("./random.ts");
const { LIMITS } = await import("./plan.ts");

/** Descriptor of the file in which the mutant that runs is named: it is read where this process hangs or dies. */
const STATUS = 3;
const [goldens, seedText] = process.argv.slice(2) as [string, string];
const corpus = withStateFiles(readCorpus(goldens));

async function run({ kind, from, to }: Job): Promise<Report> {
  const seeds = corpus.filter((s) => s.kind === kind);
  const report: Report = { kind, whole: 0, partly: 0, refused: 0, broken: [], slowestMs: 0, largest: 0 };
  for (let index = from; index < to; index++) {
    writeSync(STATUS, `${kind} ${index}\n`.padEnd(64), 0);
    const r = randomOf(Number(seedText), kind, index);
    const mutant = await mutate(r.pick(seeds), seeds, r);
    taken.largest = taken.total = 0;
    const before = process.cpuUsage();
    try {
      report[await probe(mutant)]++;
    } catch (e) {
      report.broken.push({
        index,
        why: e instanceof Error ? (e.stack ?? e.message).slice(0, 1500) : String(e),
      });
    }
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1000;
    report.slowestMs = Math.max(report.slowestMs, ms);
    report.largest = Math.max(report.largest, taken.largest);
    if (ms > LIMITS.cpuMs) report.broken.push({ index, why: `took ${Math.round(ms)} ms of processor time` });
    if (taken.largest > LIMITS.arrayBytes || taken.total > LIMITS.allBytes)
      report.broken.push({ index, why: `took an array of ${taken.largest} bytes, ${taken.total} in all` });
  }
  return report;
}

process.on("message", (job: Job) => {
  run(job).then(
    (report) => process.send!(report),
    (e: unknown) => {
      console.error(e);
      process.exit(3);
    },
  );
});
process.send!("ready");
