/**
 * @file Graph to graph: folding batch normalization, stripping, folding constants, cleaning, repairing; each pass says what it did and what it
 * left, and is shown to compute the same. Freezing is in ../graph/freeze.ts. Start at pipeline.ts; the table of passes is passes.ts.
 */

export { type FoldResult, foldBatchNorm } from "./fold-norms.ts";
export { Origins, type PlaceOf, type VariablePlace } from "./origins.ts";
export type { Change, Left, Pass, PassOptions, PassReport, PassResult } from "./pass.ts";
export { FOLDING, PASSES, type PassEntry } from "./passes.ts";
export { type PassOutcome, type Transformed, type TransformOptions, transformGraph } from "./pipeline.ts";
export {
  type Provenance,
  type ProvenanceFacts,
  provenanceOf,
  type ReadVariable,
  readProvenance,
  refoldGraph,
} from "./provenance.ts";
export type { RangeReport, Ranges } from "./ranges.ts";
export { type Refolded, refold } from "./refold.ts";
export { type Repaired, repairGraphDef } from "./repair-graph.ts";
