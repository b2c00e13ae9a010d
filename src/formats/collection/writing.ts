/** @file What writers of containers take and give back. Start at `Contents`. */

import { allocate, type DType, sizeOf, type Tensor } from "../../base/index.ts";
import type { Extras, ReadOptions, VariableCollection, VariableEntry } from "./collection.ts";

/** A variable to write: as an entry, with its values. */
export interface WritableVariable extends Partial<Omit<VariableEntry, "name" | "dtype" | "shape" | "bytes">> {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** all values, row-major, in tensors of rank 1; may be asked more than once */
  values(options: ReadOptions): AsyncIterable<Tensor>;
}

/** All that goes into a container. */
export interface Contents {
  /** in the order in which they are to be written */
  readonly variables: readonly WritableVariable[];
  readonly extras?: Extras;
}

export interface WriteCollectionOptions {
  readonly signal?: AbortSignal;
  /** wait until the bytes are on the disk: true */
  readonly sync?: boolean;
  /** data files, of containers that have several: 1 */
  readonly shards?: number;
  /** told of the bytes of values written so far */
  onProgress?(bytes: number): void;
}

/** What could not be carried, each with its reason. */
export interface WriteReport {
  readonly left: readonly { readonly what: string; readonly why: string }[];
}

/** Writes a container: whole or not at all, over an existing one in one step. */
export type CollectionWriter = (
  path: string,
  contents: Contents,
  options?: WriteCollectionOptions,
) => Promise<WriteReport>;

/** The variables of an open container, to be written elsewhere. Shapes must be known. */
export const contentsOf = (from: VariableCollection): Contents => ({
  variables: from.variables.map((v) => ({
    ...v,
    shape: v.shape as readonly number[],
    values: (options) => from.stream(v.name, options),
  })),
  extras: from.extras,
});

/** A variable of a tensor in memory. */
export const variableOf = (
  name: string,
  t: Tensor,
  facts: Partial<WritableVariable> = {},
): WritableVariable => ({
  ...facts,
  name,
  dtype: t.dtype,
  shape: t.shape,
  async *values() {
    yield {
      ...t,
      shape: [t.dtype === "complex64" || t.dtype === "complex128" ? t.data.length / 2 : t.data.length],
    };
  },
});

/** All values of a variable in one tensor. */
export async function gatherValues(v: WritableVariable, options: ReadOptions = {}): Promise<Tensor> {
  const pieces: Tensor[] = [];
  for await (const piece of v.values(options)) pieces.push(piece);
  return joinPieces(v, pieces);
}

/** The tensor that pieces in row-major order make up. */
export function joinPieces(
  { dtype, shape }: { readonly dtype: DType; readonly shape: readonly number[] },
  pieces: readonly Tensor[],
): Tensor {
  if (pieces.length === 1) return { dtype, shape, data: pieces[0]!.data };
  if (dtype === "string")
    return { dtype, shape, data: pieces.flatMap((p) => p.data as readonly Uint8Array[]) };
  const data = allocate(dtype, sizeOf(shape)) as Float32Array;
  let at = 0;
  for (const piece of pieces) {
    data.set(piece.data as Float32Array, at);
    at += piece.data.length;
  }
  return { dtype, shape, data };
}
