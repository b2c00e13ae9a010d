/** @file `varscope transform`: passes over a graph, their proofs and their record; and constants made anew from it. Start at `transformCommand`. */

import { diskFiles } from "#platform";
import { crc32c, VarscopeError } from "../base/index.ts";
import { valuesOf } from "../edit/graph/freeze-file.ts";
import { bytesOfFile, type GraphFile } from "../edit/graph/open-graph.ts";
import { reachable } from "../edit/graph/prove.ts";
import { variableOps } from "../edit/graph/values.ts";
import { PASSES, type PassReport, refold, repairGraphDef, transformGraph } from "../edit/transform/index.ts";
import { fromGraphDef, readMessage } from "../formats/graph-def/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { GraphDefSchema } from "../proto/index.ts";
import { refuseExisting } from "./files.ts";
import {
  graphBytes,
  notWritten,
  openGraphOrModel,
  passFacts,
  placeholderValues,
  printPasses,
  proofLine,
  recordFile,
  recordOf,
  writeGraph,
} from "./graph-output.ts";
import { formatJson } from "./json.ts";
import { needOperation } from "./run-names.ts";
import { formatBytes, formatCount, formatTable, type Streams, styleFor } from "./terminal.ts";

export interface TransformFlags {
  readonly passes?: readonly string[];
  readonly output?: string;
  readonly list?: boolean;
  readonly outputs?: readonly string[];
  readonly inputs?: readonly string[];
  readonly placeholder?: readonly (readonly [string, string])[];
  readonly rename?: readonly (readonly [string, string])[];
  readonly steps?: number;
  readonly clone?: boolean;
  readonly refold?: string;
  readonly checkpoint?: string;
  readonly proof?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

const REPAIR = "repair";
const REPAIR_SUMMARY =
  "frozen graphs that TensorFlow refuses (float_ref, missing attributes); must come first";

/**
 * Runs passes over a graph file.
 *
 * @throws VarscopeError INVALID_ARGUMENT - nothing to do; NOT_FOUND - no such pass, output or file; ALREADY_EXISTS; INTERNAL - a graph computes
 *   something else than before
 */
export async function transformCommand(
  path: string | undefined,
  flags: TransformFlags,
  streams: Streams,
): Promise<void> {
  if (flags.list) return listPasses(flags, streams);
  const output = needFlag(flags.output, "-o", "name the file of the new graph");
  if (flags.refold !== undefined) return refoldCommand(flags.refold, output, flags, streams);
  const wanted = needFlag(flags.passes, "--passes", "name passes; 'varscope transform --list' has them");
  const input = needFlag(path, "IN", "give a graph");
  await refuseExisting([output, recordFile(output)], flags.force);
  const { file, repaired } = await openInput(input, wanted);
  const { graph, checkpoint } = file;
  const outputs = flags.outputs?.map((name) => needOperation(graph, name).name);
  const run =
    outputs === undefined ? graph.operations : reachable(outputs.map((name) => graph.operation(name)));
  const { values } = await valuesOf(file, flags.proof === false ? [] : variableOps(run), flags);
  const t = await transformGraph(graph, {
    passes: wanted.filter((name) => name !== REPAIR),
    placeholders: placeholderValues(graph, flags.placeholder),
    rename: (flags.rename ?? []).map(([from, to]) => [new RegExp(from, "g"), to] as const),
    prove: flags.proof ?? true,
    variables: values,
    ...(outputs && { outputs }),
    ...(flags.inputs && { inputs: flags.inputs }),
    ...(flags.steps && { steps: flags.steps }),
    ...(flags.clone && { clone: true }),
    ...(streams.signal && { signal: streams.signal }),
  }).catch(notWritten);
  const reports =
    repaired === null ? [] : [{ ...repaired, proof: null, unproven: "the graph did not run before" }];
  const whole = { ...t, passes: [...reports, ...t.passes] };
  const bytes = graphBytes(t.graph, output);
  await writeGraph(
    output,
    bytes,
    recordOf(whole, { source: { graph: input, checkpoint: flags.checkpoint ?? checkpoint }, bytes }),
    streams.signal,
  );
  const facts = { nodes: t.graph.operations.length, before: graph.operations.length, bytes: bytes.length };
  const { stdout } = streams;
  if (flags.json) {
    const report = { path: input, output, outputs: t.outputs, ...facts, proof: t.proof, ...passFacts(whole) };
    stdout.write(`${formatJson(report, 2)}\n`);
    return;
  }
  stdout.write(
    `${output}: ${formatCount(facts.nodes)} nodes of ${formatCount(facts.before)}, ${formatBytes(facts.bytes)}\n`,
  );
  printPasses(whole, stdout);
  if (t.proof !== null) stdout.write(proofLine(t.proof));
}

function needFlag<T>(value: T | undefined, name: string, hint: string): T {
  if (value !== undefined) return value;
  throw new VarscopeError("INVALID_ARGUMENT", `${name} is missing`, { at: "transform", hint });
}

interface Input {
  readonly file: GraphFile;
  readonly repaired: PassReport | null;
}

/** A broken graph is no graph before it is repaired: its message is read. */
async function openInput(path: string, passes: readonly string[]): Promise<Input> {
  if (passes.indexOf(REPAIR) > 0)
    throw new VarscopeError("INVALID_ARGUMENT", "repair must be the first pass", { at: "--passes" });
  if (passes[0] !== REPAIR) {
    return { file: await openGraphOrModel(path), repaired: null };
  }
  const message = readMessage(GraphDefSchema, await bytesOfFile(path, diskFiles), path);
  const { def, report } = repairGraphDef(message, CORE_OPS);
  const graph = fromGraphDef(def, { registry: CORE_OPS, file: path });
  return { file: { path, format: "graph-def", graph, meta: null, checkpoint: null }, repaired: report };
}

function listPasses({ json }: TransformFlags, { stdout }: Streams): void {
  const passes = [
    ...[...PASSES].map(([name, { summary }]) => ({ name, summary })),
    { name: REPAIR, summary: REPAIR_SUMMARY },
  ];
  if (json) return void stdout.write(`${formatJson({ passes }, 2)}\n`);
  const rows = passes.map(({ name, summary }) => [name, summary]);
  const table = formatTable([{ title: "pass" }, { title: "does" }], rows, styleFor(stdout));
  stdout.write(`${table.join("\n")}\n`);
}

/** The graph of a record, with constants from another checkpoint. */
async function refoldCommand(
  record: string,
  output: string,
  { checkpoint, force, json }: TransformFlags,
  { stdout, signal }: Streams,
): Promise<void> {
  const path = needFlag(checkpoint, "--checkpoint", "name the container of the new values");
  await refuseExisting([output, recordFile(output)], force);
  const { graph, record: provenance } = await refold(record, path, signal);
  const made = graphBytes(graph, output);
  const next = { ...provenance, source: { ...provenance.source, checkpoint: path }, crc32c: crc32c(made) };
  await writeGraph(output, made, next, signal);
  const constants = Object.keys(provenance.constants).length;
  const variables = Object.keys(provenance.variables).length;
  if (json)
    stdout.write(`${formatJson({ path: record, output, checkpoint: path, constants, variables }, 2)}\n`);
  else stdout.write(`${output}: ${constants} constants made anew from ${variables} variables of ${path}\n`);
}
