/** @file The table of passes, by name. Start at `PASSES`; to run several with proofs, at pipeline.ts. */

import {
  addDefaultAttrs,
  clearDevices,
  rename,
  roundWeights,
  sortNodes,
  stripDefaultAttrs,
} from "./attributes.ts";
import { placeholdersToConstants, solveConditionals } from "./conditionals.ts";
import { foldConstants } from "./constants.ts";
import { mergeDuplicates } from "./duplicates.ts";
import { equaliseLayers } from "./equalise.ts";
import { foldBatchNorm } from "./fold-norms.ts";
import { setInference } from "./inference.ts";
import { inlineFunctions } from "./inline.ts";
import type { Pass } from "./pass.ts";
import {
  removeCheckNumerics,
  removeControlResidue,
  removeIdentity,
  removeTrainingNodes,
  stripUnused,
} from "./residue.ts";

/** A pass, and what it is for. */
export interface PassEntry {
  readonly summary: string;
  readonly run: Pass;
  /** it changes results: "purpose" where that is what it is for, "rounding" where they differ a little */
  readonly changes?: "purpose" | "rounding";
}

const TABLE: Readonly<Record<string, PassEntry>> = {
  "strip-unused": {
    summary: "only what the outputs need stays; computed inputs become placeholders",
    run: stripUnused,
  },
  "fold-constants": { summary: "what follows from constants alone is computed", run: foldConstants },
  "remove-training-nodes": {
    summary: "the next three together: what TensorFlow's function of this name is for",
    run: removeTrainingNodes,
  },
  "remove-check-numerics": {
    summary: "CheckNumerics go, consumers take what they took",
    run: removeCheckNumerics,
  },
  "remove-control-residue": {
    summary: "control edges from ops without effects go",
    run: removeControlResidue,
  },
  "remove-identity": {
    summary: "Identity, StopGradient, PreventGradient and Snapshot go",
    run: removeIdentity,
  },
  "merge-duplicates": { summary: "equal nodes become one", run: mergeDuplicates },
  "strip-default-attrs": {
    summary: "attributes with their default value go, for older runtimes",
    run: stripDefaultAttrs,
  },
  "add-default-attrs": { summary: "attributes that a node lacks get their default", run: addDefaultAttrs },
  "sort-by-execution-order": { summary: "nodes stand behind their inputs", run: sortNodes },
  "clear-devices": { summary: "devices and colocations are forgotten", run: clearDevices },
  "fold-batch-norm": {
    summary: "batch normalization goes into the weights before or behind it",
    run: foldBatchNorm,
  },
  "equalise-layers": {
    summary:
      "ranges of weights are evened out between layers, for 8 bits a tensor (cross-layer equalisation)",
    run: equaliseLayers,
  },
  "set-inference": {
    summary: "batch normalization takes its moving statistics, dropout hands on: is_training is false",
    run: setInference,
    changes: "purpose",
  },
  "inline-calls": {
    summary: "functions' ops stand in the place of their calls; If becomes Switch and Merge",
    run: inlineFunctions,
  },
  "placeholders-to-constants": {
    summary: "placeholders get their value for good; conditionals on it are solved",
    run: placeholdersToConstants,
  },
  "solve-conditionals": {
    summary: "conditionals with a constant predicate: the other branch goes",
    run: solveConditionals,
  },
  rename: { summary: "nodes get other names by patterns; outputs keep theirs", run: rename },
  "round-weights": {
    summary: "float constants keep 256 values each, and compress well",
    run: roundWeights,
    changes: "rounding",
  },
};

/** Passes by name. */
export const PASSES: ReadonlyMap<string, PassEntry> = new Map(Object.entries(TABLE));

/** What `freeze --fold` runs, in order. */
export const FOLDING: readonly string[] = [
  "remove-check-numerics",
  "remove-control-residue",
  "remove-identity",
  "fold-batch-norm",
  "strip-unused",
];
