/** @file `varscope average`: the mean of containers, of all or of those that a score chooses, written as one. Start at `averageCommand`. */

import { mkdir, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { temporaryBeside } from "#platform";
import { VarscopeError } from "../base/index.ts";
import { type AveragePlan, planAverage } from "../edit/change/average.ts";
import { fitted, joinedLeft } from "../edit/change/convert.ts";
import { greedySoup, type Soup, type SoupDecision } from "../edit/change/soup.ts";
import { type Model, openModel } from "../edit/open-model.ts";
import { formatLike, needFree, needWritable, type WritableFormat, writeModel } from "../edit/write-model.ts";
import { leftLines } from "./edit.ts";
import { formatJson } from "./json.ts";
import { progressOn } from "./progress.ts";
import { commandWords, scoreFile } from "./score-command.ts";
import { formatCount, type Streams } from "./terminal.ts";

export interface AverageFlags {
  readonly weights?: string;
  readonly greedy?: boolean;
  readonly score?: string;
  readonly minimize?: boolean;
  readonly format?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Writes the mean of containers. @throws VarscopeError as `planAverage`, `greedySoup`, `scoreFile` and `writeModel` */
export async function averageCommand(
  pathOut: string,
  inputs: readonly string[],
  flags: AverageFlags,
  streams: Streams,
): Promise<void> {
  const { stdout, stderr, signal } = streams;
  const words = wordsOf(flags);
  const models: Model[] = [];
  const progress = progressOn(stderr, "averaging");
  try {
    for (const path of inputs) models.push(await openModel(path));
    const [first] = models;
    const format =
      flags.format === undefined ? formatLike(pathOut, first!.format) : needWritable(flags.format);
    const writing = { format, ...(flags.force && { force: true }) };
    await needFree(pathOut, writing);
    const soup = words && (await soupOf({ models, inputs, words, pathOut, format }, flags, streams));
    const plan =
      soup?.plan ??
      planAverage(models, flags.weights === undefined ? {} : { weights: weightsOf(flags.weights) });
    const all = first!.variables.reduce((n, v) => n + v.bytes, 0);
    const fit = fitted(plan, models[soup?.ingredients[0] ?? 0]!.format, format);
    const report = await writeModel(pathOut, fit.contents, {
      ...writing,
      ...(signal && { signal }),
      onProgress: (done) => progress.report(done, all),
    });
    progress.end();
    const left = joinedLeft(fit.left, report.left);
    const { averaged, fromLast, statistics } = plan;
    const used = soup ? soup.ingredients.map((i) => inputs[i]!) : inputs;
    if (flags.json) {
      const chosen = soup && { score: soup.score, decisions: soup.decisions.map((d) => told(d, inputs)) };
      const found = { out: pathOut, format, inputs: used, averaged, fromLast, statistics, left, ...chosen };
      stdout.write(`${formatJson(found, 2)}\n`);
      return;
    }
    const lines = [
      `${formatCount(averaged.length)} variables averaged over ${used.length} containers, ${formatCount(fromLast.length)} from the last -> ${pathOut} (${format})`,
      ...leftLines({ left }),
      ...statisticsLines(plan),
    ];
    stdout.write(`${lines.join("\n")}\n`);
  } finally {
    progress.end();
    for (const model of models) await model.close();
  }
}

const statisticsLines = ({ statistics }: AveragePlan): string[] =>
  statistics.length === 0
    ? []
    : [
        `${formatCount(statistics.length)} moving means and variances are averages, too: estimate them anew over training data before evaluating (varscope recalibrate)`,
      ];

/** Words of the command that scores, where it is a soup. @throws VarscopeError INVALID_ARGUMENT - options that exclude each other */
function wordsOf({ greedy, score, weights, minimize }: AverageFlags): string[] | undefined {
  const wrong = (what: string, hint: string): VarscopeError =>
    new VarscopeError("INVALID_ARGUMENT", what, { hint });
  if (!greedy && (score !== undefined || minimize))
    throw wrong("--score and --minimize are for --greedy", "give --greedy, too");
  if (!greedy) return undefined;
  if (score === undefined)
    throw wrong("--greedy asks a command which models to keep", 'give --score "python evaluate.py {}"');
  if (weights !== undefined)
    throw wrong("--greedy and --weights exclude each other", "leave one of them out");
  return commandWords(score);
}

interface Kitchen {
  readonly models: readonly Model[];
  readonly inputs: readonly string[];
  readonly words: readonly string[];
  readonly pathOut: string;
  readonly format: WritableFormat;
}

/** The soup that a command's scores make; each mean is written beside OUT for it, and removed. */
async function soupOf(
  { models, inputs, words, pathOut, format }: Kitchen,
  { minimize, json }: AverageFlags,
  streams: Streams,
): Promise<Soup> {
  const { signal } = streams;
  const folder = await temporaryBeside(resolve(pathOut));
  await mkdir(folder, { recursive: true });
  const candidate = join(folder, basename(pathOut));
  try {
    return await greedySoup(
      models,
      async (plan, used) => {
        const [only] = used.length === 1 ? used : [];
        if (only !== undefined) return scoreFile(words, inputs[only]!, streams);
        const { contents } = fitted(plan, models[used[0]!]!.format, format);
        await writeModel(candidate, contents, {
          format,
          force: true,
          sync: false,
          ...(signal && { signal }),
        });
        return scoreFile(words, candidate, streams);
      },
      {
        ...(minimize && { minimize }),
        onDecision: (d) => {
          if (!json) streams.stdout.write(`${decisionLine(d, inputs)}\n`);
        },
      },
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function decisionLine({ model, alone, together, isKept }: SoupDecision, inputs: readonly string[]): string {
  const verdict = isKept ? "kept" : "left out";
  return `${verdict}: ${inputs[model]!}, ${alone} alone, ${together} with it`;
}

const told = ({ model, ...rest }: SoupDecision, inputs: readonly string[]): object => ({
  input: inputs[model]!,
  ...rest,
});

function weightsOf(text: string): number[] {
  const weights = text.split(",").map((s) => (s.trim() === "" ? Number.NaN : Number(s)));
  if (weights.every((w) => Number.isFinite(w))) return weights;
  throw new VarscopeError("INVALID_ARGUMENT", `${text} are no numbers`, {
    at: "--weights",
    hint: "write them as 1,1,2",
  });
}
