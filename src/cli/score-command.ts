/**
 * @file A command of the user's that scores a file: run without a shell, its last line is the score. Start at `scoreFile`.
 */

import { spawn } from "node:child_process";
import { VarscopeError } from "../base/index.ts";
import type { Streams } from "./terminal.ts";

/** Stands for the file. */
const PLACE = "{}";

/** Characters kept of what a command prints: its end has the score. */
const MOST_OUTPUT = 1 << 16;

/**
 * The words of a command line: quotes hold words together, a backslash before a quote, a space or a backslash makes it plain. Nothing else
 * has a meaning: no variables, no pipes, no patterns.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a quote that does not end, no word, or no `{}` in it
 */
export function commandWords(text: string): string[] {
  const words: string[] = [];
  let [word, quote]: [string | null, string] = [null, ""];
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === "\\" && quote !== "'" && /[\s"'\\]/.test(text[i + 1] ?? "")) word = (word ?? "") + text[++i]!;
    else if (quote !== "") {
      if (c === quote) quote = "";
      else word += c;
    } else if (c === '"' || c === "'") [word, quote] = [word ?? "", c];
    else if (!/\s/.test(c)) word = (word ?? "") + c;
    else if (word !== null) {
      words.push(word);
      word = null;
    }
  }
  if (word !== null) words.push(word);
  const wrong = (what: string, hint: string): VarscopeError =>
    new VarscopeError("INVALID_ARGUMENT", what, { at: "--score", hint });
  if (quote !== "") throw wrong(`a quote ${quote} does not end`, "close it");
  if (!words.some((w) => w.includes(PLACE)))
    throw wrong(`no ${PLACE} stands for the file`, `write it as "python evaluate.py ${PLACE}"`);
  return words;
}

/**
 * The number that the command prints last, with `file` in the place of `{}`. What it writes to its standard error is passed on.
 *
 * @throws VarscopeError NOT_FOUND - no such program; FAILED_PRECONDITION - it fails, or its last line is no number; CANCELLED
 */
export async function scoreFile(
  words: readonly string[],
  file: string,
  { stderr, signal }: Pick<Streams, "stderr" | "signal">,
): Promise<number> {
  const [program, ...args] = words.map((w) => w.replaceAll(PLACE, () => file)) as [string, ...string[]];
  const text = await new Promise<string>((resolve, reject) => {
    const child = spawn(program, args, {
      shell: false,
      stdio: ["ignore", "pipe", "pipe"],
      ...(signal && { signal }),
    });
    let out = "";
    child.stdout.on("data", (piece: Buffer) => {
      out = (out + piece.toString()).slice(-MOST_OUTPUT);
    });
    child.stderr.on("data", (piece: Buffer) => stderr.write(piece.toString()));
    child.on("error", (cause) => reject(failed(program, cause, signal)));
    child.on("close", (code, killedBy) => {
      if (code === 0) return resolve(out);
      const how = code === null ? `was ended by ${killedBy}` : `ended with exit code ${code}`;
      reject(new VarscopeError("FAILED_PRECONDITION", `the command ${how}`, { at: words.join(" ") }));
    });
  });
  const last = text.trimEnd().split("\n").at(-1)!.trim();
  const score = last === "" ? Number.NaN : Number(last);
  if (!Number.isNaN(score) || last.toLowerCase() === "nan") return score;
  const what =
    last === ""
      ? "the command prints nothing"
      : `the command's last line is ${JSON.stringify(last.slice(0, 80))}`;
  throw new VarscopeError("FAILED_PRECONDITION", what, {
    at: words.join(" "),
    hint: "let the score, a number, be the last line that it prints",
  });
}

function failed(program: string, cause: Error, signal: AbortSignal | undefined): VarscopeError {
  if (signal?.aborted) return new VarscopeError("CANCELLED", "the command was ended", { cause });
  return new VarscopeError("NOT_FOUND", `the program does not start: ${cause.message}`, {
    at: program,
    cause,
  });
}
