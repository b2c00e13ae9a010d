/** @file Writing V2 checkpoints, byte for byte as TensorFlow's SaveV2. Start at `writeV2Collection`, or `saveCheckpoint` for tensors in memory. */

import { dirname, exists, type Staged, stageFile, type WriteOptions } from "#platform";
import {
  type Box,
  DTYPES,
  isVarscopeError,
  overlap,
  sameShape,
  sizeOf,
  type Tensor,
  VarscopeError,
  wholeBox,
} from "../../base/index.ts";
import { slicePieces } from "../checkpoint-v1/pieces.ts";
import type { CollectionWriter, ReadOptions, WritableVariable } from "../collection/index.ts";
import { writeIndex } from "./bundle.ts";
import { type Drafts, dataChunks, hasValues, type Item } from "./draft.ts";
import { dataFile, indexFile } from "./files.ts";
import { publish } from "./publish.ts";
import { parseSliceSpec } from "./slice.ts";
import { MAX_PARTS } from "./values.ts";

/** A tensor to save. */
export interface NamedTensor {
  readonly name: string;
  readonly tensor: Tensor;
  /** where it is a part of a partitioned tensor: `'10 4 0,4:0,4'`, its full shape and place; '' is the whole */
  readonly slice?: string;
}

export interface SaveOptions {
  readonly signal?: AbortSignal;
  /** data files: 1; with more, the tensors are spread evenly over them, in order */
  readonly shards?: number;
  /** wait until the files are on the disk: true; false survives a crash of the process, not of the machine */
  readonly sync?: boolean;
}

/**
 * Saves tensors as `<prefix>.data-00000-of-00001` and `<prefix>.index`; the data lie in the order given. The checkpoint
 * appears whole or not at all; one that has this prefix already stays until this one is complete.
 *
 * @throws VarscopeError INVALID_ARGUMENT - an empty name, a name twice, a dtype without values, a part of another shape;
 *   CANCELLED - aborted
 * @see TensorFlow core/util/tensor_bundle/tensor_bundle.cc BundleWriter
 */
export async function saveCheckpoint(
  prefix: string,
  tensors: Iterable<NamedTensor> | AsyncIterable<NamedTensor>,
  options: SaveOptions = {},
): Promise<void> {
  const { shards = 1 } = options;
  needShards(shards, prefix);
  if (shards === 1) return saveFiles(prefix, [itemsOf(tensors)], options);
  const all: NamedTensor[] = [];
  for await (const tensor of tensors) all.push(tensor);
  const groups = spread(all, ({ tensor }) => tensor.data.length * DTYPES[tensor.dtype].bytes, shards);
  return saveFiles(prefix, groups.map(itemsOf), options);
}

async function* itemsOf(tensors: Iterable<NamedTensor> | AsyncIterable<NamedTensor>): AsyncGenerator<Item> {
  for await (const { name, tensor, slice = "" } of tensors) {
    const { dtype, shape } = tensor;
    const item = { name, dtype, shape, pieces: [tensor] };
    yield slice === "" ? item : { ...item, slice: parseSliceSpec(slice) };
  }
}

/**
 * Writes variables as a V2 checkpoint, in their order, as `saveCheckpoint` does. Values pass in pieces; partitioned variables stay so.
 *
 * @returns what has no values that a file could hold, and partitions that do not make up their variable, which is then whole
 * @throws VarscopeError as `saveCheckpoint`; and INVALID_ARGUMENT - a variable gives fewer or more values than its shape has
 */
export const writeV2Collection: CollectionWriter = async (prefix, { variables }, options = {}) => {
  const { shards = 1, signal, onProgress } = options;
  needShards(shards, prefix);
  const left: { what: string; why: string }[] = [];
  const kept: WritableVariable[] = [];
  for (const v of variables) {
    const { name, dtype, shape, parts } = v;
    if (!hasValues(dtype)) left.push({ what: name, why: `a ${dtype} has no values that a file could hold` });
    else kept.push(v);
    if (parts !== undefined && !makeUp(shape, parts))
      left.push({ what: `partition of ${name}`, why: "its parts do not make up its shape" });
  }
  let bytes = 0;
  const passed = (t: Tensor): void => {
    bytes += bytesIn(t);
    onProgress?.(bytes);
  };
  const read: ReadOptions = signal === undefined ? {} : { signal };
  const groups = spread(kept, (v) => sizeOf(v.shape) * DTYPES[v.dtype].bytes, shards);
  await saveFiles(
    prefix,
    groups.map((group) => variableItems(group, read, passed)),
    options,
  );
  return { left };
};

async function* variableItems(
  variables: readonly WritableVariable[],
  options: ReadOptions,
  passed: (t: Tensor) => void,
): AsyncGenerator<Item> {
  for (const v of variables) {
    const { name, dtype, shape, parts = [] } = v;
    const isPartitioned = parts.length > 0 && makeUp(shape, parts);
    const boxes = isPartitioned ? parts : [wholeBox(shape)];
    for await (const { slice, pieces } of slicePieces(v, boxes, options)) {
      const { start, size } = boxes[slice]!;
      const item = { name, dtype, shape: size, pieces: told(pieces, passed) };
      const extents = start.map((s, axis) => ({ start: s, length: size[axis]! }));
      yield isPartitioned ? { ...item, slice: { fullShape: shape, slice: extents } } : item;
    }
  }
}

async function* told(pieces: AsyncIterable<Tensor>, passed: (t: Tensor) => void): AsyncGenerator<Tensor> {
  for await (const piece of pieces) {
    yield piece;
    passed(piece);
  }
}

const bytesIn = ({ data }: Tensor): number =>
  ArrayBuffer.isView(data) ? data.byteLength : data.reduce((n, element) => n + element.length, 0);

/** Whether disjoint boxes make up a shape. */
function makeUp(shape: readonly number[], boxes: readonly Box[]): boolean {
  const inside = ({ start, size }: Box): boolean =>
    sameShape([start.length, size.length], [shape.length, shape.length]) &&
    shape.every((n, axis) => start[axis]! >= 0 && size[axis]! > 0 && start[axis]! + size[axis]! <= n);
  if (boxes.length > MAX_PARTS || !boxes.every(inside)) return false;
  if (boxes.reduce((n, { size }) => n + sizeOf(size), 0) !== sizeOf(shape)) return false;
  return boxes.every((a, i) => boxes.slice(0, i).every((b) => !overlap(a, b)));
}

function needShards(shards: number, at: string): void {
  if (Number.isInteger(shards) && shards >= 1 && shards <= 99_999) return;
  throw new VarscopeError("INVALID_ARGUMENT", `${shards} shards; 1 to 99999 are possible`, { at });
}

/** Runs of values of about equal bytes. */
function spread<T>(values: readonly T[], bytesOf: (value: T) => number, shards: number): T[][] {
  const sizes = values.map((value) => Math.max(1, bytesOf(value)));
  const total = sizes.reduce((n, size) => n + size, 0);
  const groups = Array.from({ length: shards }, (): T[] => []);
  let before = 0;
  values.forEach((value, i) => {
    // The shard that holds the middle of this value, if all were one row of bytes.
    const shard = Math.floor(((before + sizes[i]! / 2) / total) * shards);
    groups[Math.min(shard, shards - 1)]!.push(value);
    before += sizes[i]!;
  });
  return groups;
}

/** One data file of each group, and the index, put in their places together. */
async function saveFiles(
  prefix: string,
  groups: readonly AsyncIterable<Item>[],
  { signal, sync }: WriteOptions,
): Promise<void> {
  const write = { ...(signal === undefined ? {} : { signal }), ...(sync === undefined ? {} : { sync }) };
  const drafts: Drafts = new Map();
  const shards = groups.length;
  const staged: Staged[] = [];
  try {
    for (const [shard, items] of groups.entries()) {
      staged.push(await stageFile(dataFile(prefix, shard, shards), dataChunks(drafts, items, shard), write));
    }
    const index = writeIndex({ shards, entries: [...drafts.values()] });
    staged.push(await stageFile(indexFile(prefix), [index], write));
    await publish(prefix, staged);
  } catch (e) {
    await Promise.allSettled(staged.map((file) => file.discard()));
    if (isVarscopeError(e, "NOT_FOUND") && !(await exists(dirname(prefix)))) {
      throw new VarscopeError("NOT_FOUND", `Parent directory of ${prefix} doesn't exist, can't save.`, {
        cause: e,
      });
    }
    throw e;
  }
}
