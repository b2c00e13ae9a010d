/** @file What freeze and transform share: opening graphs, writing them with their record, printing what was done. Start at `writeGraph`. */

import { diskFiles, writeFileAtomic } from "#platform";
import { type DType, isVarscopeError, type Tensor, VarscopeError } from "../base/index.ts";
import { type GraphFile, openGraph } from "../edit/graph/open-graph.ts";
import type { Comparison } from "../edit/graph/prove.ts";
import { savedGraph } from "../edit/graph/saved-model.ts";
import { locate } from "../edit/locate.ts";
import {
  type PassReport,
  type Provenance,
  type ProvenanceFacts,
  provenanceOf,
  type Transformed,
} from "../edit/transform/index.ts";
import { formatGraphDef, writeGraphDef } from "../formats/graph-def/index.ts";
import type { Graph } from "../graph/index.ts";
import { tensorFromJson } from "./json.ts";
import { needOperation } from "./run-names.ts";
import { formatNumber, formatTable, type Row, type Sink, styleFor } from "./terminal.ts";

/** Opens a graph file or a SavedModel. @throws VarscopeError NOT_FOUND - TensorFlow's "Input graph file '...' does not exist!" */
export async function openGraphOrModel(path: string, tags?: readonly string[]): Promise<GraphFile> {
  const found = await locate(path).catch((cause) => {
    if (!isVarscopeError(cause, "NOT_FOUND")) throw cause;
    throw new VarscopeError("NOT_FOUND", `Input graph file '${path}' does not exist!`, {
      at: path,
      hint: "give a MetaGraph (.meta), a GraphDef (.pb, .pbtxt) or a SavedModel's folder",
      cause,
    });
  });
  return found.kind === "saved-model" ? savedGraph(found.file, diskFiles, tags) : openGraph(path);
}

/** Values of placeholders from `NAME=JSON`, of the placeholder's dtype. */
export function placeholderValues(
  graph: Graph,
  given: readonly (readonly [string, string])[] | undefined,
): Record<string, Tensor> {
  return Object.fromEntries(
    (given ?? []).map(([name, text]) => {
      const dtype = needOperation(graph, name).outputs[0]?.dtype as DType | undefined;
      return [name, tensorFromJson(text, dtype ?? "float32", name)];
    }),
  );
}

/** Bytes of a graph: text where the name says so. */
export const graphBytes = (graph: Graph, file: string): Uint8Array =>
  file.endsWith(".pbtxt") ? new TextEncoder().encode(formatGraphDef(graph)) : writeGraphDef(graph);

export const recordFile = (output: string): string => `${output}.provenance.json`;

/** Writes the record of a transformation, then the graph. */
export async function writeGraph(
  output: string,
  bytes: Uint8Array,
  record: Provenance | null,
  signal: AbortSignal | undefined,
): Promise<void> {
  const options = signal ? { signal } : {};
  if (record !== null)
    await writeFileAtomic(
      recordFile(output),
      [new TextEncoder().encode(`${JSON.stringify(record, null, 1)}\n`)],
      options,
    );
  await writeFileAtomic(output, [bytes], options);
}

/** The record of passes that ran over a graph. */
export const recordOf = (
  t: Transformed,
  facts: Omit<ProvenanceFacts, "outputs" | "passes">,
  before: readonly PassReport[] = [],
): Provenance =>
  provenanceOf(t.graph, t.origins, { ...facts, outputs: t.outputs, passes: [...before, ...t.passes] });

/** What passes did, for JSON. */
export const passFacts = (t: Transformed) => ({
  passes: t.passes.map(({ pass, done, left, proof, unproven }) => ({
    pass,
    done,
    left,
    proof,
    ...(unproven === undefined ? {} : { unproven }),
  })),
  ranges: t.ranges,
});

/** What passes did, as tables. */
export function printPasses(t: Transformed, stdout: Sink): void {
  const style = styleFor(stdout);
  const rows: Row[] = [];
  for (const { pass, done, left, proof, unproven } of t.passes) {
    const error = proof === null ? (unproven ?? "") : formatNumber(proof.maxAbsDifference);
    rows.push([pass, String(done.length), String(left.length), error, proof?.at ?? ""]);
  }
  const columns = [
    { title: "pass" },
    { title: "done", right: true },
    { title: "left", right: true },
    { title: "largest error" },
    { title: "at" },
  ];
  const lines = formatTable(columns, rows, style);
  for (const { pass, left } of t.passes.filter((p) => NAMES_LEFT.has(p.pass)))
    for (const { at, why } of left) lines.push(`${style.yellow("left")} ${at} (${pass}): ${why}`);
  if (t.ranges.length > 0) lines.push("", ...rangeLines(t, stdout));
  stdout.write(`${lines.join("\n")}\n`);
}

/** Passes of which it matters what they left. */
const NAMES_LEFT: ReadonlySet<string> = new Set([
  "fold-batch-norm",
  "set-inference",
  "placeholders-to-constants",
  "repair",
]);

function rangeLines(t: Transformed, stdout: Sink): string[] {
  const style = styleFor(stdout);
  const rows = t.ranges.map((r): Row => {
    const times = (x: number): string => `${formatNumber(x)}x`;
    const words = r.hazard ? style.red("quantize per channel") : "";
    return [
      r.layer,
      String(r.channels),
      times(r.before.dynamicRange),
      times(r.after.dynamicRange),
      String(r.levels),
      words,
    ];
  });
  return formatTable(
    [
      { title: "layer" },
      { title: "channels", right: true },
      { title: "range before", right: true },
      { title: "after", right: true },
      { title: "int8 steps", right: true },
      { title: "hazard" },
    ],
    rows,
    style,
  );
}

/** One line about the whole. */
export function proofLine(proof: Comparison): string {
  const fed = proof.inputs.map((x) => `${x.name} ${x.dtype} [${x.shape.join(", ")}]`).join("; ");
  return `largest difference on random inputs: ${proof.maxAbsDifference}${fed === "" ? "" : ` (${fed})`}\n`;
}

/** Says that a graph was not written, since it could not be shown equal. */
export function notWritten(e: unknown): never {
  if (!isVarscopeError(e) || e.code === "CANCELLED" || !PROVING.has(e.code)) throw e;
  throw new VarscopeError(e.code, `${e.what}; nothing was written`, {
    ...(e.at === undefined ? {} : { at: e.at }),
    ...(e.hint === undefined ? {} : { hint: e.hint }),
    cause: e,
  });
}

const PROVING: ReadonlySet<string> = new Set(["INTERNAL", "UNIMPLEMENTED"]);
