/** @file Files of names: JSON objects of one name to another. Start at `readNameMap`. */

import { readFile } from "#platform";
import { VarscopeError } from "../base/index.ts";

/** Name -> name of a JSON file. @throws VarscopeError NOT_FOUND; INVALID_ARGUMENT - no object of strings */
export async function readNameMap(file: string): Promise<Map<string, string>> {
  const text = new TextDecoder().decode(await readFile(file));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw notNames(file, cause);
  }
  const isNames =
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((v) => typeof v === "string");
  if (!isNames) throw notNames(file);
  return new Map(Object.entries(value as Record<string, string>));
}

const notNames = (at: string, cause?: unknown): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", "this is no JSON object of names", {
    at,
    hint: 'write it as {"conv2d/kernel": "c1/kernel"}',
    ...(cause === undefined ? {} : { cause }),
  });
