/** @file Joining sharded saves into one checkpoint, as MergeV2Checkpoints does. Start at `mergeCheckpoints`. */

import { dirname, makeDir, readFile, remove, removeDir, rename, stageFile } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { type BundleIndex, type IndexEntry, readIndex, writeIndex } from "./bundle.ts";
import { dataFile, indexFile } from "./files.ts";

/** The merged index, and the data file of each of its shards. */
export interface MergePlan {
  readonly index: BundleIndex;
  /** present path of each shard, by its new number */
  readonly sources: readonly string[];
}

/**
 * What the checkpoints of `prefixes` are together: shards in order of first use, parts of a partitioned tensor joined.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a whole tensor is in two of them
 * @see TensorFlow core/util/tensor_bundle/tensor_bundle.cc MergeOneBundle
 */
export function planMerge(
  bundles: readonly { readonly prefix: string; readonly index: BundleIndex }[],
): MergePlan {
  const shardIds = new Map<string, number>();
  const merged = new Map<string, IndexEntry>();
  for (const { prefix, index } of bundles) {
    const renumbered = (shard: number): number => {
      const file = dataFile(prefix, shard, index.shards);
      const id = shardIds.get(file) ?? shardIds.size;
      shardIds.set(file, id);
      return id;
    };
    for (const entry of byKey(index.entries)) {
      const old = merged.get(entry.name);
      if (old === undefined) {
        const parts = entry.parts.map((part) => ({ ...part, shard: renumbered(part.shard) }));
        merged.set(entry.name, { ...entry, shard: renumbered(entry.shard), parts });
        continue;
      }
      if (old.parts.length === 0 || entry.parts.length === 0) {
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `Duplicate tensor keyed by ${entry.name} encountered, when merging prefix: ${prefix}`,
        );
      }
      const parts = entry.parts.map((part) => ({ ...part, shard: renumbered(part.shard) }));
      merged.set(entry.name, { ...old, parts: [...old.parts, ...parts] });
    }
  }
  return { index: { shards: shardIds.size, entries: [...merged.values()] }, sources: [...shardIds.keys()] };
}

/** Partitioned tensors first: the keys of their parts sort before all names, and shards are numbered in order of keys. */
const byKey = (entries: readonly IndexEntry[]): IndexEntry[] => [
  ...entries.filter((entry) => entry.parts.length > 0),
  ...entries.filter((entry) => entry.parts.length === 0),
];

/**
 * Joins checkpoints into `destination`: data files are moved, the index is written last, the old indexes are removed.
 *
 * @param deleteOld - remove the old folders too, where they are empty then
 * @throws VarscopeError INVALID_ARGUMENT - a whole tensor is in two of them; NOT_FOUND - one of them is missing
 */
export async function mergeCheckpoints(
  prefixes: readonly string[],
  destination: string,
  deleteOld = true,
): Promise<void> {
  const bundles = [];
  for (const prefix of prefixes) {
    bundles.push({ prefix, index: readIndex(await readFile(indexFile(prefix)), indexFile(prefix)) });
  }
  const { index, sources } = planMerge(bundles);
  await makeDir(dirname(destination));
  const staged = await stageFile(indexFile(destination), [writeIndex(index)]);
  try {
    for (const [shard, file] of sources.entries())
      await rename(file, dataFile(destination, shard, index.shards));
    await staged.commit();
  } catch (e) {
    await staged.discard();
    throw e;
  }
  for (const prefix of prefixes) if (prefix !== destination) await remove(indexFile(prefix));
  if (!deleteOld) return;
  const folders = new Set(prefixes.map(dirname));
  folders.delete(dirname(destination));
  for (const folder of folders) await removeDir(folder).catch(() => {}); // not empty: something else lives there
}
