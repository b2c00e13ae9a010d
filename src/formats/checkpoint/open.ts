/** @file Reading a V2 checkpoint: the index at once, a tensor when it is asked for. Start at `openCheckpoint`. */

import { diskFiles, type Files, type Source } from "#platform";
import { type Box, type DType, formatShape, type Tensor, VarscopeError } from "../../base/index.ts";
import { type BundleIndex, type IndexEntry, readIndex } from "./bundle.ts";
import { dataFile, indexFile, locateCheckpoint, pendingFile } from "./files.ts";
import { boxOfSlice, parseSliceSpec, type TensorSlice } from "./slice.ts";
import { type ReadOptions, readAll, readEntry, readRegion, type ShardOf } from "./values.ts";

/** A tensor of a checkpoint, without its values. */
export interface CheckpointEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** bytes of its values in the file */
  readonly bytes: number;
  /** parts of a partitioned tensor, none of a whole one */
  readonly slices: readonly TensorSlice[];
}

/** An open V2 checkpoint. */
export interface Checkpoint {
  readonly prefix: string;
  /** by name, sorted bytewise; a partitioned tensor once, whole */
  readonly entries: ReadonlyMap<string, CheckpointEntry>;
  /** sorted bytewise */
  names(): string[];
  has(name: string): boolean;
  /**
   * A tensor, its checksum verified.
   *
   * @throws VarscopeError NOT_FOUND - no such tensor, or its shard is missing; DATA_LOSS - damaged; CANCELLED - aborted
   */
  read(name: string, options?: ReadOptions): Promise<Tensor>;
  /**
   * A part of a tensor.
   *
   * @param spec - `'10 4 2,5:1,2'`: full shape, then start,length or - for each dimension; '' is the whole
   * @throws VarscopeError INVALID_ARGUMENT - spec of another shape; and as `read`
   */
  readSlice(name: string, spec: string, options?: ReadOptions): Promise<Tensor>;
  /** Tensors, in the order of `names`, read in parallel. @throws VarscopeError as `read` */
  readMany(names: readonly string[], options?: ReadOptions): Promise<Tensor[]>;
  /** Closes its files. */
  close(): Promise<void>;
}

/** Where the bytes of a checkpoint come from, if not from files. */
export interface CheckpointSources {
  readonly index: Source;
  shard(shard: number, shards: number): Source | Promise<Source>;
}

/**
 * Opens the checkpoint that `path` means: a prefix, one of its files, a state file, or a folder (then the latest).
 *
 * @param files - where its files are looked up
 * @throws VarscopeError NOT_FOUND - there is none; DATA_LOSS - the index is damaged; UNIMPLEMENTED - V1 format
 */
export async function openCheckpoint(path: string, files: Files = diskFiles): Promise<Checkpoint> {
  const prefix = await locateCheckpoint(path, files);
  return openCheckpointFrom(prefix, await sourcesOf(prefix, files));
}

/** Opens a checkpoint over any sources: bytes, Blobs, HTTP ranges. @throws VarscopeError DATA_LOSS - the index is damaged */
export const openCheckpointFrom = async (prefix: string, sources: CheckpointSources): Promise<Checkpoint> =>
  checkpointOf(prefix, await openBundle(sources));

/** The sources of a prefix, those of a save that is pending first. */
export async function sourcesOf(prefix: string, files: Files): Promise<CheckpointSources> {
  const pending = pendingFile(indexFile(prefix));
  const isPending = await files.exists(pending);
  const shard = async (i: number, n: number): Promise<Source> => {
    const file = dataFile(prefix, i, n);
    return files.source(isPending && (await files.exists(pendingFile(file))) ? pendingFile(file) : file);
  };
  return { index: files.source(isPending ? pending : indexFile(prefix)), shard };
}

/** A checkpoint whose index is read, and whose shards open when they are needed. */
export interface Bundle {
  readonly index: BundleIndex;
  readonly shard: ShardOf;
  close(): Promise<void>;
}

/** Reads the index, if it is not known. @throws VarscopeError DATA_LOSS - it is damaged */
export async function openBundle(sources: CheckpointSources, known?: BundleIndex): Promise<Bundle> {
  const index = known ?? (await indexOf(sources.index));
  const shards = new Map<number, Promise<Source>>();
  const shard: ShardOf = (i) => {
    const open = shards.get(i) ?? Promise.resolve(sources.shard(i, index.shards));
    shards.set(i, open);
    return open;
  };
  const close = async (): Promise<void> => {
    const open = await Promise.allSettled(shards.values());
    await Promise.all(open.map((s) => (s.status === "fulfilled" ? s.value.close() : undefined)));
  };
  return { index, shard, close };
}

async function indexOf(source: Source): Promise<BundleIndex> {
  try {
    return readIndex(await source.read(0, await source.size()), source.name);
  } finally {
    await source.close();
  }
}

function checkpointOf(prefix: string, { index, shard, close }: Bundle): Checkpoint {
  const byName = new Map(index.entries.map((entry) => [entry.name, entry]));
  const entry = (name: string): IndexEntry => {
    const found = byName.get(name);
    if (found === undefined) throw missing(name, prefix, byName.keys());
    return found;
  };
  const read = (name: string, options: ReadOptions = {}): Promise<Tensor> =>
    readEntry(entry(name), shard, options);
  return {
    prefix,
    entries: new Map(index.entries.map((e) => [e.name, summary(e)])),
    names: () => [...byName.keys()],
    has: (name) => byName.has(name),
    read: async (name, options) => read(name, options),
    readSlice: async (name, spec, options = {}) =>
      spec === "" ? read(name, options) : readRegion(entry(name), boxOf(entry(name), spec), shard, options),
    readMany: async (names, options = {}) => readAll(names.map(entry), shard, options),
    close,
  };
}

const summary = ({ dtype, shape, bytes, parts }: IndexEntry): CheckpointEntry => ({
  dtype,
  shape,
  bytes,
  slices: parts.map((part) => part.slice),
});

function missing(name: string, prefix: string, names: Iterable<string>): VarscopeError {
  const last = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
  const near = [...names].filter((other) => last(other) === last(name) || `${other}:0` === name).slice(0, 3);
  return new VarscopeError("NOT_FOUND", `Key ${name} not found in checkpoint`, {
    at: prefix,
    ...(near.length > 0 ? { hint: `it has ${near.join(", ")}` } : {}),
  });
}

function boxOf(entry: IndexEntry, spec: string): Box {
  const { fullShape, slice } = parseSliceSpec(spec);
  if (formatShape(fullShape) !== formatShape(entry.shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `shape in shape_and_slice spec ${formatShape(fullShape)} does not match the shape stored in checkpoint: ${formatShape(entry.shape)}`,
      { at: entry.name },
    );
  }
  return boxOfSlice(entry.shape, slice);
}
