/** @file `varscope average`: the mean of containers, written as one. Start at `averageCommand`. */

import { VarscopeError } from "../base/index.ts";
import { planAverage } from "../edit/change/average.ts";
import { fitted, joinedLeft } from "../edit/change/convert.ts";
import { type Model, openModel } from "../edit/open-model.ts";
import { formatLike, needFree, needWritable, writeModel } from "../edit/write-model.ts";
import { leftLines } from "./edit.ts";
import { formatJson } from "./json.ts";
import { progressOn } from "./progress.ts";
import { formatCount, type Streams } from "./terminal.ts";

export interface AverageFlags {
  readonly weights?: string;
  readonly format?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Writes the mean of containers. @throws VarscopeError as `planAverage` and `writeModel` */
export async function averageCommand(
  pathOut: string,
  inputs: readonly string[],
  flags: AverageFlags,
  { stdout, stderr, signal }: Streams,
): Promise<void> {
  const models: Model[] = [];
  const progress = progressOn(stderr, "averaging");
  try {
    for (const path of inputs) models.push(await openModel(path));
    const [first] = models;
    const format =
      flags.format === undefined ? formatLike(pathOut, first!.format) : needWritable(flags.format);
    const writing = { format, ...(flags.force && { force: true }) };
    await needFree(pathOut, writing);
    const plan = planAverage(
      models,
      flags.weights === undefined ? {} : { weights: weightsOf(flags.weights) },
    );
    const all = first!.variables.reduce((n, v) => n + v.bytes, 0);
    const onProgress = (done: number): void => progress.report(done, all);
    const fit = fitted(plan, first!.format, format);
    const report = await writeModel(pathOut, fit.contents, {
      ...writing,
      ...(signal && { signal }),
      onProgress,
    });
    progress.end();
    const left = joinedLeft(fit.left, report.left);
    const { averaged, fromLast, statistics } = plan;
    if (flags.json) {
      const found = { out: pathOut, format, inputs, averaged, fromLast, statistics, left };
      stdout.write(`${formatJson(found, 2)}\n`);
      return;
    }
    const lines = [
      `${formatCount(averaged.length)} variables averaged over ${inputs.length} containers, ${formatCount(fromLast.length)} from the last -> ${pathOut} (${format})`,
      ...leftLines({ left }),
    ];
    if (statistics.length > 0)
      lines.push(
        `${formatCount(statistics.length)} moving means and variances are averages, too: estimate them anew over training data before evaluating (varscope recalibrate)`,
      );
    stdout.write(`${lines.join("\n")}\n`);
  } finally {
    progress.end();
    for (const model of models) await model.close();
  }
}

function weightsOf(text: string): number[] {
  const weights = text.split(",").map((s) => (s.trim() === "" ? Number.NaN : Number(s)));
  if (weights.every((w) => Number.isFinite(w))) return weights;
  throw new VarscopeError("INVALID_ARGUMENT", `${text} are no numbers`, {
    at: "--weights",
    hint: "write them as 1,1,2",
  });
}
