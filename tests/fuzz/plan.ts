/** @file How many mutants of each kind a run makes, and what each may take. */

import type { Kind } from "./corpus.ts";

/** Mutants of a full run. HDF5 runs in WebAssembly and takes some ms a file, so it gets fewer. */
export const MUTANTS: Readonly<Record<Kind, number>> = {
  "checkpoint-v1": 26_000,
  "checkpoint-v1-snappy": 14_000,
  "checkpoint-v2": 40_000,
  "checkpoint-object": 16_000,
  "state-file": 18_000,
  "saved-model": 6_000,
  "graph-def": 18_000,
  "graph-def-text": 8_000,
  "meta-graph": 5_000,
  "keras-v3": 2_500,
  "keras-weights": 2_500,
  "keras-h5": 2_500,
  npz: 26_000,
  safetensors: 32_000,
  "control-flow": 2_000,
  "control-flow-run": 800,
  transform: 1_500,
  "meta-graph-import": 1_000,
  "saved-model-load": 300,
  events: 6_000,
  provenance: 1_500,
  "iterator-state": 4_000,
  "server-answer": 1_500,
};

/** Of one mutant. */
export const LIMITS = { cpuMs: 2000, arrayBytes: 64 << 20, allBytes: 512 << 20, hangMs: 30_000 } as const;

/** Mutants `from` to `to` of a kind. */
export interface Job {
  readonly kind: Kind;
  readonly from: number;
  readonly to: number;
}

export interface Broken {
  readonly index: number;
  readonly why: string;
}

/** What became of a job. */
export interface Report {
  readonly kind: Kind;
  whole: number;
  partly: number;
  refused: number;
  readonly broken: Broken[];
  slowestMs: number;
  /** bytes of the largest array */
  largest: number;
}
