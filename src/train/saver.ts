/**
 * @file Saver: checkpoints of a graph's variables, the state file beside them, and how many of them are kept. Its nodes are in
 * saver-nodes.ts. Start at `saver`.
 *
 * @see TensorFlow python/training/saver.py; python/checkpoint/checkpoint_management.py
 */

import {
  basename,
  dirname,
  exists,
  isDir,
  joinPath,
  listDir,
  modifiedSeconds,
  now,
  remove,
  writeFileAtomic,
} from "#platform";
import { isVarscopeError, toNumbers, VarscopeError } from "../base/index.ts";
import { checkpointExists, updateCheckpointState } from "../formats/checkpoint/index.ts";
import { writeMetaGraph } from "../formats/meta-graph/index.ts";
import type { Graph, Output } from "../graph/index.ts";
import type { SaverDef } from "../proto/meta-graph.gen.ts";
import type { Session } from "../run/index.ts";
import { globalVariables, isVariable, type Variable } from "../variables/index.ts";
import { saveablesOf, saverNodes, type VariableMap } from "./saver-nodes.ts";

export interface SaverOptions {
  /** variables, or variables by checkpoint key; all global variables */
  readonly varList?: readonly Variable[] | VariableMap;
  /** restores tensors of the same number of elements into another shape: false */
  readonly reshape?: boolean;
  /** checkpoints that stay on disk: 5; 0 or null: all, and the state file lists the newest alone */
  readonly maxToKeep?: number | null;
  /** beyond maxToKeep, one checkpoint of each so many hours stays: 10,000 */
  readonly keepCheckpointEveryNHours?: number;
  /** name scope of its nodes: "save" */
  readonly name?: string;
  /** no variables is no error: false */
  readonly allowEmpty?: boolean;
  /** `-00000007` in place of `-7`: false */
  readonly padStepNumber?: boolean;
  /** paths in the state file are relative to its folder: false */
  readonly saveRelativePaths?: boolean;
  /** default of the file name's placeholder: "model" */
  readonly filename?: string;
  /** the nodes are in the graph already, as this says */
  readonly saverDef?: SaverDef;
}

export interface SaveOptions {
  /** appended to the prefix: a number, or a scalar whose value the session gives */
  readonly globalStep?: number | bigint | Variable | Output;
  /** of the state file, without a folder: "checkpoint" */
  readonly latestFilename?: string;
  /** the graph beside the checkpoint, as `<prefix>.meta`: true */
  readonly writeMetaGraph?: boolean;
  /** the state file, and with it the count for maxToKeep: true */
  readonly writeState?: boolean;
}

/** Saves and restores variables. What it has saved it counts; checkpoints of other savers it leaves alone. */
export interface Saver {
  /** names of its nodes; null where there is nothing to save */
  readonly saverDef: SaverDef | null;
  /**
   * Saves the variables as the files `<prefix>[-step].index`, `.data-...`, `.meta`.
   *
   * @returns the checkpoint's prefix; null where there is nothing to save
   * @throws VarscopeError FAILED_PRECONDITION - a variable has no value; INVALID_ARGUMENT - names that collide
   */
  save(session: Session, prefix: string, options?: SaveOptions): Promise<string | null>;
  /**
   * Gives the variables the values of a checkpoint. All of them or, after an error, none.
   *
   * @throws VarscopeError NOT_FOUND - a key is missing; INVALID_ARGUMENT - no checkpoint there, shapes or dtypes differ
   */
  restore(session: Session, prefix: string): Promise<void>;
  /** Prefixes that count for maxToKeep, oldest first. */
  lastCheckpoints(): string[];
  /** Counts checkpoints of an earlier process; those that are gone are left out. */
  recoverLastCheckpoints(prefixes: readonly string[]): Promise<void>;
}

/** A saver of a graph's variables, with its nodes. @throws VarscopeError INVALID_ARGUMENT - there are none, or two of one name */
export function saver(graph: Graph, options: SaverOptions = {}): Saver {
  const def = options.saverDef ?? addNodes(graph, options);
  const kept = new Kept(def);
  return {
    saverDef: def,
    save: (session, prefix, saveOptions = {}) => save(session, prefix, saveOptions, options, def, kept),
    restore: (session, prefix) => (def === null ? Promise.resolve() : restore(session, prefix, def)),
    lastCheckpoints: () => kept.prefixes(),
    recoverLastCheckpoints: (prefixes) => kept.recover(prefixes),
  };
}

function addNodes(graph: Graph, options: SaverOptions): SaverDef | null {
  const saveables = saveablesOf(options.varList ?? globalVariables(graph));
  if (saveables.length === 0) {
    if (options.allowEmpty) return null;
    throw new VarscopeError("INVALID_ARGUMENT", "No variables to save");
  }
  return saverNodes(graph, saveables, {
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(options.filename === undefined ? {} : { filename: options.filename }),
    reshape: options.reshape ?? false,
    maxToKeep: options.maxToKeep === undefined ? 5 : (options.maxToKeep ?? 0),
    keepCheckpointEveryNHours: options.keepCheckpointEveryNHours ?? 10_000,
  });
}

async function save(
  session: Session,
  prefix: string,
  options: SaveOptions,
  saverOptions: SaverOptions,
  def: SaverDef | null,
  kept: Kept,
): Promise<string | null> {
  const { latestFilename = "checkpoint", writeState = true } = options;
  if (basename(latestFilename) !== latestFilename) {
    throw new VarscopeError("INVALID_ARGUMENT", "'latest_filename' must not contain path components", {
      at: latestFilename,
    });
  }
  const file = await numbered(session, prefix, options, saverOptions, latestFilename);
  let written: string | null = null;
  if (def !== null) {
    written = await runSave(session, def, file);
    if (writeState) {
      kept.record(written);
      await updateCheckpointState(
        dirname(prefix),
        {
          modelCheckpointPath: written,
          allModelCheckpointPaths: kept.prefixes(),
          allModelCheckpointTimestamps: [],
        },
        { name: latestFilename, relativePaths: saverOptions.saveRelativePaths ?? false },
      );
      await kept.removeOld();
    }
  }
  if (options.writeMetaGraph ?? true) {
    const meta = { graph: session.graph, saverDef: def ?? undefined };
    await writeFileAtomic(metaGraphFile(file), [writeMetaGraph(meta)]);
  }
  return written;
}

async function numbered(
  session: Session,
  prefix: string,
  { globalStep }: SaveOptions,
  { padStepNumber = false }: SaverOptions,
  latestFilename: string,
): Promise<string> {
  if (globalStep === undefined) {
    if (basename(prefix) !== latestFilename) return prefix;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `'latest_filename' collides with 'save_path': '${latestFilename}' and '${prefix}'`,
    );
  }
  const step = typeof globalStep === "object" ? await valueOfStep(session, globalStep) : String(globalStep);
  return `${prefix}-${padStepNumber ? step.padStart(8, "0") : step}`;
}

async function valueOfStep(session: Session, step: Variable | Output): Promise<string> {
  const value = await session.run(isVariable(step) ? step.snapshot : step);
  return String(value.data[0] ?? toNumbers(value)[0]);
}

async function runSave(session: Session, def: SaverDef, file: string): Promise<string> {
  try {
    const saved = await session.run(session.graph.output(def.saveTensorName), {
      feeds: { [def.filenameTensorName]: file },
    });
    return new TextDecoder().decode(saved.data[0] as Uint8Array);
  } catch (e) {
    // TensorFlow says this for every failure of a bare name, whatever the cause; here only where it is so
    const missing = isVarscopeError(e, "NOT_FOUND") || isVarscopeError(e, "FAILED_PRECONDITION");
    if (!missing || (await isDir(dirname(file)))) throw e;
    throw new VarscopeError("INVALID_ARGUMENT", `Parent directory of ${file} doesn't exist, can't save.`, {
      cause: e,
      hint: e.what,
    });
  }
}

/** `model-7.meta`; of a shard's name, without the shard. */
const metaGraphFile = (checkpoint: string): string => `${checkpoint.replace(/-[\d?]+-of-\d+$/, "")}.meta`;

async function restore(session: Session, prefix: string | null, def: SaverDef): Promise<void> {
  if (prefix === null) throw new VarscopeError("INVALID_ARGUMENT", "Can't load save_path when it is None.");
  if (!(await checkpointExists(prefix))) {
    throw new VarscopeError("INVALID_ARGUMENT", `The passed save_path is not a valid checkpoint: ${prefix}`);
  }
  try {
    await session.run([], { targets: [def.restoreOpName], feeds: { [def.filenameTensorName]: prefix } });
  } catch (e) {
    if (isVarscopeError(e, "NOT_FOUND"))
      throw wrapped(e, "a Variable name or other graph key that is missing");
    if (isVarscopeError(e, "INVALID_ARGUMENT"))
      throw wrapped(e, "a mismatch between the current graph and the graph");
    throw e;
  }
}

const wrapped = (e: VarscopeError, why: string): VarscopeError =>
  new VarscopeError(
    e.code,
    `Restoring from checkpoint failed. This is most likely due to ${why} from the checkpoint. Please ensure that you have not altered the graph expected based on the checkpoint. Original error:\n\n${e.what}`,
    {
      cause: e,
      ...(e.at === undefined ? {} : { at: e.at }),
      ...(e.hint === undefined ? {} : { hint: e.hint }),
    },
  );

/** The checkpoints that a saver has written and what becomes of the old ones. */
class Kept {
  private readonly most: number;
  private readonly intervalSeconds: number;
  /** oldest first; seconds since 1970 */
  private last: { readonly prefix: string; readonly seconds: number }[] = [];
  private old: { readonly prefix: string; readonly seconds: number }[] = [];
  /** a checkpoint younger than this is the next to be preserved */
  private threshold: number;

  constructor(def: SaverDef | null) {
    this.most = def?.maxToKeep ?? 0;
    this.intervalSeconds = (def?.keepCheckpointEveryNHours ?? 0) * 3600;
    this.threshold = now() + this.intervalSeconds;
  }

  prefixes(): string[] {
    return this.last.map((c) => c.prefix);
  }

  record(prefix: string): void {
    if (this.most === 0) return;
    this.last = [...this.last.filter((c) => c.prefix !== prefix), { prefix, seconds: now() }];
    if (this.last.length > this.most) this.old.push(this.last.shift()!);
  }

  async recover(prefixes: readonly string[]): Promise<void> {
    const found: { prefix: string; seconds: number }[] = [];
    for (const prefix of prefixes) {
      const file = `${prefix}.index`;
      if (await exists(file)) found.push({ prefix, seconds: await modifiedSeconds(file) });
    }
    this.last = found;
  }

  /** Deletes the oldest beyond the limit, or preserves it where its time has come. */
  async removeOld(): Promise<void> {
    const next = this.old.shift();
    if (next === undefined) return;
    if (next.seconds > this.threshold) {
      this.threshold += this.intervalSeconds;
      return;
    }
    await removeCheckpoint(next.prefix);
  }
}

/** Deletes the files of a checkpoint: `.meta`, `.index` and all shards. Files that are gone already are no error. */
export async function removeCheckpoint(prefix: string): Promise<void> {
  const folder = dirname(prefix);
  const name = basename(prefix);
  const shard = /^\.data-.{5}-of-.{5}$/;
  const mine = (file: string): boolean =>
    file === `${name}.index` ||
    file === basename(metaGraphFile(prefix)) ||
    (file.startsWith(name) && shard.test(file.slice(name.length)));
  const files = (await listDir(folder)).filter(mine);
  // the index first: without one nobody takes the rest for a checkpoint, should we be stopped halfway
  files.sort((a, b) => Number(b.endsWith(".index")) - Number(a.endsWith(".index")));
  for (const file of files) await remove(joinPath(folder, file));
}
