/** @file `varscope freeze`: variables become constants, and the result is shown equal before it is written. Start at `freezeCommand`. */

import { writeFileAtomic } from "#platform";
import { isVarscopeError, type Tensor, VarscopeError } from "../base/index.ts";
import { freezeGraph } from "../edit/graph/freeze.ts";
import { type GraphFile, openGraph } from "../edit/graph/open-graph.ts";
import { type Comparison, compareGraphs, reachable } from "../edit/graph/prove.ts";
import { variableOps, variableValues } from "../edit/graph/values.ts";
import { locateCheckpoint } from "../formats/checkpoint/index.ts";
import { formatGraphDef, writeGraphDef } from "../formats/graph-def/index.ts";
import type { Graph, Operation } from "../graph/index.ts";
import { refuseExisting } from "./files.ts";
import { formatJson } from "./json.ts";
import { notYet } from "./program.ts";
import { needOperation, needSignature } from "./run-names.ts";
import { formatBytes, formatCount, type Streams } from "./terminal.ts";

export interface FreezeFlags {
  readonly outputs?: readonly string[];
  readonly output: string;
  readonly checkpoint?: string;
  readonly signature?: string;
  readonly fold?: boolean;
  readonly clearDevices?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Largest difference, in proportion to an output's largest value, that float rounding explains. */
const TOLERANCE = 1e-4;

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
  if (flags.fold) throw notYet("--fold", "freeze without it; the result computes the same");
  await refuseExisting([flags.output], flags.force);
  const file = await openGraph(path);
  const { graph } = file;
  const outputs = outputNames(file, flags).map((name) => needOperation(graph, name).name);
  const variables = variableOps(reachable(outputs.map((name) => graph.operation(name))));
  const values = await valuesOf(file, variables, flags.checkpoint, signal);
  const byName = new Map([...values].map(([op, value]) => [op.name, value]));
  const frozen = freezeGraph(graph, outputs, (name) => byName.get(name) ?? null, {
    clearDevices: flags.clearDevices ?? false,
  });
  const proof = await prove(graph, frozen, outputs, values, signal);
  const isText = flags.output.endsWith(".pbtxt");
  const bytes = isText ? new TextEncoder().encode(formatGraphDef(frozen)) : writeGraphDef(frozen);
  await writeFileAtomic(flags.output, [bytes], signal ? { signal } : {});
  const facts = { nodes: frozen.operations.length, variables: variables.length, bytes: bytes.length };
  if (flags.json) {
    stdout.write(`${formatJson({ path, output: flags.output, ...facts, ...proof, outputs }, 2)}\n`);
    return;
  }
  const fed = proof.inputs.map((x) => `${x.name} ${x.dtype} [${x.shape.join(", ")}]`).join("; ");
  stdout.write(
    `${flags.output}: ${formatCount(facts.variables)} variables became constants, ${formatCount(facts.nodes)} nodes, ${formatBytes(facts.bytes)}\n` +
      `largest difference on random inputs: ${proof.maxAbsDifference}${fed === "" ? "" : ` (${fed})`}\n`,
  );
}

function outputNames(file: GraphFile, { outputs = [], signature }: FreezeFlags): readonly string[] {
  if (outputs.length > 0) return outputs;
  if (signature === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "no outputs are named", {
      at: file.path,
      hint: "name nodes with --outputs, or a signature with --signature; 'varscope inspect' lists both",
    });
  }
  const tensors = Object.values(needSignature(file, signature).outputs);
  return tensors.flatMap(({ encoding }) => (encoding.case === "name" ? [encoding.value] : []));
}

async function valuesOf(
  file: GraphFile,
  variables: readonly Operation[],
  path: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Map<Operation, Tensor>> {
  if (variables.length === 0) return new Map();
  const prefix = path === undefined ? file.checkpoint : await locateCheckpoint(path);
  if (prefix === null) {
    throw new VarscopeError("FAILED_PRECONDITION", `no values for ${variables.length} variables`, {
      at: file.path,
      hint: "name their checkpoint with --checkpoint",
    });
  }
  return variableValues(file.graph, variables, prefix, signal);
}

async function prove(
  graph: Graph,
  frozen: Graph,
  outputs: readonly string[],
  variables: ReadonlyMap<Operation, Tensor>,
  signal: AbortSignal | undefined,
): Promise<Comparison> {
  let proof: Comparison;
  try {
    proof = await compareGraphs(graph, frozen, outputs, { variables, ...(signal && { signal }) });
  } catch (e) {
    if (!isVarscopeError(e) || e.code === "CANCELLED") throw e;
    throw new VarscopeError(
      e.code,
      `the frozen graph could not be shown equal, and was not written: ${e.what}`,
      {
        ...(e.at === undefined ? {} : { at: e.at }),
        ...(e.hint === undefined ? {} : { hint: e.hint }),
        cause: e,
      },
    );
  }
  if (proof.maxRelDifference <= TOLERANCE) return proof;
  throw new VarscopeError(
    "INTERNAL",
    `the frozen graph differs by ${proof.maxAbsDifference} (${proof.maxRelDifference} of the largest value), and was not written`,
    { at: proof.at ?? "", hint: "report it with the graph" },
  );
}
