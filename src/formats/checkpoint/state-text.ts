/** @file The text form of CheckpointState: protobuf text format, its four fields. Start at `parseState`. */

import { VarscopeError } from "../../base/index.ts";
import type { CheckpointState } from "./state.ts";

const FIELDS = [
  "model_checkpoint_path",
  "all_model_checkpoint_paths",
  "all_model_checkpoint_timestamps",
  "last_preserved_timestamp",
] as const;

/** One `name: value` and what stands around it: blanks, comments, separators. */
const TOKEN =
  /(?:\s|#[^\n]*(?:\n|$)|[;,])*(?:(\w+)\s*:\s*((?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|\s(?=["']))+|[^\s;,#"']+))?/y;

/** The state of a file's text. @throws VarscopeError DATA_LOSS - not text format, or another message */
export function parseState(text: string, file = "checkpoint"): CheckpointState {
  const strings: Record<string, string[]> = { model_checkpoint_path: [], all_model_checkpoint_paths: [] };
  const numbers: Record<string, number[]> = {
    all_model_checkpoint_timestamps: [],
    last_preserved_timestamp: [],
  };
  TOKEN.lastIndex = 0;
  for (let at = 0; at < text.length; at = TOKEN.lastIndex) {
    const match = TOKEN.exec(text);
    if (match === null || match[0] === "") throw unparsed(text, at, file);
    const [, name, value] = match;
    if (name === undefined) continue;
    if (Object.hasOwn(strings, name) && /^["']/.test(value!)) strings[name]!.push(unquoted(value!));
    else if (Object.hasOwn(numbers, name) && /^[-+]?(\d|\.\d|inf|nan)/i.test(value!))
      numbers[name]!.push(parseDouble(value!));
    else throw unparsed(text, at, file);
  }
  const preserved = numbers.last_preserved_timestamp!.at(-1);
  return {
    modelCheckpointPath: strings.model_checkpoint_path!.at(-1) ?? "",
    allModelCheckpointPaths: strings.all_model_checkpoint_paths!,
    allModelCheckpointTimestamps: numbers.all_model_checkpoint_timestamps!,
    ...(preserved === undefined ? {} : { lastPreservedTimestamp: preserved }),
  };
}

function unparsed(text: string, at: number, file: string): VarscopeError {
  const found = JSON.stringify(text.slice(at, at + 40).trim());
  return new VarscopeError("DATA_LOSS", `${found} is not a field of CheckpointState`, {
    at: `${file}@${at}`,
    hint: `only ${FIELDS.join(", ")} may stand there`,
  });
}

function parseDouble(text: string): number {
  if (/^[-+]?inf/i.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return Number.parseFloat(text);
}

const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** The text of adjacent quoted strings; escapes stand for bytes of UTF-8. */
function unquoted(quoted: string): string {
  const bytes: number[] = [];
  for (const [, double, single] of quoted.matchAll(/"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/g)) {
    const body = double ?? single ?? "";
    for (const [all, octal, hex, letter] of body.matchAll(
      /\\([0-7]{1,3})|\\[xX]([0-9a-fA-F]{1,2})|\\(.)|[^\\]+/gs,
    )) {
      if (octal !== undefined) bytes.push(Number.parseInt(octal, 8) & 0xff);
      else if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
      else if (letter !== undefined) bytes.push(ESCAPES[letter] ?? letter.charCodeAt(0));
      else bytes.push(...new TextEncoder().encode(all));
    }
  }
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

/** The text of a state, as TensorFlow writes it. */
export function formatState(state: CheckpointState): string {
  const lines = [
    `model_checkpoint_path: ${quoted(state.modelCheckpointPath)}`,
    ...state.allModelCheckpointPaths.map((path) => `all_model_checkpoint_paths: ${quoted(path)}`),
    ...state.allModelCheckpointTimestamps.map((t) => `all_model_checkpoint_timestamps: ${formatDouble(t)}`),
  ];
  const { lastPreservedTimestamp: preserved } = state;
  if (preserved !== undefined) lines.push(`last_preserved_timestamp: ${formatDouble(preserved)}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** As Python's repr: whole numbers keep their point. */
const formatDouble = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : String(value));

/** Quoted as protobuf's text format does it: control characters escaped, all else as it is. */
function quoted(text: string): string {
  const named: Readonly<Record<string, string>> = {
    "\t": "t",
    "\n": "n",
    "\r": "r",
    '"': '"',
    "'": "'",
    "\\": "\\",
  };
  let out = "";
  for (const char of text) {
    const code = char.charCodeAt(0);
    if (named[char] !== undefined) out += `\\${named[char]}`;
    else if (code < 0x20 || code === 0x7f) out += `\\${code.toString(8).padStart(3, "0")}`;
    else out += char;
  }
  return `"${out}"`;
}
