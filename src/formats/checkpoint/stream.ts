/**
 * @file Values of a checkpoint piece by piece, so that memory stays small, and boxes of them, so that no other bytes are read.
 * Start at `streamEntry`.
 */

import { crc32c, type Source } from "#platform";
import {
  type Box,
  bytesOf,
  copyRegion,
  DTYPES,
  intersect,
  overlap,
  runOf,
  sizeOf,
  type Tensor,
  wholeBox,
} from "../../base/index.ts";
import { allocated, needRunning, rowBoxes } from "../collection/index.ts";
import type { IndexEntry, Stored } from "./bundle.ts";
import { boxOfSlice } from "./slice.ts";
import {
  checkCrc,
  needCovered,
  needParts,
  type ReadOptions,
  readEntry,
  readRegion,
  type ShardOf,
} from "./values.ts";

/** Values that stand in one run in a data file, and the box of the tensor that they are. */
interface Run {
  readonly part: Stored;
  readonly box: Box;
  readonly source: Source;
  /** of what was streamed so far */
  crc: number;
}

/** Pieces that are read ahead of the one that is used. */
const AHEAD = 2;

/**
 * All values in row-major order, as tensors of rank 1 of at most 4 MiB; strings at once.
 *
 * @throws VarscopeError DATA_LOSS - a checksum is wrong: thrown in place of the last piece; and as `readEntry`
 */
export async function* streamEntry(
  entry: IndexEntry,
  shard: ShardOf,
  options: ReadOptions,
): AsyncGenerator<Tensor> {
  const { dtype } = entry;
  const count = sizeOf(entry.shape);
  if (dtype === "string" || count === 0) {
    yield { ...(await readEntry(entry, shard, options)), shape: [count] };
    return;
  }
  const shape = entry.parts.length === 0 ? [count] : entry.shape;
  const runs = await runsOf(entry, shape, wholeBox(shape), shard);
  // Boxes of rows go through each part in the part's own order, so its checksum grows as they pass.
  const boxes = rowBoxes(shape, DTYPES[dtype].bytes);
  const ahead: Promise<Piece>[] = [];
  const start = (): void => {
    const { value: box, done } = boxes.next();
    if (done) return;
    const read = readPiece(entry, box, runs);
    read.catch(() => {}); // its error is met when its turn comes
    ahead.push(read);
  };
  for (let i = 0; i <= AHEAD; i++) start();
  while (ahead.length > 0) {
    needRunning(options.signal);
    const { tensor, reads } = await ahead.shift()!;
    start();
    for (const { run, bytes } of reads) run.crc = crc32c(bytes, run.crc);
    if (ahead.length === 0)
      for (const run of runs) checkCrc({ ...entry, stored: run.part }, run.source, run.crc);
    yield { ...tensor, shape: [sizeOf(tensor.shape)] };
  }
}

/**
 * The values of a box; checksums are verified where all of a part is read.
 *
 * @throws VarscopeError as `readEntry`
 */
export async function readEntryBox(
  entry: IndexEntry,
  region: Box,
  shard: ShardOf,
  options: ReadOptions,
): Promise<Tensor> {
  const { dtype, shape, name } = entry;
  const count = sizeOf(region.size);
  if (dtype === "string" || count === 0 || count === sizeOf(shape))
    return readRegion(entry, region, shard, options);
  const runs = await runsOf(entry, shape, region, shard);
  const target = { dtype, shape: region.size, data: allocated(dtype, count, name) };
  for (const run of runs) {
    const common = intersect(run.box, region)!;
    if (sizeOf(common.size) === sizeOf(run.box.size)) {
      copyInto(target, region, await readRegion(entry, common, shard, options), common, common);
      continue;
    }
    // Rows that the box touches, some at a time, then the box of them.
    for (const rows of rowsOf(run.box, common, DTYPES[dtype].bytes)) {
      needRunning(options.signal);
      const from = await readRows(entry, run, rows);
      copyInto(target, region, from, rows, intersect(rows, common)!);
    }
  }
  return target;
}

/** The parts that have the values of a region, checked: they make it up, and their files have them. */
async function runsOf(
  entry: IndexEntry,
  shape: readonly number[],
  region: Box,
  shard: ShardOf,
): Promise<Run[]> {
  const all = entry.parts.map((part) => ({ part, box: boxOfSlice(shape, part.slice) }));
  const used = (all.length === 0 ? [{ part: entry as Stored, box: wholeBox(shape) }] : all).flatMap((run) => {
    const common = intersect(run.box, region);
    return common === null ? [] : [{ ...run, common }];
  });
  needCovered(entry, region, used);
  await needParts(
    entry,
    used.map(({ part }) => part),
    shard,
  );
  return Promise.all(
    used.map(async ({ part, box }) => ({ part, box, source: await shard(part.shard), crc: 0 })),
  );
}

interface Piece {
  readonly tensor: Tensor;
  /** bytes that were read from each part */
  readonly reads: readonly { readonly run: Run; readonly bytes: Uint8Array }[];
}

async function readPiece(entry: IndexEntry, box: Box, runs: readonly Run[]): Promise<Piece> {
  const used = runs.flatMap((run) => {
    const common = intersect(run.box, box);
    return common === null ? [] : [{ run, common }];
  });
  const parts = await Promise.all(
    used.map(async ({ run, common }) => ({ run, common, tensor: await readRows(entry, run, common) })),
  );
  const reads = parts.map(({ run, tensor }) => ({ run, bytes: bytesOf(tensor) }));
  if (parts.length === 1) return { tensor: parts[0]!.tensor, reads };
  const { dtype, name } = entry;
  const tensor = { dtype, shape: box.size, data: allocated(dtype, sizeOf(box.size), name) };
  for (const part of parts) copyInto(tensor, box, part.tensor, part.common, part.common);
  return { tensor, reads };
}

/** The values of a box that is one run of a part. */
async function readRows({ dtype, name }: IndexEntry, { part, box, source }: Run, rows: Box): Promise<Tensor> {
  const tensor = { dtype, shape: rows.size, data: allocated(dtype, sizeOf(rows.size), name) };
  await source.readInto(part.offset + runOf(box, rows) * DTYPES[dtype].bytes, bytesOf(tensor));
  return tensor;
}

/** Boxes that are runs of `part` and together hold `inner`. */
function* rowsOf(part: Box, inner: Box, width: number): Generator<Box> {
  if (runOf(part, inner) >= 0) {
    yield inner;
    return;
  }
  const size = [inner.size[0]!, ...part.size.slice(1)];
  const start = [inner.start[0]!, ...part.start.slice(1)];
  for (const box of rowBoxes(size, width)) {
    const placed = { start: box.start.map((s, axis) => s + start[axis]!), size: box.size };
    if (overlap(placed, inner)) yield placed;
  }
}

function copyInto(target: Tensor, to: Box, from: Tensor, at: Box, region: Box): void {
  copyRegion(from.data, at, target.data, to, region, DTYPES[target.dtype].kind === "complex" ? 2 : 1);
}
