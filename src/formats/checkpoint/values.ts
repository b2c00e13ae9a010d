/** @file Values of a checkpoint: from an index entry to a tensor, checksums verified. Start at `readEntry`. */

import { crc32c, type Source } from "#platform";
import {
  type Box,
  bytesOf,
  copyRegion,
  DTYPES,
  type DType,
  formatShape,
  fromData,
  intersect,
  maskCrc,
  overlap,
  runOf,
  sizeOf,
  type Tensor,
  unmaskCrc,
  VarscopeError,
  wholeBox,
} from "../../base/index.ts";
import { allocated, needRunning } from "../collection/index.ts";
import type { IndexEntry, Stored } from "./bundle.ts";
import { boxOfSlice } from "./slice.ts";
import { readStrings } from "./strings.ts";

/** The source of a shard's file. */
export type ShardOf = (shard: number) => Promise<Source>;

export interface ReadOptions {
  readonly signal?: AbortSignal;
}

/** What an entry's values are, and where. */
interface Item {
  readonly name: string;
  readonly dtype: DType;
  readonly count: number;
  readonly stored: Stored;
}

const isPartitioned = (entry: IndexEntry): boolean => entry.parts.length > 0;

/** A whole tensor. */
export async function readEntry(entry: IndexEntry, shard: ShardOf, options: ReadOptions): Promise<Tensor> {
  if (isPartitioned(entry)) return readRegion(entry, wholeBox(entry.shape), shard, options);
  const { name, dtype, shape } = entry;
  const item = { name, dtype, count: sizeOf(shape), stored: entry };
  if (dtype === "string") return fromData(dtype, shape, await readStringItem(item, shard, options));
  await needStored(item, shard);
  const tensor = { dtype, shape, data: allocated(dtype, item.count, name) };
  await readBytes(item, bytesOf(tensor), shard, options);
  return tensor;
}

/** Checks that the file has the values, before memory is taken for them. */
async function needStored({ name, stored }: Item, shard: ShardOf): Promise<Source> {
  const source = await shard(stored.shard);
  const size = await source.size().catch((cause: unknown) => {
    throw cause instanceof VarscopeError && cause.code === "NOT_FOUND"
      ? new VarscopeError("NOT_FOUND", `the data file of "${name}" is missing`, {
          at: source.name,
          hint: "copy it beside the .index; both are the checkpoint",
          cause,
        })
      : cause;
  });
  if (stored.offset + stored.bytes > size) {
    throw new VarscopeError(
      "DATA_LOSS",
      `"${name}" takes ${stored.bytes} bytes, the file has ${Math.max(0, size - stored.offset)} of them`,
      { at: `${source.name}@${stored.offset}`, hint: "the data file is cut short; copy it again" },
    );
  }
  return source;
}

/** One read; checksums of one run while the next is read. */
const CHUNK_BYTES = 4 << 20;
/** Reads under way for one tensor. */
const WINDOW = 4;

async function readBytes(
  item: Item,
  target: Uint8Array,
  shard: ShardOf,
  options: ReadOptions,
): Promise<void> {
  const source = await needStored(item, shard);
  const chunks = Math.ceil(target.length / CHUNK_BYTES);
  const chunk = (i: number): Uint8Array => target.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES);
  const reads: Promise<void>[] = [];
  const start = (i: number): void => {
    if (i >= chunks) return;
    const read = source.readInto(item.stored.offset + i * CHUNK_BYTES, chunk(i));
    read.catch(() => {}); // its error is met when its turn comes
    reads.push(read);
  };
  for (let i = 0; i < WINDOW; i++) start(i);
  let crc = 0;
  for (let i = 0; i < chunks; i++) {
    needRunning(options.signal);
    await reads[i];
    start(i + WINDOW);
    crc = crc32c(chunk(i), crc);
  }
  checkCrc(item, source, crc);
}

/** Compares the checksum of an entry with that of its bytes. @throws VarscopeError DATA_LOSS - they differ */
export function checkCrc({ name, stored }: Pick<Item, "name" | "stored">, source: Source, crc: number): void {
  if (maskCrc(crc) === stored.crc) return;
  throw new VarscopeError(
    "DATA_LOSS",
    `Checksum does not match: stored ${unmaskCrc(stored.crc)} vs. calculated on the restored bytes ${crc}, in the ${stored.bytes} bytes of "${name}"`,
    { at: `${source.name}@${stored.offset}`, hint: "the data file is damaged; copy it again" },
  );
}

async function readStringItem(
  item: Item,
  shard: ShardOf,
  options: ReadOptions,
): Promise<readonly Uint8Array[]> {
  const source = await needStored(item, shard);
  needRunning(options.signal);
  const stored = await source.read(item.stored.offset, item.stored.bytes);
  return decodeStrings(item, source, stored);
}

function decodeStrings(item: Item, source: Source, stored: Uint8Array): readonly Uint8Array[] {
  const { elements, crc } = readStrings(
    stored,
    item.count,
    item.name,
    `${source.name}@${item.stored.offset}`,
  );
  checkCrc(item, source, crc);
  return elements;
}

/** The values of `region`, gathered from the parts that have them. */
export async function readRegion(
  entry: IndexEntry,
  region: Box,
  shard: ShardOf,
  options: ReadOptions,
): Promise<Tensor> {
  const { name, dtype, shape } = entry;
  const whole = { ...entry, slice: shape.map(() => ({ start: 0, length: null })) };
  const parts = (isPartitioned(entry) ? entry.parts : [whole]).map((part) => ({
    part,
    box: boxOfSlice(shape, part.slice),
  }));
  const used = parts.flatMap(({ part, box }) => {
    const common = intersect(box, region);
    return common === null ? [] : [{ part, box, common }];
  });
  needCovered(entry, region, used);
  await needParts(
    entry,
    used.map(({ part }) => part),
    shard,
  );
  const target = { dtype, shape: region.size, data: allocated(dtype, sizeOf(region.size), name) };
  const width = DTYPES[dtype].kind === "complex" ? 2 : 1;
  for (const { part, box, common } of used) {
    const item = { name, dtype, count: sizeOf(box.size), stored: part };
    const run = runOf(region, common);
    if (dtype !== "string" && run >= 0 && sizeOf(common.size) === item.count) {
      const start = run * DTYPES[dtype].bytes; // the part is one run of the target: read it there
      await readBytes(item, bytesOf(target).subarray(start, start + part.bytes), shard, options);
    } else {
      const data = await readPart(item, shard, options);
      copyRegion(data, box, target.data, region, common, width);
    }
  }
  return target;
}

async function readPart(item: Item, shard: ShardOf, options: ReadOptions): Promise<Tensor["data"]> {
  if (item.dtype === "string") return readStringItem(item, shard, options);
  const tensor = {
    dtype: item.dtype,
    shape: [item.count],
    data: allocated(item.dtype, item.count, item.name),
  };
  await readBytes(item, bytesOf(tensor), shard, options);
  return tensor.data;
}

/** Each is compared with each: far beyond any partitioning. */
export const MAX_PARTS = 10_000;

/** Checks that disjoint parts make up the region. */
export function needCovered(entry: IndexEntry, region: Box, used: readonly { readonly common: Box }[]): void {
  const refuse = (what: string): VarscopeError =>
    new VarscopeError("DATA_LOSS", `the parts of ${formatShape(entry.shape)} ${what}`, {
      at: entry.name,
      hint: "a partitioned save is not complete; merge all of its shards",
    });
  if (used.length > MAX_PARTS) throw refuse(`are ${used.length}, at most ${MAX_PARTS} are read`);
  const covered = used.reduce((n, { common }) => n + sizeOf(common.size), 0);
  if (covered !== sizeOf(region.size)) throw refuse(`have ${covered} of ${sizeOf(region.size)} values`);
  for (let i = 0; i < used.length; i++) {
    for (let j = 0; j < i; j++) if (overlap(used[i]!.common, used[j]!.common)) throw refuse("overlap");
  }
}

/** Checks that the files have all parts, and that no bytes are claimed twice. */
export async function needParts(entry: IndexEntry, parts: readonly Stored[], shard: ShardOf): Promise<void> {
  const claimed = new Map<number, number>();
  for (const part of parts) {
    const source = await needStored({ ...entry, count: 0, stored: part }, shard);
    const bytes = (claimed.get(part.shard) ?? 0) + part.bytes;
    claimed.set(part.shard, bytes);
    if (bytes <= (await source.size())) continue;
    throw new VarscopeError(
      "DATA_LOSS",
      `the parts of "${entry.name}" are more than the file's ${await source.size()} bytes`,
      {
        at: source.name,
      },
    );
  }
}

/** Tensors this small that lie together are read together and copied apart: a read costs as much as to copy this. */
const SMALL_BYTES = 128 << 10;
/** Bytes of such a read, at most. */
const GROUP_BYTES = 4 << 20;
/** Tensors, or groups of small ones, that are read at once. */
const READERS = 2;

/** Tensors in the order of `entries`; small ones that lie together are read together. */
export async function readAll(
  entries: readonly IndexEntry[],
  shard: ShardOf,
  options: ReadOptions,
): Promise<Tensor[]> {
  const out = new Array<Tensor>(entries.length);
  const jobs = grouped(entries);
  let next = 0;
  const reader = async (): Promise<void> => {
    while (next < jobs.length) {
      needRunning(options.signal);
      const job = jobs[next++]!;
      const tensors = await readGroup(
        job.map((i) => entries[i]!),
        shard,
        options,
      );
      tensors.forEach((tensor, i) => {
        out[job[i]!] = tensor;
      });
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  return out;
}

/** Indices of entries, in runs that lie near each other in one shard. */
function grouped(entries: readonly IndexEntry[]): number[][] {
  const order = entries.map((_, i) => i);
  order.sort((a, b) => entries[a]!.shard - entries[b]!.shard || entries[a]!.offset - entries[b]!.offset);
  const groups: number[][] = [];
  let end = -1;
  let first: IndexEntry | undefined;
  for (const i of order) {
    const entry = entries[i]!;
    const joins =
      first !== undefined &&
      !isPartitioned(entry) &&
      !isPartitioned(first) &&
      entry.shard === first.shard &&
      entry.offset === end &&
      Math.max(entry.bytes, first.bytes) <= SMALL_BYTES &&
      entry.offset + entry.bytes - first.offset <= GROUP_BYTES;
    if (joins) groups.at(-1)!.push(i);
    else {
      groups.push([i]);
      first = entry;
    }
    end = entry.offset + entry.bytes;
  }
  return groups;
}

async function readGroup(
  entries: readonly IndexEntry[],
  shard: ShardOf,
  options: ReadOptions,
): Promise<Tensor[]> {
  const [first, last] = [entries[0]!, entries.at(-1)!];
  if (entries.length === 1) return [await readEntry(first, shard, options)];
  for (const { name, dtype, ...stored } of entries)
    await needStored({ name, dtype, count: 0, stored }, shard);
  const source = await shard(first.shard);
  const bytes = await source.read(first.offset, last.offset + last.bytes - first.offset);
  return entries.map((entry) => {
    const { name, dtype, shape } = entry;
    const item = { name, dtype, count: sizeOf(shape), stored: entry };
    const stored = bytes.subarray(entry.offset - first.offset, entry.offset - first.offset + entry.bytes);
    if (dtype === "string") return fromData(dtype, shape, decodeStrings(item, source, stored.slice()));
    checkCrc(item, source, crc32c(stored));
    const tensor = { dtype, shape, data: allocated(dtype, item.count, name) };
    bytesOf(tensor).set(stored);
    return tensor;
  });
}
