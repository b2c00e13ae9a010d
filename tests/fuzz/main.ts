/**
 * @file The mutation run: `npm run fuzz -- [--seed N] [--kind KIND] [--mutants N] [--workers N] [--index N] [--out FOLDER]`. Prints a table
 * and fails where a mutant gave neither values nor a typed error, or took too much. `--index` runs one mutant of a kind and writes its files.
 */

import { fork } from "node:child_process";
import { mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { KINDS, type Kind, readCorpus, withStateFiles } from "./corpus.ts";
import { type Job, LIMITS, MUTANTS, type Report } from "./plan.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const GOLDENS = join(ROOT, "tests", "goldens");
/** Mutants of one job: enough to cost nothing, few enough to share out. */
const JOB = 200;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    kind: { type: "string" },
    mutants: { type: "string" },
    workers: { type: "string" },
    index: { type: "string" },
    out: { type: "string", default: join(ROOT, "runs", "fuzz") },
  },
});
const RUNS = values.out;
const kinds = values.kind === undefined ? KINDS : KINDS.filter((k) => values.kind!.split(",").includes(k));

function jobsOf(): Job[] {
  if (values.index !== undefined)
    return kinds.map((kind) => ({ kind, from: Number(values.index), to: Number(values.index) + 1 }));
  const corpus = new Set(withStateFiles(readCorpus(GOLDENS)).map((s) => s.kind));
  return kinds
    .filter((kind) => corpus.has(kind))
    .flatMap((kind) => {
      const count = values.mutants === undefined ? MUTANTS[kind] : Number(values.mutants);
      return Array.from({ length: Math.ceil(count / JOB) }, (_, i) => ({
        kind,
        from: i * JOB,
        to: Math.min(count, (i + 1) * JOB),
      }));
    });
}

/** Kinds in turns, so that a run that is ended early has met them all. */
const turnOf = ({ kind, from }: Job): number => from / (values.mutants === undefined ? MUTANTS[kind] : 1);
const jobs = jobsOf().sort((a, b) => turnOf(a) - turnOf(b));
const total = new Map<Kind, Report>(
  jobs.map(({ kind }) => [
    kind,
    { kind, whole: 0, partly: 0, refused: 0, broken: [], slowestMs: 0, largest: 0 },
  ]),
);

function add(report: Report): void {
  const sum = total.get(report.kind)!;
  for (const key of ["whole", "partly", "refused"] as const) sum[key] += report[key];
  sum.broken.push(...report.broken);
  sum.slowestMs = Math.max(sum.slowestMs, report.slowestMs);
  sum.largest = Math.max(sum.largest, report.largest);
}

/** Runs jobs in a process of its own until none are left; one that hangs or dies is ended, counted, and the rest of its job goes on. */
function runWorker(n: number): Promise<void> {
  const status = join(RUNS, `worker-${n}`);
  return new Promise((resolve) => {
    let job: Job | undefined;
    const start = (first?: Job): void => {
      const child = fork(join(import.meta.dirname, "worker.mjs"), [GOLDENS, values.seed], {
        stdio: ["ignore", "inherit", "inherit", openSync(status, "w"), "ipc"],
        execArgv: ["--max-old-space-size=1024", "--enable-source-maps"],
      });
      let last = "";
      let since = Date.now();
      const watch = setInterval(() => {
        const now = readFileSync(status, "utf8");
        if (now !== last) [last, since] = [now, Date.now()];
        else if (Date.now() - since > LIMITS.hangMs && job !== undefined) child.kill("SIGKILL");
      }, 500);
      const next = (): void => {
        job = jobs.shift();
        if (job === undefined) child.disconnect();
        else child.send(job);
      };
      child.on("message", (message: "ready" | Report) => {
        if (message === "ready" && first !== undefined) {
          job = first;
          child.send(first);
          return;
        }
        if (message !== "ready") add(message);
        next();
      });
      child.on("exit", (code, signal) => {
        clearInterval(watch);
        if (job === undefined) return resolve();
        const index = Number(readFileSync(status, "utf8").split(" ")[1]);
        add({
          kind: job.kind,
          whole: 0,
          partly: 0,
          refused: 0,
          broken: [{ index, why: `hung, or the process died (${code ?? signal})` }],
          slowestMs: 0,
          largest: 0,
        });
        const { kind, to } = job;
        start({ kind, from: index + 1, to });
      });
    };
    start();
  });
}

function print(seconds: number): number {
  const rows = [...total.values()].map((t) => [
    t.kind,
    t.whole + t.partly + t.refused + new Set(t.broken.map((b) => b.index)).size,
    t.whole,
    t.partly,
    t.refused,
    t.broken.length,
    Math.round(t.slowestMs),
    (t.largest / 2 ** 20).toFixed(1),
  ]);
  const sum = (i: number): number => rows.reduce((n, row) => n + Number(row[i]), 0);
  const table = [
    ["format", "mutants", "read", "in part", "refused", "broken", "slowest ms", "largest array MiB"],
    ...rows,
    ["all", sum(1), sum(2), sum(3), sum(4), sum(5), "", ""],
  ];
  const widths = table[0]!.map((_, i) => Math.max(...table.map((row) => String(row[i]).length)));
  for (const row of table)
    console.log(
      row
        .map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i]!) : String(cell).padStart(widths[i]!)))
        .join("  "),
    );
  const broken = [...total.values()].flatMap((t) => t.broken.map((b) => ({ kind: t.kind, ...b })));
  const alike = new Map<string, { readonly why: string; readonly where: string[] }>();
  for (const { kind, index, why } of broken) {
    const key = why.replaceAll(/\d+/g, "N").split("\n").slice(0, 3).join();
    const group = alike.get(key) ?? { why, where: [] };
    alike.set(key, group);
    group.where.push(`${kind} ${index}`);
  }
  for (const { why, where } of [...alike.values()].slice(0, 40))
    console.log(`\n${where.length} like ${where.slice(0, 5).join(", ")}: ${why}`);
  console.log(`\nseed ${values.seed}, ${Math.round(seconds)} s`);
  writeFileSync(
    join(RUNS, "report.json"),
    `${JSON.stringify({ seed: values.seed, seconds, total: [...total.values()] }, null, 1)}\n`,
  );
  return broken.length;
}

/** The files of one mutant, to look at. */
async function save(kind: Kind, index: number): Promise<void> {
  const { mutate } = await import("./mutate.ts");
  const { randomOf } = await import("./random.ts");
  const seeds = withStateFiles(readCorpus(GOLDENS)).filter((s) => s.kind === kind);
  const r = randomOf(Number(values.seed), kind, index);
  const { files, open } = await mutate(r.pick(seeds), seeds, r);
  for (const [name, bytes] of files) {
    const path = join(RUNS, `${kind}-${index}`, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
  console.log(`open ${join(RUNS, `${kind}-${index}`, open)}`);
}

mkdirSync(RUNS, { recursive: true });
if (values.index !== undefined) for (const kind of kinds) await save(kind, Number(values.index));
const started = performance.now();
process.once("SIGINT", () => {
  print((performance.now() - started) / 1000); // what there is so far
  process.exit(130);
});
const workers = values.workers === undefined ? Math.min(4, availableParallelism()) : Number(values.workers);
await Promise.all(Array.from({ length: workers }, (_, n) => runWorker(n)));
process.exitCode = print((performance.now() - started) / 1000) > 0 ? 1 : 0;
