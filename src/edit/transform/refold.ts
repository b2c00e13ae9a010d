/** @file Refolding from files: the record beside a transformed graph, and any container with the new values. Start at `refold`. */

import { diskFiles, readFile } from "#platform";
import type { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { bytesOfFile } from "../graph/open-graph.ts";
import { openVariableSource } from "../graph/variable-source.ts";
import { type Provenance, readProvenance, refoldGraph } from "./provenance.ts";

/** A graph whose constants were made anew. */
export interface Refolded {
  readonly graph: Graph;
  readonly record: Provenance;
}

/**
 * The graph beside a record, its constants made anew from the variables of another checkpoint: folding again, without folding.
 *
 * @param provenance - `OUT.provenance.json`; OUT lies beside it
 * @param checkpoint - any container of the variables
 * @throws VarscopeError NOT_FOUND - a variable is not there; and as `refoldGraph`, `readProvenance`
 */
export async function refold(
  provenance: string,
  checkpoint: string,
  signal?: AbortSignal,
): Promise<Refolded> {
  const record = readProvenance(new TextDecoder().decode(await readFile(provenance)), provenance);
  const bytes = await bytesOfFile(provenance.replace(/\.provenance\.json$/, ""), diskFiles);
  const source = await openVariableSource(checkpoint, signal);
  try {
    return { graph: await refoldGraph(bytes, record, CORE_OPS, source.read), record };
  } finally {
    await source.close();
  }
}
