/** @file Arguments of commands as values; what is wrong with them is a usage error. Start at `pattern`. */

import { InvalidArgumentError } from "commander";

/** How a command ended that did its work: `found` is exit code 1, for checks that found something. */
export interface Outcome {
  found: boolean;
}

/** A regular expression. */
export function pattern(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (e) {
    throw new InvalidArgumentError(e instanceof Error ? e.message : String(e));
  }
}

/** A whole number of at least 1. */
export function positive(text: string): number {
  const n = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(n) || n < 1) {
    throw new InvalidArgumentError("A whole number of at least 1 is wanted.");
  }
  return n;
}

/** A number that is not negative: 1e-6. */
export function tolerance(text: string): number {
  const x = Number(text);
  if (text.trim() === "" || !(x >= 0)) throw new InvalidArgumentError("A number of at least 0 is wanted.");
  return x;
}

/** Values of an option that may be given again, each parsed. */
export const each =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] = []): readonly T[] => [...before, parse(text)];

/** Values of an option that may be given again. */
export const repeated: (value: string, before?: readonly string[]) => readonly string[] = each(
  (text) => text,
);

/** Names separated by commas; the option may be given again. */
export const names = (text: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  ...text.split(",").filter((name) => name !== ""),
];

/** `LEFT=RIGHT`, cut at the last `=` without a backslash before it. */
export function assignment(text: string): readonly [string, string] {
  let at = text.lastIndexOf("=");
  while (at > 0 && text[at - 1] === "\\") at = text.lastIndexOf("=", at - 1);
  if (at <= 0) throw new InvalidArgumentError(`'${text}' has no '=' with something before it.`);
  const plain = (side: string): string => side.replace(/\\=/g, "=");
  return [plain(text.slice(0, at)), plain(text.slice(at + 1))];
}
