/**
 * @file Strings split into words, and words joined: along axes, and as n-grams.
 *
 * @see TensorFlow core/ops/string_ops.cc; core/kernels/string_split_op.cc, reduce_join_op.cc, string_ngrams_op.cc
 */

import {
  joinBytes,
  type Shape,
  stridesOf,
  type Tensor,
  tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import { attr, defineOp, type Output } from "../graph/index.ts";
import {
  attrBytes,
  bytesIn,
  invalid,
  longs,
  needRank,
  onText,
  splitsOf,
  stopped,
  strings,
} from "./host-facts.ts";
import { shapeWithout } from "./kernels/reduce.ts";
import { reducedShapes } from "./reduction.ts";
import { isSpace } from "./string-edit.ts";

const splitOutputs = { indices: "int64", values: "string", shape: "int64" } as const;
const splitShapes: readonly { shape: Shape }[] = [{ shape: [null, 2] }, { shape: [null] }, { shape: [2] }];

/** Words of all strings as a sparse matrix: a row for each string. */
function sparseWords(rows: readonly (readonly Uint8Array[])[]): Tensor[] {
  const values = rows.flat();
  const indices = rows.flatMap((row, i) => row.flatMap((_, k) => [i, k]));
  const width = rows.reduce((most, row) => Math.max(most, row.length), 0);
  return [
    longs([values.length, 2], indices),
    strings([values.length], values),
    longs([2], [rows.length, width]),
  ];
}

/** Strings split wherever one of some bytes stands; without any, into bytes. */
export const StringSplit = defineOp("StringSplit", {
  ...stopped,
  inputs: { input: "string", delimiter: "string" },
  outputs: splitOutputs,
  attrs: { skip_empty: attr.bool({ default: true }) },
  infer: ({ input, delimiter }) => {
    needRank(input, 1);
    needRank(delimiter, 0);
    return splitShapes;
  },
  host: ({ input, delimiter }, { skip_empty }) => {
    if (delimiter.shape.length > 1)
      throw invalid(`delimiter must be a scalar, got shape: ${delimiter.shape}`);
    const marks = new Set(bytesIn(delimiter)[0]);
    return sparseWords(bytesIn(input).map((bytes) => splitAtAny(bytes, marks, skip_empty)));
  },
});

function splitAtAny(bytes: Uint8Array, marks: ReadonlySet<number>, skipEmpty: boolean): Uint8Array[] {
  if (bytes.length === 0) return [];
  if (marks.size === 0) return Array.from(bytes, (_, i) => bytes.subarray(i, i + 1));
  const out: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at <= bytes.length; at++) {
    if (at < bytes.length && !marks.has(bytes[at]!)) continue;
    if (!skipEmpty || at > from) out.push(bytes.subarray(from, at));
    from = at + 1;
  }
  return out;
}

/** Strings split as Python's `str.split` does: at a separator, or at runs of white space; `maxsplit` times at most. */
export const StringSplitV2 = defineOp("StringSplitV2", {
  ...onText,
  inputs: { input: "string", sep: "string" },
  outputs: splitOutputs,
  attrs: { maxsplit: attr.int({ default: -1 }) },
  infer: ({ input, sep }) => {
    needRank(input, 1);
    needRank(sep, 0);
    return splitShapes;
  },
  host: ({ input, sep }, { maxsplit }) => {
    const mark = bytesIn(sep)[0]!;
    const split = mark.length === 0 ? splitAtSpace : splitAt;
    return sparseWords(
      bytesIn(input).map((bytes) => (maxsplit === 0 ? [bytes] : split(bytes, mark, maxsplit))),
    );
  },
});

function splitAtSpace(bytes: Uint8Array, _: Uint8Array, most: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  let at = 0;
  const skip = (space: boolean): void => {
    while (at < bytes.length && isSpace(bytes[at]!) === space) at++;
  };
  for (skip(true); at < bytes.length; skip(true)) {
    const from = at;
    if (out.length === most) return [...out, bytes.subarray(at)];
    skip(false);
    out.push(bytes.subarray(from, at));
  }
  // after the last split the rest counts, be it empty
  return out.length === most ? [...out, bytes.subarray(at)] : out;
}

function splitAt(bytes: Uint8Array, mark: Uint8Array, most: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  let from = 0;
  for (let at = 0; at + mark.length <= bytes.length && out.length !== most; ) {
    if (mark.every((b, i) => bytes[at + i] === b)) {
      out.push(bytes.subarray(from, at));
      at += mark.length;
      from = at;
    } else at++;
  }
  return [...out, bytes.subarray(from)];
}

/** The axes, in their order. @throws VarscopeError INVALID_ARGUMENT */
function orderedAxes(axes: Tensor, rank: number): number[] {
  const ordered = toNumbers(axes).map((axis) => {
    if (axis < -rank || axis >= rank)
      throw invalid(`Invalid reduction dimension ${axis} for input with ${rank} dimension(s)`);
    return axis < 0 ? axis + rank : axis;
  });
  const twice = ordered.findIndex((axis, i) => ordered.indexOf(axis) !== i);
  if (twice >= 0) throw invalid(`Duplicate reduction dimension ${toNumbers(axes)[twice]}`);
  return ordered;
}

/** Strings joined along axes; of several axes the first one moves fastest. */
export const ReduceJoin = defineOp("ReduceJoin", {
  ...stopped,
  inputs: { inputs: "string", reduction_indices: "int32" },
  outputs: { output: "string" },
  attrs: { keep_dims: attr.bool({ default: false }), separator: attr.string({ default: "" }) },
  infer: ({ inputs, reduction_indices }, { keep_dims }) =>
    reducedShapes(inputs, reduction_indices, keep_dims),
  host: ({ inputs, reduction_indices }, { keep_dims, separator }) => {
    const { shape } = inputs;
    const axes = orderedAxes(reduction_indices, shape.length);
    const kept = [...shape.keys()].filter((axis) => !axes.includes(axis));
    const texts = bytesIn(inputs);
    const between = attrBytes(separator);
    const inner = offsets(shape, axes.toReversed());
    const data = offsets(shape, kept).map((base) =>
      joinBytes(inner.flatMap((at, i) => (i === 0 ? [] : [between]).concat(texts[base + at]!))),
    );
    return [strings(shapeWithout(shape, axes, keep_dims) as readonly number[], data)];
  },
});

/** Flat indices of all places along some axes, the last axis fastest. */
function offsets(shape: readonly number[], axes: readonly number[]): number[] {
  const strides = stridesOf(shape);
  let out = [0];
  for (const axis of axes) {
    const steps = Array.from({ length: shape[axis]! }, (_, i) => i * strides[axis]!);
    out = out.flatMap((base) => steps.map((step) => base + step));
  }
  return out;
}

interface NGramAttrs {
  readonly widths: readonly number[];
  readonly padWidth: number;
  readonly left: Uint8Array;
  readonly right: Uint8Array;
  readonly between: Uint8Array;
  readonly keepShort: boolean;
}

/** Words of all n-grams, pads with them: far more than texts have. */
const MOST_WORDS = 2 ** 26;

function padOf(width: number, { padWidth }: NGramAttrs): number {
  return Math.min(padWidth < 0 ? width - 1 : padWidth, width - 1);
}

/** All n-grams of one width of one row. */
function gramsOf(
  row: readonly Uint8Array[],
  width: number,
  a: NGramAttrs,
  spend: (words: number) => void,
): Uint8Array[] {
  const pad = padOf(width, a);
  const count = Math.max(0, row.length + 2 * pad - width + 1);
  spend(count * width);
  return Array.from({ length: count }, (_, i) => {
    const [left, right] = [Math.max(0, pad - i), Math.max(0, pad - (count - (i + 1)))];
    const from = left > 0 ? 0 : i - pad;
    const words = [
      ...Array<Uint8Array>(left).fill(a.left),
      ...row.slice(from, from + width - left - right),
      ...Array<Uint8Array>(right).fill(a.right),
    ];
    return joinBytes(words.flatMap((word, k) => (k === 0 ? [word] : [a.between, word])));
  });
}

/** n-grams of the rows of a ragged matrix of words, by width and then by place. */
export const StringNGrams = defineOp("StringNGrams", {
  ...onText,
  inputs: { data: "string", data_splits: "Tsplits" },
  outputs: { ngrams: "string", ngrams_splits: "Tsplits" },
  attrs: {
    separator: attr.string(),
    ngram_widths: attr.ints({ min: 0 }),
    left_pad: attr.string(),
    right_pad: attr.string(),
    pad_width: attr.int(),
    preserve_short_sequences: attr.bool(),
    Tsplits: attr.typeOr("int64", "int32", "int64"),
  },
  infer: ({ data, data_splits }) => {
    needRank(data, 1);
    needRank(data_splits, 1);
    return [{ shape: [null] }, { shape: data_splits.shape ?? [null] }];
  },
  host: ({ data, data_splits }, attrs) => {
    const splits = checkedSplits(toNumbers(data_splits), data.data.length);
    const a: NGramAttrs = {
      widths: attrs.ngram_widths,
      padWidth: attrs.pad_width,
      left: attrBytes(attrs.left_pad),
      right: attrBytes(attrs.right_pad),
      between: attrBytes(attrs.separator),
      keepShort: attrs.preserve_short_sequences,
    };
    if (a.widths.some((width) => width <= 0)) throw invalid("ngram_widths must contain positive values");
    let left = MOST_WORDS;
    const spend = (words: number): void => {
      left -= words;
      if (left < 0) throw new VarscopeError("RESOURCE_EXHAUSTED", `n-grams of over ${MOST_WORDS} words`);
    };
    const words = bytesIn(data);
    const grams = splits.slice(1).map((end, i) => {
      const row = words.slice(splits[i], end);
      if (words.length === 0) return []; // not even pads
      const all = a.widths.flatMap((width) => gramsOf(row, width, a, spend));
      if (all.length > 0 || !a.keepShort || row.length === 0) return all;
      return gramsOf(row, row.length + 2 * Math.max(0, a.padWidth), a, spend);
    });
    const ends = splits.length === 0 ? [] : [0];
    for (const row of grams) ends.push(ends.at(-1)! + row.length);
    const flat = grams.flat();
    return [strings([flat.length], flat), splitsOf(attrs.Tsplits as "int32" | "int64", ends)];
  },
});

/** @throws VarscopeError INVALID_ARGUMENT - splits that do not rise from 0 to the number of values */
function checkedSplits(splits: readonly number[], size: number): readonly number[] {
  if (splits.length === 0) return splits;
  if (splits[0] !== 0) throw invalid(`First split value must be 0, got ${splits[0]}`);
  for (const [i, split] of splits.entries()) {
    const before = splits[Math.max(0, i - 1)]!;
    if (split < before || split > size)
      throw invalid(`Invalid split value ${split}, must be in [${before}, ${size}]`);
  }
  if (splits.at(-1) !== size)
    throw invalid(`Last split value must be data size. Expected ${size}, got ${splits.at(-1)}`);
  return splits;
}

/** Options of `reduceJoin`. */
export interface ReduceJoinOptions {
  /** axes to join along, the first one fastest; by default all, the last one first: the order of memory */
  readonly axis?: number | readonly number[];
  /** joined axes stay, with size 1: false */
  readonly keepDims?: boolean;
  /** "" */
  readonly separator?: string;
}

/** Strings joined along axes. Named "ReduceJoin". @see TensorFlow python/ops/string_ops.py "reduce_join_v2" */
export function reduceJoin(
  inputs: Output,
  { axis, keepDims = false, separator = "" }: ReduceJoinOptions = {},
  name = "ReduceJoin",
): Output {
  if (axis === undefined && inputs.shape === null)
    throw new VarscopeError("UNIMPLEMENTED", "all axes of an unknown rank", { hint: "give the axes" });
  const axes = [axis ?? [...inputs.shape!.keys()].reverse()].flat();
  const attrs = { keep_dims: keepDims, separator };
  return inputs.graph.add(ReduceJoin, [inputs, tensor(axes, "int32", [axes.length])], { name, attrs });
}

/** Words of strings, as a sparse matrix with a row for each string. */
export interface SparseWords {
  /** int64 [words, 2] */
  readonly indices: Output;
  /** string [words] */
  readonly values: Output;
  /** int64 [2] */
  readonly denseShape: Output;
}

/** Options of `stringSplit`. */
export interface StringSplitOptions {
  /** by default runs of white space */
  readonly sep?: string;
  /** splits at most; -1: any number */
  readonly maxsplit?: number;
}

/** Strings [n] split as Python's `str.split` does. Named "StringSplitV2". @see TensorFlow python/ops/string_ops.py "string_split_v2" */
export function stringSplit(
  input: Output,
  { sep = "", maxsplit = -1 }: StringSplitOptions = {},
  name = "StringSplitV2",
): SparseWords {
  const op = input.graph.addOp(StringSplitV2, [input, sep], { name, attrs: { maxsplit } });
  return { indices: op.output(0), values: op.output(1), denseShape: op.output(2) };
}
