/** @file What a damaged checkpoint still has. Start at `salvageBundle`. */

import { basename, dirname, diskFiles, type Files } from "#platform";
import { isVarscopeError, VarscopeError } from "../../base/index.ts";
import { type Damage, scanTable } from "../../wire/index.ts";
import { type BundleIndex, type IndexEntry, nameOfKey, readHeader, readRecords } from "./bundle.ts";
import { type Bundle, openBundle, sourcesOf } from "./open.ts";
import { streamEntry } from "./stream.ts";
import type { ReadOptions } from "./values.ts";

/** A tensor that is lost. */
export interface LostTensor {
  readonly name: string;
  readonly why: string;
}

/** A checkpoint with the tensors that are intact. */
export interface Salvaged extends Bundle {
  readonly lost: readonly LostTensor[];
  /** what is damaged in the index, a sentence each */
  readonly damages: readonly string[];
}

/**
 * Opens a damaged checkpoint and reads all of it: what is left in its index are the tensors whose records and checksums are right.
 *
 * @throws VarscopeError NOT_FOUND - there is no index; DATA_LOSS - no block of it is whole; CANCELLED - aborted
 */
export async function salvageBundle(
  prefix: string,
  files: Files = diskFiles,
  options: ReadOptions & { onProgress?(bytes: number, all: number): void } = {},
): Promise<Salvaged> {
  const { lost, damages, ...bundle } = await openDamaged(prefix, files);
  const intact: IndexEntry[] = [];
  const all = bundle.index.entries.reduce((n, entry) => n + entry.bytes, 0);
  let done = 0;
  try {
    for (const entry of bundle.index.entries) {
      const why = await faultOf(entry, bundle, options);
      if (why === null) intact.push(entry);
      else lost.push({ name: entry.name, why });
      done += entry.bytes;
      options.onProgress?.(done, all);
    }
  } catch (e) {
    await bundle.close();
    throw e;
  }
  return { ...bundle, index: { ...bundle.index, entries: intact }, lost, damages };
}

/** What is wrong with a tensor's values; null where nothing is. */
async function faultOf(entry: IndexEntry, { shard }: Bundle, options: ReadOptions): Promise<string | null> {
  try {
    for await (const _ of streamEntry(entry, shard, options));
    return null;
  } catch (e) {
    if (!isVarscopeError(e) || e.code === "CANCELLED") throw e;
    return reasonOf(e);
  }
}

/** The sentence of an error, without its advice. */
const reasonOf = (e: VarscopeError): string => (e.at === undefined ? e.what : `${e.what} (${e.at})`);

interface Damaged extends Bundle {
  readonly lost: LostTensor[];
  readonly damages: readonly string[];
}

async function openDamaged(prefix: string, files: Files): Promise<Damaged> {
  const sources = await sourcesOf(prefix, files);
  try {
    return { ...(await openBundle(sources)), lost: [], damages: [] };
  } catch (e) {
    if (!isVarscopeError(e, "DATA_LOSS")) throw e;
  }
  const { index: source } = await sourcesOf(prefix, files);
  try {
    const file = source.name;
    const scanned = scanTable(await source.read(0, await source.size()), file);
    if (scanned.entries.length === 0)
      throw new VarscopeError("DATA_LOSS", "no block of the index is whole, so no names are left", {
        at: file,
        hint: "look for another copy of it",
      });
    const lost: LostTensor[] = [];
    const [first, ...rest] = scanned.entries;
    const hasHeader = first!.key.length === 0;
    const shards = hasHeader ? readHeader(first!.value, file) : await shardsThere(prefix, files);
    const index = readRecords(hasHeader ? rest : scanned.entries, shards, file, (name, e) => {
      if (!isVarscopeError(e)) throw e;
      lost.push({ name, why: reasonOf(e) });
    });
    const damages = scanned.damages.map(
      (d) => `${d.end - d.start} bytes of the index at ${d.start} are damaged`,
    );
    if (scanned.rebuilt) damages.unshift("the footer or the index of the index's blocks is lost");
    lost.push(...namesLost(scanned.damages, lost, index));
    return { ...(await openBundle(sources, index)), lost, damages };
  } finally {
    await source.close();
  }
}

/** Tensors that can be made out in damaged blocks. */
function namesLost(
  damages: readonly Damage[],
  known: readonly LostTensor[],
  index: BundleIndex,
): LostTensor[] {
  const seen = new Set([...known.map(({ name }) => name), ...index.entries.map(({ name }) => name)]);
  return damages.flatMap(({ start, keys }) =>
    keys.flatMap((key) => {
      const name = nameOfKey(key);
      if (name === "" || seen.size === seen.add(name).size) return [];
      return [{ name, why: `its record stands in a damaged block of the index, at byte ${start}` }];
    }),
  );
}

/** Number of shards by the names of the data files, where the header is lost. */
async function shardsThere(prefix: string, files: Files): Promise<number> {
  const start = `${basename(prefix)}.data-`;
  for (const name of await files.list(dirname(prefix)).catch(() => [])) {
    const match = name.startsWith(start) ? /^\d{5}-of-(\d{5})$/.exec(name.slice(start.length)) : null;
    if (match !== null) return Number(match[1]);
  }
  return 1;
}
