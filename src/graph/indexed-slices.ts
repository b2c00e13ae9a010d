/** @file IndexedSlices: a sparse gradient, rows of a tensor at indices. */

import type { Output } from "./operation.ts";

/** Rows `values[i]` belong to row `indices[i]` of a tensor of shape `denseShape`; rows of one index add up. */
export interface IndexedSlices {
  readonly values: Output;
  readonly indices: Output;
  readonly denseShape: Output | null;
}

export const isIndexedSlices = (x: unknown): x is IndexedSlices =>
  typeof x === "object" && x !== null && "indices" in x && "values" in x;
