/** @file Writing V2 checkpoints, byte for byte as TensorFlow's SaveV2. Start at `saveCheckpoint`. */

import { type Chunks, crc32c, type Staged, stageFile } from "#platform";
import {
  bytesOf,
  DTYPES,
  formatShape,
  isVarscopeError,
  maskCrc,
  sameShape,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { type IndexEntry, type Part, type Stored, writeIndex } from "./bundle.ts";
import { dataFile, indexFile } from "./files.ts";
import { publish } from "./publish.ts";
import { formatSliceSpec, isWhole, parseSliceSpec, sliceShape, type TensorSlice } from "./slice.ts";
import { writeStrings } from "./strings.ts";

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

/** The records of one save, as they come to be. */
interface Bundle {
  readonly entries: Map<string, Draft>;
}

type Draft = IndexEntry & { readonly parts: Part[] };

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
  const { shards = 1, ...write } = options;
  if (!Number.isInteger(shards) || shards < 1 || shards > 99_999) {
    throw new VarscopeError("INVALID_ARGUMENT", `${shards} shards; 1 to 99999 are possible`, { at: prefix });
  }
  const bundle: Bundle = { entries: new Map() };
  const staged: Staged[] = [];
  try {
    const groups = shards === 1 ? [tensors] : spread(await collected(tensors), shards);
    for (const [shard, group] of groups.entries()) {
      staged.push(await stageFile(dataFile(prefix, shard, shards), dataChunks(bundle, group, shard), write));
    }
    const index = writeIndex({ shards, entries: [...bundle.entries.values()] });
    staged.push(await stageFile(indexFile(prefix), [index], write));
    await publish(prefix, staged);
  } catch (e) {
    await Promise.allSettled(staged.map((file) => file.discard()));
    if (isVarscopeError(e, "NOT_FOUND")) {
      throw new VarscopeError("NOT_FOUND", `Parent directory of ${prefix} doesn't exist, can't save.`, {
        cause: e,
      });
    }
    throw e;
  }
}

async function collected(
  tensors: Iterable<NamedTensor> | AsyncIterable<NamedTensor>,
): Promise<NamedTensor[]> {
  const all: NamedTensor[] = [];
  for await (const tensor of tensors) all.push(tensor);
  return all;
}

/** Runs of tensors of about equal bytes. */
function spread(tensors: readonly NamedTensor[], shards: number): NamedTensor[][] {
  const sizes = tensors.map(({ tensor }) => Math.max(1, tensor.data.length * DTYPES[tensor.dtype].bytes));
  const total = sizes.reduce((n, size) => n + size, 0);
  const groups = Array.from({ length: shards }, (): NamedTensor[] => []);
  let before = 0;
  tensors.forEach((tensor, i) => {
    // The shard that holds the middle of this tensor, if all were one row of bytes.
    const shard = Math.floor(((before + sizes[i]! / 2) / total) * shards);
    groups[Math.min(shard, shards - 1)]!.push(tensor);
    before += sizes[i]!;
  });
  return groups;
}

/** Checksums run over this much, then it is written while the next is summed. */
const CHUNK_BYTES = 4 << 20;

/** The bytes of a data file; enters each tensor into the bundle as it passes. */
async function* dataChunks(
  bundle: Bundle,
  tensors: Iterable<NamedTensor> | AsyncIterable<NamedTensor>,
  shard: number,
): Chunks & AsyncGenerator<Uint8Array> {
  let offset = 0;
  for await (const item of tensors) {
    const enter = prepared(bundle, item, shard);
    const { tensor } = item;
    if (tensor.dtype === "string") {
      const stored = writeStrings(tensor.data as readonly Uint8Array[]);
      enter({ shard, offset, bytes: stored.bytes, crc: maskCrc(stored.crc) });
      yield* stored.chunks;
      offset += stored.bytes;
      continue;
    }
    const bytes = bytesOf(tensor);
    let crc = 0;
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
      const chunk = bytes.subarray(start, start + CHUNK_BYTES);
      crc = crc32c(chunk, crc);
      yield chunk;
    }
    enter({ shard, offset, bytes: bytes.length, crc: maskCrc(crc) });
    offset += bytes.length;
  }
}

/** Checks a tensor; the function enters it, once its place is known. */
function prepared(
  bundle: Bundle,
  { name, tensor, slice: spec = "" }: NamedTensor,
  shard: number,
): (stored: Stored) => void {
  const { dtype, shape } = tensor;
  if (name === "" || name.startsWith("\0")) {
    throw new VarscopeError("INVALID_ARGUMENT", `tensor name ${JSON.stringify(name)} cannot be a key`, {
      hint: "give each tensor a name of one character at least",
    });
  }
  if (dtype !== "string" && DTYPES[dtype].bytes === 0) {
    throw new VarscopeError("INVALID_ARGUMENT", `a ${dtype} tensor has no values to save`, { at: name });
  }
  const old = bundle.entries.get(name);
  const twice = new VarscopeError("INVALID_ARGUMENT", `Adding duplicate key: ${name}`);
  const part = spec === "" ? undefined : parseSliceSpec(spec);
  if (part === undefined || isWhole(part.fullShape, part.slice)) {
    if (part !== undefined) needShape(name, shape, part.fullShape, spec);
    if (old !== undefined) throw twice;
    return (stored) => bundle.entries.set(name, { name, dtype, shape, ...stored, parts: [] });
  }
  needShape(name, shape, sliceShape(part.fullShape, part.slice), spec);
  if (old !== undefined) needPartOf(old, tensor, part.fullShape, part.slice, twice);
  const parent = old ?? {
    name,
    dtype,
    shape: part.fullShape,
    shard: 0,
    offset: 0,
    bytes: 0,
    crc: 0,
    parts: [],
  };
  bundle.entries.set(name, parent);
  return (stored) => parent.parts.push({ ...stored, shard, slice: part.slice });
}

function needShape(name: string, found: readonly number[], want: readonly number[], spec: string): void {
  if (sameShape(found, want)) return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `slice '${spec}' has shape ${formatShape(want)}, the tensor ${formatShape(found)}`,
    {
      at: name,
    },
  );
}

function needPartOf(
  old: Draft,
  tensor: Tensor,
  fullShape: readonly number[],
  slice: TensorSlice,
  twice: VarscopeError,
): void {
  if (old.parts.length === 0) throw twice;
  if (old.dtype !== tensor.dtype || !sameShape(old.shape, fullShape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `a part of ${tensor.dtype} ${formatShape(fullShape)}, those before it are of ${old.dtype} ${formatShape(old.shape)}`,
      { at: old.name },
    );
  }
  const spec = (s: TensorSlice): string => formatSliceSpec({ fullShape, slice: s });
  if (old.parts.some((part) => spec(part.slice) === spec(slice))) throw twice;
}
