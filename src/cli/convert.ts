/** @file `varscope convert`: variables into another container, with a report of what has no place there. Start at `convertCommand`. */

import { VarscopeError } from "../base/index.ts";
import { type ConvertPlan, joinedLeft, planConvert } from "../edit/change/convert.ts";
import { planLike } from "../edit/change/convert-like.ts";
import { renamedModel } from "../edit/change/rename.ts";
import { type Model, openModel } from "../edit/open-model.ts";
import {
  formatLike,
  formatOfName,
  needFree,
  needWritable,
  type WritableFormat,
  writeModel,
} from "../edit/write-model.ts";
import type { WriteReport } from "../formats/collection/index.ts";
import { leftLines, patternOf } from "./edit.ts";
import { formatJson } from "./json.ts";
import { readNameMap } from "./name-map.ts";
import { progressOn } from "./progress.ts";
import { formatCount, type Streams } from "./terminal.ts";

export interface ConvertFlags {
  readonly format?: string;
  readonly like?: string;
  readonly map?: string;
  readonly rename?: readonly (readonly [string, string])[];
  readonly partial?: boolean;
  readonly layout?: string;
  readonly shards?: number;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Writes a container in another format. @throws VarscopeError as `openModel`, `planLike` and `writeModel` */
export async function convertCommand(
  pathIn: string,
  pathOut: string,
  flags: ConvertFlags,
  streams: Streams,
): Promise<void> {
  const { stdout, stderr, signal } = streams;
  const opened = await openModel(pathIn);
  const progress = progressOn(stderr, "writing");
  let template: Model | null = null;
  try {
    template = flags.like === undefined ? null : await openModel(flags.like);
    const format = formatFor(pathOut, flags, template);
    const writing = {
      format,
      ...(flags.force && { force: true }),
      ...(flags.shards !== undefined && { shards: flags.shards }),
    };
    await needFree(pathOut, writing);
    const rules = (flags.rename ?? []).map(([p, to]) => [patternOf(p, "--rename"), to] as const);
    const from = rules.length === 0 ? opened : renamedModel(opened, rules);
    const plan = await planOf(from, template, { format, flags, ...(signal && { signal }) });
    const all = plan.contents.variables.length === 0 ? 0 : opened.variables.reduce((n, v) => n + v.bytes, 0);
    const onProgress = (done: number): void => progress.report(done, all);
    const report = await writeModel(pathOut, plan.contents, {
      ...writing,
      ...(signal && { signal }),
      onProgress,
    });
    progress.end();
    const left = joinedLeft(plan.left, report.left);
    const written =
      plan.contents.variables.length -
      report.left.filter((l) => plan.contents.variables.some((v) => v.name === l.what)).length;
    if (flags.json) {
      const pairs = plan.pairs.map(({ a, b, by }) => ({ from: a.name, to: b.name, by }));
      stdout.write(
        `${formatJson({ in: pathIn, out: pathOut, format, variables: written, left, pairs, kept: plan.kept }, 2)}\n`,
      );
    } else
      stdout.write(
        `${lines(plan, left, `${formatCount(written)} variables -> ${pathOut} (${format})`).join("\n")}\n`,
      );
  } finally {
    progress.end();
    await template?.close();
    await opened.close();
  }
}

/** What the options say, else OUT's name, else with a template its format, else a checkpoint. */
function formatFor(
  pathOut: string,
  { format, layout }: ConvertFlags,
  template: Model | null,
): WritableFormat {
  if (format !== undefined) return needWritable(format);
  if (layout !== undefined) return "checkpoint-object";
  return template === null
    ? (formatOfName(pathOut) ?? "checkpoint-v2")
    : formatLike(pathOut, template.format);
}

interface PlanOptions {
  readonly format: WritableFormat;
  readonly flags: ConvertFlags;
  readonly signal?: AbortSignal;
}

async function planOf(
  from: Model,
  template: Model | null,
  { format, flags, signal }: PlanOptions,
): Promise<ConvertPlan> {
  const { map, partial, layout } = flags;
  if (template === null && (map !== undefined || partial)) {
    throw new VarscopeError("INVALID_ARGUMENT", "--map and --partial are about a template", {
      hint: "give one with --like, or names with --rename",
    });
  }
  if (layout !== undefined) {
    const { toKeras2Layout, toKeras3Layout } = await import("../formats/checkpoint/index.ts");
    const relaid = layout === "keras2" ? toKeras2Layout(from) : toKeras3Layout(from);
    return { ...relaid, pairs: [], kept: [] };
  }
  if (template !== null) {
    const given = map === undefined ? undefined : await readNameMap(map);
    return planLike(from, template, {
      ...(given && { map: given }),
      ...(partial && { partial }),
      ...(signal && { signal }),
    });
  }
  if (format === "keras-v3" && from.extras.kerasConfig === undefined) {
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      `${from.format} holds no Keras model, and a .keras file is one`,
      {
        at: from.path,
        hint: "give a .keras file of the model, untrained will do, with --like; or write .weights.h5",
      },
    );
  }
  return planConvert(from, format);
}

/** Variables that keep the template's values, of which names are printed. */
const MOST_KEPT = 10;

function lines(plan: ConvertPlan, left: WriteReport["left"], head: string): string[] {
  const byShape = plan.pairs.filter((p) => p.by === "structure");
  const kept = plan.kept.slice(0, MOST_KEPT).map((name) => `kept from the template: ${name}`);
  const more = plan.kept.length > MOST_KEPT ? [`and ${formatCount(plan.kept.length - MOST_KEPT)} more`] : [];
  const paired = byShape.map((p) => `matched by shape: ${p.a.name} -> ${p.b.name}`);
  return [...paired, ...kept, ...more, ...leftLines({ left }), head];
}
