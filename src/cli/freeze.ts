/** @file `varscope freeze`: variables become constants, and the result is shown equal before it is written. Start at `freezeCommand`. */

import { VarscopeError } from "../base/index.ts";
import { freezeFile } from "../edit/graph/freeze-file.ts";
import type { GraphFile } from "../edit/graph/open-graph.ts";
import { FOLDING } from "../edit/transform/index.ts";
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
import { needOperation, needSignature } from "./run-names.ts";
import { formatBytes, formatCount, type Streams } from "./terminal.ts";

export interface FreezeFlags {
  readonly outputs?: readonly string[];
  readonly output: string;
  readonly checkpoint?: string;
  readonly signature?: string;
  readonly tags?: readonly string[];
  readonly initializerNodes?: readonly string[];
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly fold?: boolean;
  readonly clone?: boolean;
  readonly passes?: readonly string[];
  readonly setInference?: boolean;
  readonly placeholder?: readonly (readonly [string, string])[];
  readonly dropUpdates?: boolean;
  readonly clearDevices?: boolean;
  readonly proof?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/**
 * Freezes a graph file.
 *
 * @throws VarscopeError NOT_FOUND - no such output, or a variable that the checkpoint lacks; FAILED_PRECONDITION - no values, or the outputs
 *   depend on assignments; ALREADY_EXISTS; INTERNAL - the frozen graph differs
 */
export async function freezeCommand(
  path: string,
  flags: FreezeFlags,
  { stdout, signal }: Streams,
): Promise<void> {
  const passes = [
    ...(flags.placeholder === undefined ? [] : ["placeholders-to-constants"]),
    ...(flags.passes ?? []),
    ...(flags.fold ? FOLDING : []),
  ];
  const { output } = flags;
  await refuseExisting(passes.length > 0 ? [output, recordFile(output)] : [output], flags.force);
  const file = await openGraphOrModel(path, flags.tags);
  const outputs = outputNames(file, flags).map((name) => needOperation(file.graph, name).name);
  const { placeholder, passes: _, ...options } = flags;
  const frozen = await freezeFile(file, outputs, {
    ...options,
    passes,
    placeholders: placeholderValues(file.graph, placeholder),
    prove: flags.proof ?? true,
    ...(signal && { signal }),
  }).catch(notWritten);
  const bytes = graphBytes(frozen.graph, output);
  const source = { graph: path, checkpoint: flags.checkpoint ?? file.checkpoint };
  const record = passes.length > 0 ? recordOf(frozen.transformed, { source, bytes }, frozen.before) : null;
  await writeGraph(output, bytes, record, signal);
  const facts = {
    nodes: frozen.graph.operations.length,
    variables: frozen.variables.length,
    bytes: bytes.length,
  };
  if (flags.json) {
    const { outputs: errors, ...proof } = frozen.transformed.proof ?? { outputs: [] };
    const report = { path, output, outputs: frozen.outputs, ...facts, ...proof, errors };
    const more = passes.length > 0 ? passFacts(frozen.transformed) : {};
    stdout.write(`${formatJson({ ...report, before: frozen.before, ...more }, 2)}\n`);
    return;
  }
  stdout.write(
    `${output}: ${formatCount(facts.variables)} variables became constants, ${formatCount(facts.nodes)} nodes, ${formatBytes(facts.bytes)}\n`,
  );
  for (const { pass, done, left } of frozen.before) {
    stdout.write(`${pass}: ${done.length} done\n`);
    for (const { at, why } of left) stdout.write(`left ${at}: ${why}\n`);
  }
  if (passes.length > 0) printPasses(frozen.transformed, stdout);
  if (frozen.transformed.proof !== null) stdout.write(proofLine(frozen.transformed.proof));
}

function outputNames(file: GraphFile, { outputs = [], signature }: FreezeFlags): readonly string[] {
  if (outputs.length > 0) return outputs;
  if (signature === undefined) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "You need to supply the name of a node to --output_node_names.",
      {
        at: file.path,
        hint: "name nodes with --outputs, or a signature with --signature; 'varscope inspect' lists both",
      },
    );
  }
  const tensors = Object.values(needSignature(file, signature).outputs);
  return tensors.flatMap(({ encoding }) => (encoding.case === "name" ? [encoding.value] : []));
}
