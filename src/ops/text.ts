/**
 * @file Ops on strings that graphs of savers have. ONNX Runtime's kernels build no strings, so all run on the host.
 *
 * @see TensorFlow core/ops/string_ops.cc
 */

import { mergeShapes, type Shape, sizeOf, type Tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";

const TEXT = absent("ONNX Runtime's kernels do not build strings");
const NO_GRADIENT = absent("TensorFlow registers none");

const decoder = new TextDecoder();
const textsOf = (t: Tensor): string[] => (t.data as readonly Uint8Array[]).map((b) => decoder.decode(b));

const unimplemented = (what: string, hint: string): VarscopeError =>
  new VarscopeError("UNIMPLEMENTED", what, { hint });

/** Far beyond any path. With two repetitions a match takes some length² steps at worst: 17 million. */
const MOST_LETTERS = 4096;
const MOST_REPETITIONS = 2;

/**
 * A pattern of RE2 as one of JavaScript. Only what means the same in both and cannot take exponential time: no groups, and few repetitions.
 *
 * @throws VarscopeError UNIMPLEMENTED - another pattern
 */
function patternOf(pattern: string): RegExp {
  const bare = pattern.replace(/\\[^a-zA-Z0-9]/g, "x");
  const repetitions = bare.match(/[*+?]|\{\d/g)?.length ?? 0;
  if (/[()\\]|\[\[:/.test(bare) || repetitions > MOST_REPETITIONS) {
    throw unimplemented(
      `the pattern ${JSON.stringify(pattern)}`,
      `use literals, classes and at most ${MOST_REPETITIONS} repetitions, without groups`,
    );
  }
  try {
    // RE2's dot is anything but a line feed
    const source = pattern.replace(/\\.|\[\^?\]?[^\]]*\]|\./gu, (part) => (part === "." ? "[^\\n]" : part));
    return new RegExp(`^(?:${source})$`, "u");
  } catch (cause) {
    throw new VarscopeError("INVALID_ARGUMENT", `Invalid pattern: ${pattern}`, { cause });
  }
}

function matches(input: Tensor, pattern: string): Tensor {
  const fits = patternOf(pattern);
  const texts = textsOf(input);
  const long = texts.find((text) => text.length > MOST_LETTERS);
  if (long !== undefined)
    throw unimplemented(`a text of ${long.length} letters`, `match at most ${MOST_LETTERS}`);
  return {
    dtype: "bool",
    shape: input.shape,
    data: Uint8Array.from(texts, (text) => Number(fits.test(text))),
  };
}

/** Whether a pattern fits each whole text. @see TensorFlow core/ops/string_ops.cc "RegexFullMatch" */
export const RegexFullMatch = defineOp("RegexFullMatch", {
  inputs: { input: "string", pattern: "string" },
  outputs: { output: "bool" },
  infer: ({ input, pattern }) => {
    if (pattern.shape !== null && pattern.shape.length !== 0)
      throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank 0 but is rank ${pattern.shape.length}`);
    return [{ shape: input.shape }];
  },
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ input, pattern }) => [matches(input, textsOf(pattern)[0]!)],
});

/** Whether a pattern, an attribute, fits each whole text. @see TensorFlow core/ops/string_ops.cc "StaticRegexFullMatch" */
export const StaticRegexFullMatch = defineOp("StaticRegexFullMatch", {
  inputs: { input: "string" },
  outputs: { output: "bool" },
  attrs: { pattern: attr.string() },
  infer: ({ input }) => [{ shape: input.shape }],
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ input }, { pattern }) => [matches(input, pattern)],
});

/** Texts joined, element by element; scalars go with each. @see TensorFlow core/ops/string_ops.cc "StringJoin" */
export const StringJoin = defineOp("StringJoin", {
  inputs: { inputs: "N*string" },
  outputs: { output: "string" },
  attrs: { N: attr.int({ min: 0 }), separator: attr.string({ default: "" }) },
  infer: ({ inputs }) => [{ shape: joinedShape(inputs.map((x) => x.shape)) }],
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ inputs }, { separator }) => {
    const shape = joinedShape(inputs.map((x) => x.shape)) as readonly number[];
    const texts = inputs.map(textsOf);
    const data = Array.from({ length: sizeOf(shape) }, (_, i) =>
      new TextEncoder().encode(texts.map((t) => t[t.length === 1 ? 0 : i]!).join(separator)),
    );
    return [{ dtype: "string", shape, data }];
  },
});

/** The shape of those that are no scalars, which must agree. */
function joinedShape(shapes: readonly (Shape | null)[]): Shape | null {
  let shape: Shape | null = [];
  for (const other of shapes) {
    if (other === null) return null;
    if (other.length > 0) shape = shape!.length === 0 ? other : mergeShapes(shape, other);
  }
  return shape;
}
