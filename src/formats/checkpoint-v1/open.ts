/**
 * @file Reading V1 checkpoints: tables of slices, in one file or several shards. Start at `openV1Collection`.
 *
 * @see TensorFlow core/util/tensor_slice_reader.cc
 */

import { diskFiles, type Files } from "#platform";
import {
  type Box,
  copyRegion,
  DTYPES,
  formatShape,
  intersect,
  isComplex,
  overlap,
  runOf,
  sameShape,
  sizeOf,
  type Tensor,
  VarscopeError,
  wholeBox,
} from "../../base/index.ts";
import { sliceKey } from "../checkpoint/slice.ts";
import {
  allocated,
  collectionOf,
  needRunning,
  type ReadOptions,
  type StoredVariable,
  type VariableCollection,
} from "../collection/index.ts";
import { locateV1 } from "./files.ts";
import { readV1Tensors, type V1Slice, type V1Tensor } from "./meta.ts";
import type { TableValue } from "./table.ts";
import { needValues, readSlice } from "./values.ts";

/**
 * Opens a V1 checkpoint; reads which tensors it has. All dtypes are read, also those that TensorFlow's own reader refuses.
 *
 * @param path - its file, one of its shards, their pattern (`v1-?????-of-00003`) or their prefix
 * @throws VarscopeError NOT_FOUND - there is none, or a shard is missing; DATA_LOSS - damaged, or no V1 checkpoint
 */
export async function openV1Collection(path: string, files: Files = diskFiles): Promise<VariableCollection> {
  const sources = (await locateV1(path, files)).map((file) => files.source(file));
  const close = async (): Promise<void> => {
    await Promise.all(sources.map((source) => source.close()));
  };
  try {
    const tensors = await readV1Tensors(sources);
    const variables: StoredVariable[] = [];
    for (const tensor of tensors)
      variables.push(variableOf(tensor, tensor.dtype === "string" ? await stringBytes(tensor) : undefined));
    return collectionOf({ path, format: "checkpoint-v1", variables, close });
  } catch (e) {
    await close();
    throw e;
  }
}

function variableOf(tensor: V1Tensor, stringBytes?: number): StoredVariable {
  const { name, dtype, shape, slices } = tensor;
  const isWhole = slices.length === 1 && sameShape(slices[0]!.box.size, shape);
  return {
    name,
    dtype,
    shape,
    bytes: stringBytes ?? sizeOf(shape) * DTYPES[dtype].bytes,
    ...(isWhole ? {} : { parts: slices.map((slice) => slice.box) }),
    read: (options) => readRegion(tensor, wholeBox(shape), options),
    readBox: (box, options) => readRegion(tensor, box, options),
    stream: (options) => streamOf(tensor, options),
  };
}

/** Bytes of the records of strings; 0 where one is damaged, which reading it tells. */
async function stringBytes(tensor: V1Tensor): Promise<number> {
  let bytes = 0;
  for (const slice of tensor.slices)
    bytes += (await recordOf(tensor, slice).catch(() => undefined))?.bytes ?? 0;
  return bytes;
}

/** Each is compared with each: far beyond any partitioning. */
const MOST_SLICES = 10_000;

/** Checks that disjoint slices make up the region. */
function needCovered({ name, shape }: V1Tensor, region: Box, used: readonly Box[]): void {
  const refuse = (what: string): VarscopeError =>
    new VarscopeError("DATA_LOSS", `the slices of ${formatShape(shape)} ${what}`, {
      at: name,
      hint: "a partitioned save is not complete; give all of its shards",
    });
  if (used.length > MOST_SLICES) throw refuse(`are ${used.length}, at most ${MOST_SLICES} are read`);
  const covered = used.reduce((n, box) => n + sizeOf(box.size), 0);
  if (covered !== sizeOf(region.size)) throw refuse(`have ${covered} of ${sizeOf(region.size)} values`);
  for (let i = 0; i < used.length; i++) {
    for (let j = 0; j < i; j++) if (overlap(used[i]!, used[j]!)) throw refuse("overlap");
  }
}

/** A slice's record, which is long enough for its values. */
async function recordOf(
  { name, dtype }: V1Tensor,
  { table, extents, box, file }: V1Slice,
): Promise<TableValue> {
  const value = await table.find(sliceKey(name, extents));
  if (value === undefined)
    throw new VarscopeError("DATA_LOSS", `the values at ${formatShape(box.start)} are missing`, {
      at: `${file}: ${name}`,
    });
  needValues(value, dtype, sizeOf(box.size), `${file}: ${name}`);
  return value;
}

async function readRegion(tensor: V1Tensor, region: Box, options: ReadOptions): Promise<Tensor> {
  const { name, dtype, slices } = tensor;
  const count = sizeOf(region.size);
  const used = slices.flatMap((slice) => {
    const common = slice.box.size.includes(0) ? null : intersect(slice.box, region);
    return common === null ? [] : [{ slice, common }];
  });
  needCovered(tensor, region, count === 0 ? [] : used.map(({ common }) => common));
  const records: TableValue[] = [];
  for (const { slice } of used) records.push(await recordOf(tensor, slice));
  const target = { dtype, shape: region.size, data: allocated(dtype, count, name) };
  const width = isComplex(dtype) ? 2 : 1;
  for (const [i, { slice }] of used.entries()) {
    const at = `${slice.file}: ${name}`;
    for await (const { box, data } of readSlice(records[i]!, dtype, slice.box.size, at)) {
      needRunning(options.signal, name);
      const placed = { start: box.start.map((s, axis) => s + slice.box.start[axis]!), size: box.size };
      const common = intersect(placed, region);
      if (common === null) continue;
      const run = sameShape(common.size, placed.size) ? runOf(region, common) : -1;
      if (run < 0 || !ArrayBuffer.isView(data)) copyRegion(data, placed, target.data, region, common, width);
      else (target.data as Float32Array).set(data as Float32Array, run * width);
    }
  }
  return target;
}

/** All values in order, without holding them where the slices are runs of rows; else the whole is read first. */
async function* streamOf(tensor: V1Tensor, options: ReadOptions): AsyncGenerator<Tensor> {
  const { name, dtype, shape } = tensor;
  const slices = [...tensor.slices].sort((a, b) => (a.box.start[0] ?? 0) - (b.box.start[0] ?? 0));
  const rows = shape.slice(1);
  if (sizeOf(shape) === 0 || slices.some(({ box }) => !sameShape(box.size.slice(1), rows))) {
    const whole = await readRegion(tensor, wholeBox(shape), options);
    yield { ...whole, shape: [sizeOf(shape)] };
    return;
  }
  needCovered(
    tensor,
    wholeBox(shape),
    slices.map((slice) => slice.box),
  );
  for (const slice of slices) {
    const at = `${slice.file}: ${name}`;
    for await (const { box, data } of readSlice(await recordOf(tensor, slice), dtype, slice.box.size, at)) {
      needRunning(options.signal, name);
      yield { dtype, shape: [sizeOf(box.size)], data };
    }
  }
}
