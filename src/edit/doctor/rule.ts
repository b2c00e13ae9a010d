/** @file What a rule of the doctor is, and what it finds. The rules stand in rules.ts. Start at `Rule`. */

import type { Patient } from "./patient.ts";

/** error: results are wrong or cannot be had; warning: they may well be; info: worth knowing. */
export type Severity = "error" | "warning" | "info";

/** One thing that is wrong. */
export interface Finding {
  /** id of the rule */
  readonly rule: string;
  readonly severity: Severity;
  /** names of those concerned; of graphs, of ops */
  readonly variables: readonly string[];
  /** the number that shows it; the message says what it is */
  readonly value: number | bigint | string | null;
  /** what is wrong, with its numbers, and what follows */
  readonly message: string;
  /** a command that repairs it or takes the next step; after `#` what it does */
  readonly repair: string;
}

/** What a check finds: the rule's severity holds, unless the find has its own. */
export type Found = Omit<Finding, "rule" | "severity"> & { readonly severity?: Severity };

/** What a rule looks at: the container alone, or a graph as well. */
export type Needs = "file" | "graph";

export interface Rule {
  readonly id: string;
  /** the worst that it says */
  readonly severity: Severity;
  readonly needs: Needs;
  /** what it finds, in one line */
  readonly finds: string;
  /** numbers that decide, and why these */
  readonly threshold: string;
  check(patient: Patient): Iterable<Found>;
}

/** Names in a sentence: the first ones, and how many more. */
export function listed(names: readonly string[], most = 3): string {
  const rest = names.length - most;
  return rest > 0 ? `${names.slice(0, most).join(", ")} and ${rest} more` : names.join(", ");
}

/** `1 layer`, `3 layers`. */
export const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;

/** A number in three digits. */
export const short = (x: number): string => String(Number(x.toPrecision(3)));

/** 0.0366 as `3.7 %`. */
export const percent = (x: number): string => `${Number((100 * x).toPrecision(2))} %`;

/** An argument of a shell, quoted where it must be. */
export const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

/** A pattern that matches these names alone. */
export function patternOf(names: readonly string[]): string {
  const escaped = names.map((name) => name.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return escaped.length === 1 ? `^${escaped[0]}$` : `^(${escaped.join("|")})$`;
}

/** Names in a pattern of a command: more than a shell's line is for. */
const MOST_NAMES = 200;

/** The command that leaves variables out, and what else goes with it. */
export function dropCommand(path: string, names: readonly string[], why = ""): string {
  const more = names.length - MOST_NAMES;
  const notes = [...(why === "" ? [] : [why]), ...(more > 0 ? [`and ${more} more: --json lists them`] : [])];
  const command = `varscope edit ${quoted(path)} OUT --drop ${quoted(patternOf(names.slice(0, MOST_NAMES)))}`;
  return notes.length === 0 ? command : `${command}  # ${notes.join("; ")}`;
}

/** Largest of numbers, however many; NaN counts for nothing. */
export const largest = (numbers: Iterable<number>): number => {
  let most = Number.NEGATIVE_INFINITY;
  for (const x of numbers) if (x > most) most = x;
  return most;
};

/** Smallest of numbers. */
export const smallest = (numbers: Iterable<number>): number => {
  let least = Number.POSITIVE_INFINITY;
  for (const x of numbers) if (x < least) least = x;
  return least;
};
