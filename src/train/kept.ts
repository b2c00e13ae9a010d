/**
 * @file The checkpoints that a saver has written, and what becomes of the old ones. Start at `Kept`.
 *
 * @see TensorFlow python/training/saver.py "_RecordLastCheckpoint"; python/checkpoint/checkpoint_management.py "remove_checkpoint"
 */

import { basename, dirname, exists, joinPath, listDir, modifiedSeconds, remove } from "#platform";
import { isVarscopeError } from "../base/index.ts";
import { matchingFiles } from "../formats/checkpoint-v1/files.ts";
import type { SaverDef } from "../proto/meta-graph.gen.ts";
import { CheckpointFormat } from "./saver-nodes.ts";

interface Written {
  readonly prefix: string;
  /** since 1970 */
  readonly seconds: number;
}

/** What a saver remembers of its checkpoints. */
export class Kept {
  private readonly clock: () => number;
  private most = 0;
  private intervalSeconds = 0;
  private version = CheckpointFormat.V2 as number;
  /** oldest first */
  private last: Written[] = [];
  private old: Written[] = [];
  /** a checkpoint younger than this is the next to be preserved */
  private threshold = 0;

  /** @param clock - seconds since 1970 */
  constructor(clock: () => number) {
    this.clock = clock;
  }

  /** The saver's nodes are there: from now on its hours count. */
  start(def: SaverDef): void {
    this.most = def.maxToKeep;
    this.version = def.version;
    this.intervalSeconds = def.keepCheckpointEveryNHours * 3600;
    this.threshold = this.clock() + this.intervalSeconds;
  }

  prefixes(): string[] {
    return this.last.map((c) => c.prefix);
  }

  record(prefix: string): void {
    if (this.most === 0) return;
    this.last = [...this.last.filter((c) => c.prefix !== prefix), { prefix, seconds: this.clock() }];
    if (this.last.length > this.most) this.old.push(this.last.shift()!);
  }

  /** @param seconds - when each was written; by default never to be deleted without being preserved, as in TensorFlow */
  set(prefixes: readonly string[], seconds?: readonly number[]): void {
    this.last = prefixes.map((prefix, i) => ({ prefix, seconds: seconds?.[i] ?? Number.POSITIVE_INFINITY }));
  }

  async recover(prefixes: readonly string[]): Promise<void> {
    const found: Written[] = [];
    for (const prefix of prefixes) {
      const seconds = await writtenSeconds(prefix);
      if (seconds !== null) found.push({ prefix, seconds });
    }
    this.last = found;
  }

  /** Deletes the oldest beyond the limit, or preserves it where its time has come. */
  async removeOld(suffix: string): Promise<void> {
    const next = this.old.shift();
    if (next === undefined) return;
    if (next.seconds > this.threshold) {
      this.threshold += this.intervalSeconds;
      return;
    }
    await removeCheckpoint(next.prefix, { writeVersion: this.version, metaGraphSuffix: suffix });
  }
}

/** When a checkpoint was written; null where it is gone. */
async function writtenSeconds(prefix: string): Promise<number | null> {
  const index = `${prefix}.index`;
  if (await exists(index)) return modifiedSeconds(index);
  const [first] = await v1Files(prefix);
  return first === undefined ? null : modifiedSeconds(first);
}

async function v1Files(prefix: string): Promise<string[]> {
  try {
    return await matchingFiles(prefix);
  } catch (e) {
    if (isVarscopeError(e)) return [];
    throw e;
  }
}

/** `model-7.meta`; of a shard's name or V1's pattern, without the shard. */
export const metaGraphFilename = (checkpoint: string, suffix = "meta"): string =>
  `${checkpoint.replace(/-[\d?]+-of-\d+$/, "")}.${suffix}`;

export interface RemoveOptions {
  /** of the files: 2 */
  readonly writeVersion?: number;
  /** "meta" */
  readonly metaGraphSuffix?: string;
}

/** Deletes the files of a checkpoint: `.meta`, and `.index` and all shards, or those of V1. Files that are gone already are no error. */
export async function removeCheckpoint(prefix: string, options: RemoveOptions = {}): Promise<void> {
  const { writeVersion = CheckpointFormat.V2, metaGraphSuffix } = options;
  const folder = dirname(prefix);
  const name = basename(prefix);
  const meta = basename(metaGraphFilename(prefix, metaGraphSuffix));
  const shard = /^\.data-.{5}-of-.{5}$/;
  const mine = (file: string): boolean =>
    file === meta ||
    (writeVersion === CheckpointFormat.V2 &&
      (file === `${name}.index` || (file.startsWith(name) && shard.test(file.slice(name.length)))));
  const files = (await listDir(folder)).filter(mine);
  // the index first: without one nobody takes the rest for a checkpoint, should we be stopped halfway
  files.sort((a, b) => Number(b.endsWith(".index")) - Number(a.endsWith(".index")));
  const paths = files.map((file) => joinPath(folder, file));
  if (writeVersion === CheckpointFormat.V1) paths.push(...(await v1Files(prefix)));
  for (const path of paths) await remove(path);
}
