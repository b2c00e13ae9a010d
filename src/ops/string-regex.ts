/**
 * @file Patterns of RE2 on strings: whether they fit, and what stands in place of what they find.
 *
 * @see TensorFlow core/ops/string_ops.cc; core/kernels/regex_full_match_op.cc, regex_replace_op.cc
 */

import type { Tensor } from "../base/index.ts";
import { attr, defineOp, type Output } from "../graph/index.ts";
import { attrBytes, bytesIn, invalid, mapBytes, needRank, onText, sameShape, stopped } from "./host-facts.ts";
import { compileRe2, fitsWhole, type Re2, replaceMatches } from "./kernels/re2.ts";

/** @throws VarscopeError INVALID_ARGUMENT - no pattern of RE2 */
function patternOf(bytes: Uint8Array): Re2 {
  let pattern: string;
  try {
    pattern = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalid(`Invalid pattern: ${new TextDecoder().decode(bytes)}, error: invalid UTF-8`);
  }
  return compileRe2(pattern);
}

function fits(input: Tensor, pattern: Uint8Array): Tensor {
  const re = patternOf(pattern);
  const data = Uint8Array.from(bytesIn(input), (bytes) => Number(fitsWhole(re, bytes)));
  return { dtype: "bool", shape: input.shape, data };
}

/** Whether a pattern fits each whole text. */
export const RegexFullMatch = defineOp("RegexFullMatch", {
  ...onText,
  inputs: { input: "string", pattern: "string" },
  outputs: { output: "bool" },
  infer: ({ input, pattern }) => {
    needRank(pattern, 0);
    return [{ shape: input.shape }];
  },
  host: ({ input, pattern }) => [fits(input, bytesIn(pattern)[0]!)],
});

/** Whether a pattern, an attribute, fits each whole text. */
export const StaticRegexFullMatch = defineOp("StaticRegexFullMatch", {
  ...onText,
  inputs: { input: "string" },
  outputs: { output: "bool" },
  attrs: { pattern: attr.string() },
  infer: sameShape,
  host: ({ input }, { pattern }) => [fits(input, attrBytes(pattern))],
});

function replaced(input: Tensor, pattern: Uint8Array, rewrite: Uint8Array, all: boolean): Tensor {
  const re = patternOf(pattern);
  return mapBytes(input, (bytes) => replaceMatches(re, bytes, rewrite, all));
}

/** What a pattern finds, replaced: `\1` in the rewrite is the first group, `\0` all of it. */
export const RegexReplace = defineOp("RegexReplace", {
  ...stopped,
  inputs: { input: "string", pattern: "string", rewrite: "string" },
  outputs: { output: "string" },
  attrs: { replace_global: attr.bool({ default: true }) },
  infer: ({ input, pattern, rewrite }) => {
    needRank(pattern, 0);
    needRank(rewrite, 0);
    return [{ shape: input.shape }];
  },
  host: ({ input, pattern, rewrite }, attrs) => [
    replaced(input, bytesIn(pattern)[0]!, bytesIn(rewrite)[0]!, attrs.replace_global),
  ],
});

/** The same with pattern and rewrite as attributes. */
export const StaticRegexReplace = defineOp("StaticRegexReplace", {
  ...onText,
  inputs: { input: "string" },
  outputs: { output: "string" },
  attrs: { pattern: attr.string(), rewrite: attr.string(), replace_global: attr.bool({ default: true }) },
  infer: sameShape,
  host: ({ input }, attrs) => [
    replaced(input, attrBytes(attrs.pattern), attrBytes(attrs.rewrite), attrs.replace_global),
  ],
});

/** Options of `regexReplace`. */
export interface RegexReplaceOptions {
  /** every match, not the first alone: true */
  readonly replaceGlobal?: boolean;
}

/**
 * What an RE2 pattern finds in strings of any shape, replaced by `rewrite` (`\1`: the first group). Named "RegexReplace", or "StaticRegexReplace"
 * where both are texts.
 *
 * @throws VarscopeError INVALID_ARGUMENT - in the run: no pattern of RE2; RESOURCE_EXHAUSTED - matching takes some 50 million steps
 * @see TensorFlow python/ops/string_ops.py "regex_replace"
 */
export function regexReplace(
  input: Output,
  pattern: Output | string,
  rewrite: Output | string,
  { replaceGlobal = true }: RegexReplaceOptions = {},
  name?: string,
): Output {
  const attrs = { replace_global: replaceGlobal };
  return typeof pattern === "string" && typeof rewrite === "string"
    ? input.graph.add(StaticRegexReplace, [input], {
        name: name ?? "StaticRegexReplace",
        attrs: { pattern, rewrite, ...attrs },
      })
    : input.graph.add(RegexReplace, [input, pattern, rewrite], { name: name ?? "RegexReplace", attrs });
}

/** Whether an RE2 pattern fits each whole string: bool, the strings' shape. Named "RegexFullMatch" or "StaticRegexFullMatch". */
export const regexFullMatch = (input: Output, pattern: Output | string, name?: string): Output =>
  typeof pattern === "string"
    ? input.graph.add(StaticRegexFullMatch, [input], {
        name: name ?? "StaticRegexFullMatch",
        attrs: { pattern },
      })
    : input.graph.add(RegexFullMatch, [input, pattern], { name: name ?? "RegexFullMatch" });
