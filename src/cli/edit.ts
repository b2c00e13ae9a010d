/** @file `varscope edit`: makes a plan of its options, prints it, writes what it says. Start at `editCommand`. */

import { readFile } from "#platform";
import { type DType, formatShape, isDType, type Tensor, VarscopeError } from "../base/index.ts";
import { fitted, joinedLeft } from "../edit/change/convert.ts";
import { planEdit } from "../edit/change/edit.ts";
import type { EditOptions, EditPlan, PlannedLoss } from "../edit/change/plan.ts";
import { openModel } from "../edit/open-model.ts";
import { formatLike, needFree, needWritable, writeModel } from "../edit/write-model.ts";
import type { WriteReport } from "../formats/collection/index.ts";
import { readNpy } from "../wire/index.ts";
import { formatJson } from "./json.ts";
import { progressOn } from "./progress.ts";
import type { GivenStep } from "./surgery-options.ts";
import {
  type Column,
  formatCount,
  formatTable,
  type Row,
  type Streams,
  type Style,
  styleFor,
} from "./terminal.ts";

export interface EditFlags {
  readonly rename?: readonly (readonly [string, string])[];
  readonly keep?: readonly RegExp[];
  readonly drop?: readonly RegExp[];
  readonly cast?: readonly (readonly [string, string])[];
  readonly allowLossy?: boolean;
  readonly dropSlots?: boolean;
  readonly ema?: boolean;
  readonly swapEma?: boolean;
  readonly set?: readonly (readonly [string, string])[];
  readonly steps?: readonly GivenStep[];
  readonly shards?: number;
  readonly format?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Writes an edited container. @throws VarscopeError as `planEdit` and `writeModel`; OUT_OF_RANGE - a cast loses values */
export async function editCommand(
  pathIn: string,
  pathOut: string,
  flags: EditFlags,
  streams: Streams,
): Promise<void> {
  const { stdout, stderr, signal } = streams;
  const options = await optionsOf(flags);
  const from = await openModel(pathIn);
  const progress = progressOn(stderr, "writing");
  try {
    const format = flags.format === undefined ? formatLike(pathOut, from.format) : needWritable(flags.format);
    if (!flags.dryRun) await needFree(pathOut, { format, ...(flags.force && { force: true }) });
    const plan = await planEdit(from, { ...options, ...(signal && { signal }) });
    for (const option of plan.unused) stderr.write(`varscope: ${option} matches nothing\n`);
    const refused = flags.allowLossy ? [] : plan.losses.filter((l) => l.refused);
    if (flags.dryRun !== true && refused.length > 0) throw lossy(refused);
    const fit = fitted(plan, from.format, format);
    const report = flags.dryRun
      ? null
      : await writeModel(pathOut, fit.contents, {
          format,
          ...(signal && { signal }),
          ...(flags.shards !== undefined && { shards: flags.shards }),
          ...(flags.force && { force: true }),
          onProgress: (done) => progress.report(done, 0),
        });
    progress.end();
    const own = report === null ? [] : await ownNames(pathOut, format, plan);
    const left = [...joinedLeft(fit.left, report?.left ?? []), ...own];
    const text = flags.json
      ? formatJson(jsonOf({ pathIn, pathOut, format, plan, left, written: report !== null }), 2)
      : planLines(plan, styleFor(stdout), flags.dryRun ?? false).join("\n");
    const end = flags.json ? "" : `${endLines(plan, left, report !== null, `${pathOut} (${format})`)}\n`;
    stdout.write(`${text}\n${end}`);
    if (flags.dryRun && refused.length > 0) throw lossy(refused);
  } finally {
    progress.end();
    await from.close();
  }
}

async function optionsOf(flags: EditFlags): Promise<EditOptions> {
  if (flags.ema && flags.swapEma) throw wrong("--ema and --swap-ema exclude each other");
  const set = new Map<string, Tensor>();
  for (const [name, value] of flags.set ?? []) set.set(name, await arrayOf(value));
  return {
    ...(flags.rename && { rename: flags.rename.map(([p, to]) => [patternOf(p, "--rename"), to] as const) }),
    ...(flags.keep && { keep: flags.keep }),
    ...(flags.drop && { drop: flags.drop }),
    ...(flags.cast && { cast: flags.cast.map(([p, to]) => [patternOf(p, "--cast"), dtypeOf(to)] as const) }),
    ...(flags.dropSlots && { dropSlots: true }),
    ...(flags.ema && { ema: "take" as const }),
    ...(flags.swapEma && { ema: "swap" as const }),
    set,
    surgery: await Promise.all((flags.steps ?? []).map((read) => read())),
  };
}

const wrong = (what: string, hint?: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, hint === undefined ? {} : { hint });

/** A regular expression of a command line. @throws VarscopeError INVALID_ARGUMENT */
export function patternOf(text: string, option: string): RegExp {
  try {
    return new RegExp(text);
  } catch (cause) {
    throw new VarscopeError("INVALID_ARGUMENT", (cause as Error).message, { at: option, cause });
  }
}

function dtypeOf(text: string): DType {
  if (isDType(text)) return text;
  throw wrong(`${text} is no dtype`, "write it as TensorFlow does: float16, bfloat16, float32, int64");
}

async function arrayOf(value: string): Promise<Tensor> {
  if (!value.startsWith("@")) throw wrong(`--set takes a file, found ${value}`, "write it as NAME=@file.npy");
  const file = value.slice(1);
  return readNpy(await readFile(file), { file });
}

const lossOf = (l: PlannedLoss): string =>
  [
    [l.overflow, "overflow"],
    [l.flushed, "become 0"],
    [l.inexact, "lose digits"],
  ]
    .filter(([n]) => n !== 0)
    .map(([n, what]) => `${formatCount(n as number)} ${what}`)
    .join(", ");

function lossy(losses: readonly PlannedLoss[]): VarscopeError {
  const [first] = losses;
  const shown = losses.slice(0, 20).map((l) => `${l.name}: ${lossOf(l)} as ${l.dtype[1]}`);
  const rest = losses.length > 20 ? [`and ${losses.length - 20} more`] : [];
  return new VarscopeError("OUT_OF_RANGE", `the cast loses values (${[...shown, ...rest].join("; ")})`, {
    at: first!.name,
    hint: "leave these out of the pattern, take bfloat16, or give --allow-lossy",
  });
}

const COLUMNS: readonly Column[] = [
  { title: "variable" },
  { title: "dtype" },
  { title: "shape" },
  { title: "changes" },
];

/** The whole plan, or what changes of it. */
function planLines(plan: EditPlan, style: Style, isWhole: boolean): string[] {
  const shown = isWhole ? plan.variables : plan.variables.filter((v) => v.changes.length > 0);
  const rows = shown.map((v): Row => [v.name, v.dtype, formatShape(v.shape), v.changes.join(", ")]);
  const lines = rows.length > 0 ? [...formatTable(COLUMNS, rows, style), ""] : [];
  if (plan.dropped.length > 0) {
    const dropped: Column[] = [{ title: "left out" }, { title: "why" }];
    lines.push(
      ...formatTable(
        dropped,
        plan.dropped.map((d): Row => [d.name, d.why]),
        style,
      ),
      "",
    );
  }
  if (plan.losses.length > 0) {
    const columns: Column[] = [{ title: "lossy cast" }, { title: "dtype" }, { title: "elements" }];
    const losses = plan.losses.map((l): Row => [l.name, l.dtype.join(" -> "), lossOf(l)]);
    lines.push(...formatTable(columns, losses, style), "");
  }
  return lines;
}

/** Keras's layers and their variables have names of their own: what a new name did not reach. */
async function ownNames(pathOut: string, format: string, plan: EditPlan): Promise<WriteReport["left"]> {
  const renamed = plan.variables.filter((v) => v.from !== null && v.from !== v.name);
  if (!format.startsWith("keras-") || renamed.length === 0) return [];
  const written = await openModel(pathOut);
  await written.close();
  const there = new Set(written.variables.map((v) => v.name));
  return renamed
    .filter((v) => !there.has(v.name))
    .map((v) => ({ what: `the name ${v.name}`, why: `${format} has names of its layers there` }));
}

function endLines(plan: EditPlan, left: WriteReport["left"], isWritten: boolean, out: string): string {
  const count = `${formatCount(plan.variables.length)} variables`;
  return [...leftLines({ left }), isWritten ? `${count} -> ${out}` : `would write ${count} to ${out}`].join(
    "\n",
  );
}

/** What is not carried that is printed. */
const MOST_LEFT = 20;

/** What a writer could not carry, one line each. */
export const leftLines = ({ left }: WriteReport): string[] => [
  ...left.slice(0, MOST_LEFT).map(({ what, why }) => `not carried: ${what}; ${why}`),
  ...(left.length > MOST_LEFT ? [`and ${formatCount(left.length - MOST_LEFT)} more; --json lists all`] : []),
];

interface Done {
  readonly pathIn: string;
  readonly pathOut: string;
  readonly format: string;
  readonly plan: EditPlan;
  readonly left: WriteReport["left"];
  readonly written: boolean;
}

const jsonOf = ({ pathIn, pathOut, format, plan, left, written }: Done): object => ({
  in: pathIn,
  out: pathOut,
  format,
  written,
  variables: plan.variables.map(({ name, from, dtype, shape, changes }) => ({
    name,
    from,
    dtype,
    shape,
    changes,
  })),
  dropped: plan.dropped,
  losses: plan.losses,
  unused: plan.unused,
  left,
});
