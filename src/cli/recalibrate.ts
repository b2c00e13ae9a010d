/** @file `varscope recalibrate`: statistics of batch normalization estimated over data, reported and written. Start at `recalibrateCommand`. */

import { sizeOf, type Tensor, VarscopeError } from "../base/index.ts";
import { fitted, joinedLeft } from "../edit/change/convert.ts";
import { type Model, openModel } from "../edit/open-model.ts";
import {
  planRecalibration,
  type RecalibratedNorm,
  type RecalibrationPlan,
  type RecalibrationPlanOptions,
} from "../edit/recalibrate/index.ts";
import { formatLike, needFree, needWritable, writeModel } from "../edit/write-model.ts";
import type { WriteReport } from "../formats/collection/index.ts";
import type { Output } from "../graph/index.ts";
import { leftLines } from "./edit.ts";
import { formatJson } from "./json.ts";
import { needSignature, readFeeds } from "./run-names.ts";
import { type Column, formatCount, formatTable, type Sink, type Streams, styleFor } from "./terminal.ts";

export interface RecalibrateFlags {
  readonly checkpoint?: string;
  readonly feed?: readonly string[];
  readonly signature?: string;
  readonly batch?: number;
  readonly passes?: "one" | "per-layer";
  readonly layers?: RegExp;
  readonly convention?: NonNullable<RecalibrationPlanOptions["convention"]>;
  readonly output?: string;
  readonly format?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Rows of data that a run takes at once, where the flags do not say. */
const BATCH = 32;

/**
 * Estimates statistics over the data that are fed, and writes a copy of the container with them; without an output it reports alone.
 *
 * @throws VarscopeError INVALID_ARGUMENT - feeds of different numbers of rows; ALREADY_EXISTS; and as `planRecalibration` and `writeModel`
 */
export async function recalibrateCommand(
  path: string,
  flags: RecalibrateFlags,
  streams: Streams,
): Promise<void> {
  const { signal } = streams;
  const { output, force, layers, passes, convention } = flags;
  const graph = await openModel(path);
  let values: Model = graph;
  try {
    const beside = graph.format === "meta-graph" ? (await graph.graph())?.checkpoint : null;
    const checkpoint = flags.checkpoint ?? beside ?? null;
    if (checkpoint !== null) values = await openModel(checkpoint);
    const format =
      flags.format === undefined ? formatLike(output ?? "", values.format) : needWritable(flags.format);
    const writing = { format, ...(force && { force }) };
    if (output !== undefined) await needFree(output, writing);
    const batches = await readBatches(graph, flags);
    const progress = lineOn(streams.stderr, batches.count);
    const plan = await planRecalibration(graph, values, {
      data: batches.start,
      ...(layers && { layers }),
      ...(passes && { passes }),
      ...(convention && { convention }),
      ...(signal && { signal }),
      onProgress: progress.report,
    }).finally(progress.end);
    let left: WriteReport["left"] = [];
    if (output !== undefined) {
      const fit = fitted(plan.contents, values.format, format);
      const report = await writeModel(output, fit.contents, { ...writing, ...(signal && { signal }) });
      left = joinedLeft(fit.left, report.left);
    }
    print(plan, { path, ...(output !== undefined && { out: output, format, lost: left }) }, flags, streams);
  } finally {
    if (values !== graph) await values.close();
    await graph.close();
  }
}

interface Written {
  readonly path: string;
  readonly out?: string;
  readonly format?: string;
  readonly lost?: WriteReport["left"];
}

function print(
  plan: RecalibrationPlan,
  written: Written,
  { json }: RecalibrateFlags,
  { stdout }: Streams,
): void {
  const { passes, batches, layers, left, convention } = plan;
  if (json) {
    const plain = layers.map(({ mean: _, variance: __, ...layer }) => layer);
    stdout.write(`${formatJson({ ...written, passes, batches, convention, layers: plain, left }, 2)}\n`);
    return;
  }
  const { out, format, lost = [] } = written;
  const where = out === undefined ? "; nothing is written without --output" : ` -> ${out} (${format})`;
  const { convention: name, why } = convention;
  const told = why === null || name === "as-written" ? "" : `, variance as ${name} (${why})`;
  const pass = passes === 1 ? "1 pass" : `${passes} passes`;
  const lines = [
    ...formatTable(COLUMNS, layers.map(rowOf), styleFor(stdout)),
    ...left.map(({ layer, why }) => `${layer} keeps its statistics: ${why}`),
    `${formatCount(layers.length)} layers, ${pass} over ${formatCount(batches)} batches${told}${where}`,
    ...leftLines({ left: lost }),
  ];
  stdout.write(`${lines.join("\n")}\n`);
}

interface Batches {
  readonly count: number;
  /** goes through them, by names of feeds */
  start(): Generator<Record<string, Tensor>>;
}

/** What has an open first axis is cut into batches, what has a fixed shape goes into each. */
async function readBatches(graph: Model, flags: RecalibrateFlags): Promise<Batches> {
  const file = await graph.graph();
  if (file === null || (flags.feed ?? []).length === 0) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      file === null ? `${graph.format} has no graph` : "no data are fed",
      {
        at: graph.path,
        hint: "write varscope recalibrate GRAPH --feed x=@images.npy",
      },
    );
  }
  const signature = flags.signature === undefined ? null : needSignature(file, flags.signature);
  const feeds = await readFeeds(file, flags.feed ?? [], signature);
  const isData = (x: Output, t: Tensor): boolean =>
    t.shape.length > 0 && (x.shape === null || x.shape[0] === null);
  const data = [...feeds].filter(([x, t]) => isData(x, t));
  const rows = data[0]?.[1].shape[0] ?? 1;
  const odd = data.find(([, t]) => t.shape[0] !== rows);
  if (odd !== undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `${odd[1].shape[0]} rows, ${data[0]![0].name} has ${rows}`, {
      at: odd[0].name,
      hint: "feed arrays of as many rows each",
    });
  }
  const step = flags.batch ?? BATCH;
  const part = (x: Output, t: Tensor, at: number): Tensor =>
    isData(x, t) ? rowsOf(t, at, Math.min(at + step, rows)) : t;
  return {
    count: Math.ceil(rows / step),
    *start() {
      for (let at = 0; at < rows; at += step)
        yield Object.fromEntries([...feeds].map(([x, t]) => [x.name, part(x, t, at)]));
    },
  };
}

function rowsOf(t: Tensor, from: number, to: number): Tensor {
  const shape = [to - from, ...t.shape.slice(1)];
  const row = sizeOf(t.shape.slice(1));
  return { ...t, shape, data: t.data.slice(from * row, to * row) as Tensor["data"] };
}

const COLUMNS: readonly Column[] = [
  { title: "layer" },
  { title: "channels", right: true },
  { title: "elements", right: true },
  { title: "shift", right: true },
  { title: "ratio", right: true },
  { title: "farthest channel: moving -> data" },
];

const number = (x: number): string => String(Number(x.toPrecision(4)));

function rowOf({ layer, mean, count, gap }: RecalibratedNorm): string[] {
  const { channel, moving, data } = gap.worst;
  const of = (s: { mean: number; variance: number }): string =>
    `mean ${number(s.mean)}, variance ${number(s.variance)}`;
  return [
    layer,
    formatCount(sizeOf(mean.shape)),
    formatCount(count),
    number(gap.shift),
    number(gap.ratio),
    `${channel}: ${of(moving)} -> ${of(data)}`,
  ];
}

/** A line on a terminal that counts batches. */
function lineOn(
  sink: Sink,
  all: number,
): { report(done: number, pass: number, passes: number): void; end(): void } {
  let shown = false;
  return {
    report(done, pass, passes) {
      if (sink.isTTY !== true) return;
      shown = true;
      sink.write(`\r\u001b[2Kbatch ${done} of ${all}${passes > 1 ? `, pass ${pass} of ${passes}` : ""}`);
    },
    end() {
      if (shown) sink.write("\r\u001b[2K");
    },
  };
}
