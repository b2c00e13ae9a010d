/**
 * @file tf.summary's functions: ops of summary.ts under TensorFlow's names and tags, collected for `summaryMergeAll`. Start at
 * `summaryScalar`.
 *
 * @see TensorFlow python/summary/summary.py, python/ops/summary_op_util.py
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { VarscopeError } from "../base/index.ts";
import type { Graph, Output } from "../graph/index.ts";
import { SummaryMetadataSchema } from "../proto/index.ts";
import {
  AudioSummaryV2,
  HistogramSummary,
  ImageSummary,
  MergeSummary,
  ScalarSummary,
  TensorSummaryV2,
} from "./summary.ts";

export interface SummaryOptions {
  /** keys of the collections that it is added to: ["summaries"] */
  readonly collections?: readonly string[];
  /** prefix of the tag, under which TensorBoard groups */
  readonly family?: string;
}

/** Key of the collection that `summaryMergeAll` merges. */
const SUMMARIES = "summaries";

/** A name without what names of nodes cannot have. @see TensorFlow python/ops/summary_op_util.py "clean_tag" */
const cleanTag = (name: string): string => name.replaceAll(/[^-/\w.]/g, "_").replace(/^\/+/, "");

function collected(summary: Output, collections: readonly string[]): Output {
  for (const key of collections) summary.graph.addToCollection(key, summary);
  return summary;
}

/** Opens the summary's name scope and adds its op there. */
function summaryOp(
  graph: Graph,
  name: string,
  { collections = [SUMMARIES], family }: SummaryOptions,
  add: (tag: string, scope: string) => Output,
): Output {
  const clean = cleanTag(name);
  const group = family === undefined ? null : cleanTag(family);
  return graph.nameScope(group === null ? clean : `${group}/${clean}`, (scope) => {
    const path = scope.replace(/\/$/, "");
    return collected(add(group === null ? path : `${group}/${path}`, scope), collections);
  });
}

/** A serialized Summary of one number. `value`: any real dtype, scalar. */
export const summaryScalar = (name: string, value: Output, options: SummaryOptions = {}): Output =>
  summaryOp(value.graph, name, options, (tag, scope) =>
    value.graph.add(ScalarSummary, [tag, value], { name: scope }),
  );

/** A serialized Summary of the distribution of `values`: any real dtype and shape, finite. */
export const summaryHistogram = (name: string, values: Output, options: SummaryOptions = {}): Output =>
  summaryOp(values.graph, name, options, (tag, scope) =>
    values.graph.add(HistogramSummary, [tag, values], { name: scope }),
  );

/** A serialized Summary of images: uint8 or float [batch, height, width, 1 | 3 | 4], at most `maxOutputs` (3) of them. */
export const summaryImage = (
  name: string,
  images: Output,
  options: SummaryOptions & { readonly maxOutputs?: number } = {},
): Output =>
  summaryOp(images.graph, name, options, (tag, scope) =>
    images.graph.add(ImageSummary, [tag, images], {
      name: scope,
      attrs: { max_images: options.maxOutputs ?? 3 },
    }),
  );

/** A serialized Summary of sound: float32 [batch, frames] or [batch, frames, channels] in [-1, 1]; `sampleRate` in Hz. */
export const summaryAudio = (
  name: string,
  audio: Output,
  sampleRate: number | Output,
  options: SummaryOptions & { readonly maxOutputs?: number } = {},
): Output =>
  summaryOp(audio.graph, name, options, (tag, scope) => {
    const g = audio.graph;
    const rate =
      typeof sampleRate === "number" ? g.constant(sampleRate, { name: "sample_rate" }) : sampleRate;
    return g.add(AudioSummaryV2, [tag, audio, rate], {
      name: scope,
      attrs: { max_outputs: options.maxOutputs ?? 3 },
    });
  });

/** A serialized Summary of text, which TensorBoard reads as Markdown: string, any shape. */
export const summaryText = (
  name: string,
  text: Output,
  options: Pick<SummaryOptions, "collections"> = {},
): Output => {
  if (text.dtype !== "string") {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Expected tensor ${text.name} to have dtype string, got ${text.dtype}`,
    );
  }
  const metadata = create(SummaryMetadataSchema, { pluginData: { pluginName: "text" } });
  return summaryOp(text.graph, name, options, (tag, scope) =>
    text.graph.add(TensorSummaryV2, [tag, text, toBinary(SummaryMetadataSchema, metadata)], { name: scope }),
  );
};

export interface SummaryMergeOptions {
  readonly collections?: readonly string[];
  readonly name?: string;
}

/** One serialized Summary of several. @throws VarscopeError INVALID_ARGUMENT - when it runs, and two have one tag */
export function summaryMerge(summaries: readonly Output[], options: SummaryMergeOptions = {}): Output {
  const graph = summaries[0]!.graph;
  const merged = graph.nameScope(options.name ?? "Merge", () =>
    graph.add(MergeSummary, [summaries], { name: options.name ?? "MergeSummary" }),
  );
  return collected(merged, options.collections ?? []);
}

/** One serialized Summary of all in a collection ("summaries"); null where there are none. */
export function summaryMergeAll(
  graph: Graph,
  options: { readonly key?: string; readonly scope?: string; readonly name?: string } = {},
): Output | null {
  const found = graph.getCollection<Output>(options.key ?? SUMMARIES, options.scope);
  if (found.length === 0) return null;
  return summaryMerge(found, options.name === undefined ? {} : { name: options.name });
}
