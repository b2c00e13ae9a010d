/**
 * @file JSON as a hostile file may have it: a key twice and deep nesting are errors, which JSON.parse lets pass. Start at `readJson`.
 *
 * @see RFC 8259
 */

import { VarscopeError } from "../../base/index.ts";

/** A value of JSON; an object is a Map, in its order. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = ReadonlyMap<string, Json>;

export const isJsonObject = (value: Json | undefined): value is JsonObject => value instanceof Map;

interface Reader {
  readonly text: string;
  readonly file: string;
  at: number;
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const SPACE = /[ \t\n\r]*/y;
const WORDS = { true: true, false: false, null: null } as const;

/**
 * The value that `text` is.
 *
 * @param depth - objects and arrays inside one another
 * @throws VarscopeError DATA_LOSS - no JSON, a key twice, or nested deeper
 */
export function readJson(text: string, file: string, depth = 64): Json {
  const r: Reader = { text, file, at: 0 };
  const value = readValue(r, depth);
  skipSpace(r);
  if (r.at < text.length) throw wrong(r, "more follows its end");
  return value;
}

function wrong(r: Reader, what: string): VarscopeError {
  return new VarscopeError("DATA_LOSS", `no valid JSON: ${what}`, {
    at: `${r.file}, character ${r.at} of its JSON`,
  });
}

function skipSpace(r: Reader): void {
  SPACE.lastIndex = r.at;
  SPACE.test(r.text);
  r.at = SPACE.lastIndex;
}

function readValue(r: Reader, depth: number): Json {
  skipSpace(r);
  const c = r.text[r.at];
  if (c === '"') return readString(r);
  if (c === "{" || c === "[") {
    if (depth === 0) throw wrong(r, "it is nested too deep");
    return c === "{" ? readObject(r, depth - 1) : readArray(r, depth - 1);
  }
  for (const [word, value] of Object.entries(WORDS)) {
    if (!r.text.startsWith(word, r.at)) continue;
    r.at += word.length;
    return value;
  }
  NUMBER.lastIndex = r.at;
  const number = NUMBER.exec(r.text)?.[0];
  if (number === undefined)
    throw wrong(r, c === undefined ? "it ends too early" : `${JSON.stringify(c)} where a value is due`);
  r.at += number.length;
  return Number(number);
}

function readString(r: Reader): string {
  let end = r.at + 1;
  for (; r.text[end] !== '"'; end++) {
    if (end >= r.text.length) throw wrong(r, "a string has no end");
    if (r.text[end] === "\\") end++;
  }
  const whole = r.text.slice(r.at, end + 1);
  try {
    const value = JSON.parse(whole) as string;
    r.at = end + 1;
    return value;
  } catch {
    throw wrong(r, "a string with a wrong escape or a control character");
  }
}

/** Whether another member follows, after a comma; at the closing bracket, none. */
function goesOn(r: Reader, close: string, isFirst: boolean): boolean {
  skipSpace(r);
  if (r.text[r.at] === close) {
    r.at++;
    return false;
  }
  if (isFirst) return true;
  need(r, ",");
  return true;
}

function need(r: Reader, c: string): void {
  if (r.text[r.at] !== c)
    throw wrong(r, `${JSON.stringify(r.text[r.at] ?? "its end")} where ${JSON.stringify(c)} is due`);
  r.at++;
}

function readArray(r: Reader, depth: number): readonly Json[] {
  const values: Json[] = [];
  r.at++;
  while (goesOn(r, "]", values.length === 0)) values.push(readValue(r, depth));
  return values;
}

function readObject(r: Reader, depth: number): JsonObject {
  const values = new Map<string, Json>();
  r.at++;
  while (goesOn(r, "}", values.size === 0)) {
    skipSpace(r);
    if (r.text[r.at] !== '"') throw wrong(r, "a key that is no string");
    const key = readString(r);
    if (values.has(key)) throw wrong(r, `the key ${JSON.stringify(key.slice(0, 200))} stands twice`);
    skipSpace(r);
    need(r, ":");
    values.set(key, readValue(r, depth));
  }
  return values;
}
