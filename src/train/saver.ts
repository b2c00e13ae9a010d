/**
 * @file Saver: checkpoints of a graph's variables, the state file beside them, and how many of them are kept. What it saves is told by
 * saver-list.ts, its nodes are made by saver-nodes.ts, restoring is in restore/. Start at `saver`.
 *
 * @see TensorFlow python/training/saver.py; python/checkpoint/checkpoint_management.py
 */

import { toBinary } from "@bufbuild/protobuf";
import { basename, dirname, isDir, now, writeFileAtomic } from "#platform";
import { isVarscopeError, toNumbers, VarscopeError } from "../base/index.ts";
import { updateCheckpointState } from "../formats/checkpoint/index.ts";
import { exportMetaGraph, writeMetaGraph } from "../formats/meta-graph/index.ts";
import type { Graph, Output } from "../graph/index.ts";
import { MetaGraphDefSchema, type SaverDef } from "../proto/meta-graph.gen.ts";
import type { Session } from "../run/index.ts";
import { isVariable, type Variable } from "../variables/index.ts";
import { Kept, metaGraphFilename } from "./kept.ts";
import type { RestoreOptions, RestoreReport } from "./restore/report.ts";
import { restoreWith } from "./restore/saver-restore.ts";
import { allSaveables, type Saveable, saveablesOf, type VariableMap } from "./saver-list.ts";
import { CheckpointFormat, saverNodes } from "./saver-nodes.ts";

export interface SaverOptions {
  /** variables, slices, saveable objects; or these by checkpoint key. By default all global variables and saveable objects */
  readonly varList?: Iterable<Saveable> | VariableMap;
  /** restores tensors of the same number of elements into another shape: false */
  readonly reshape?: boolean;
  /** one shard for each device: false */
  readonly sharded?: boolean;
  /** checkpoints that stay on disk: 5; 0 or null: all, and the state file lists the newest alone */
  readonly maxToKeep?: number | null;
  /** beyond maxToKeep, one checkpoint of each so many hours stays: 10,000 */
  readonly keepCheckpointEveryNHours?: number;
  /** name scope of its nodes: "save"; with `saverDef`: the scope that these nodes were imported under */
  readonly name?: string;
  /** no variables is no error: false */
  readonly allowEmpty?: boolean;
  /** format of the files: 2. Both are restored */
  readonly writeVersion?: 1 | 2;
  /** `-00000007` in place of `-7`: false */
  readonly padStepNumber?: boolean;
  /** paths in the state file are relative to its folder: false */
  readonly saveRelativePaths?: boolean;
  /** default of the file name's placeholder: "model" */
  readonly filename?: string;
  /** the nodes are made by `build()`, of the variables that there are then: false */
  readonly deferBuild?: boolean;
  /** the nodes are in the graph already, as this says */
  readonly saverDef?: SaverDef;
  /** seconds since 1970, for keepCheckpointEveryNHours: the machine's clock */
  readonly clock?: () => number;
}

export interface SaveOptions {
  /** appended to the prefix: a number, or a scalar, or its name, whose value the session gives */
  readonly globalStep?: number | bigint | Variable | Output | string;
  /** of the state file, without a folder: "checkpoint" */
  readonly latestFilename?: string;
  /** the graph beside the checkpoint, as `<prefix>.meta`: true */
  readonly writeMetaGraph?: boolean;
  /** of its file: "meta" */
  readonly metaGraphSuffix?: string;
  /** attributes that have their defaults are left out of it, so that older TensorFlows can read it: false */
  readonly stripDefaultAttrs?: boolean;
  /** the state file, and with it the count for maxToKeep: true */
  readonly writeState?: boolean;
}

/** Saves and restores variables. What it has saved it counts; checkpoints of other savers it leaves alone. */
export interface Saver {
  /** names of its nodes; null where there is nothing to save, or before `build` */
  readonly saverDef: SaverDef | null;
  /** Makes the nodes of a saver that was to wait. A second call does nothing. */
  build(): void;
  /**
   * Saves the variables as the files `<prefix>[-step].index`, `.data-...`, `.meta`.
   *
   * @returns the checkpoint's prefix, of a sharded V1 one the pattern of its files; null where there is nothing to save
   * @throws VarscopeError FAILED_PRECONDITION - a variable has no value; INVALID_ARGUMENT - names that collide
   */
  save(session: Session, prefix: string, options?: SaveOptions): Promise<string | null>;
  /**
   * Gives the variables the values of a checkpoint: of V2 or V1, by prefix, pattern, one of its files or its folder, or an object-based one by
   * the variables' names. All of them or, after an error, none; with `partial`, those that match.
   *
   * @returns what was restored from where, and what was not
   * @throws VarscopeError NOT_FOUND - a key is missing; INVALID_ARGUMENT - no checkpoint there, shapes or dtypes differ
   */
  restore(session: Session, prefix: string, options?: RestoreOptions): Promise<RestoreReport>;
  /** Prefixes that count for maxToKeep, oldest first. */
  lastCheckpoints(): string[];
  /** Replaces them. @param seconds - when each was written, since 1970 */
  setLastCheckpoints(prefixes: readonly string[], seconds?: readonly number[]): void;
  /** Counts checkpoints of an earlier process; those that are gone are left out. */
  recoverLastCheckpoints(prefixes: readonly string[]): Promise<void>;
}

/** A saver of a graph's variables, with its nodes. @throws VarscopeError INVALID_ARGUMENT - there are none, or two of one name */
export function saver(graph: Graph, options: SaverOptions = {}): Saver {
  if (options.deferBuild && options.varList !== undefined) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "If `var_list` is provided then build cannot be deferred. Either set defer_build=False or var_list=None.",
    );
  }
  const kept = new Kept(options.clock ?? now);
  let def: SaverDef | null | undefined;
  const build = (): void => {
    if (def !== undefined) return;
    def = options.saverDef === undefined ? addNodes(graph, options) : placed(options.saverDef, options.name);
    if (def !== null) kept.start(def);
  };
  const built = (verb: string): SaverDef | null => {
    if (def !== undefined) return def;
    const what = `\`build()\` should be called before ${verb} if defer_build==True`;
    throw new VarscopeError("FAILED_PRECONDITION", what);
  };
  if (!options.deferBuild) build();
  return {
    get saverDef() {
      return def ?? null;
    },
    build,
    save: async (session, prefix, saveOptions = {}) =>
      save(session, prefix, saveOptions, options, built("save"), kept),
    restore: async (session, prefix, restoreOptions = {}) =>
      restoreWith(session, prefix, built("restore"), restoreOptions),
    lastCheckpoints: () => kept.prefixes(),
    setLastCheckpoints: (prefixes, seconds) => kept.set(prefixes, seconds),
    recoverLastCheckpoints: (prefixes) => kept.recover(prefixes),
  };
}

function addNodes(graph: Graph, options: SaverOptions): SaverDef | null {
  const saveables = saveablesOf(options.varList ?? allSaveables(graph));
  if (saveables.length === 0) {
    if (options.allowEmpty) return null;
    throw new VarscopeError("INVALID_ARGUMENT", "No variables to save");
  }
  return saverNodes(graph, saveables, {
    name: options.name ?? "save",
    filename: options.filename || "model",
    reshape: options.reshape ?? false,
    sharded: options.sharded ?? false,
    writeVersion: options.writeVersion ?? CheckpointFormat.V2,
    maxToKeep: options.maxToKeep === undefined ? 5 : (options.maxToKeep ?? 0),
    keepCheckpointEveryNHours: options.keepCheckpointEveryNHours ?? 10_000,
  });
}

/** A SaverDef whose nodes stand under a scope. @throws VarscopeError INVALID_ARGUMENT - it names none */
function placed(def: SaverDef, scope: string | undefined): SaverDef {
  for (const [field, name] of [
    ["save_tensor_name", def.saveTensorName],
    ["restore_op_name", def.restoreOpName],
  ]) {
    if (name === "") throw new VarscopeError("INVALID_ARGUMENT", `saver_def must specify the ${field}`);
  }
  if (scope === undefined || scope === "") return def;
  const inside = (name: string): string => `${scope}/${name}`;
  return {
    ...def,
    filenameTensorName: inside(def.filenameTensorName),
    saveTensorName: inside(def.saveTensorName),
    restoreOpName: inside(def.restoreOpName),
  };
}

async function save(
  session: Session,
  prefix: string,
  options: SaveOptions,
  saverOptions: SaverOptions,
  def: SaverDef | null,
  kept: Kept,
): Promise<string | null> {
  const { latestFilename = "checkpoint", writeState = true, metaGraphSuffix = "meta" } = options;
  if (basename(latestFilename) !== latestFilename) {
    throw new VarscopeError("INVALID_ARGUMENT", "'latest_filename' must not contain path components", {
      at: latestFilename,
    });
  }
  const { writeMetaGraph: writesMeta = true } = options;
  if (session.remote !== null && (writeState || writesMeta)) await needFolderHere(prefix);
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
      await kept.removeOld(metaGraphSuffix);
    }
  }
  if (writesMeta) {
    const meta = metaGraphOf(session.graph, def, options);
    await writeFileAtomic(metaGraphFilename(file, metaGraphSuffix), [meta]);
  }
  return written;
}

function metaGraphOf(graph: Graph, def: SaverDef | null, { stripDefaultAttrs }: SaveOptions): Uint8Array {
  const saverDef = def ?? undefined;
  return stripDefaultAttrs
    ? toBinary(MetaGraphDefSchema, exportMetaGraph(graph, { saverDef, stripDefaultAttrs }))
    : writeMetaGraph({ graph, saverDef });
}

/** A server writes the checkpoint; state file and MetaGraph are written here. */
async function needFolderHere(prefix: string): Promise<void> {
  const folder = dirname(prefix);
  if (await isDir(folder)) return;
  throw new VarscopeError(
    "FAILED_PRECONDITION",
    `the folder ${folder} is not on this machine, where state file and MetaGraph are to be written`,
    {
      at: prefix,
      hint: "make the folder on a disk that the servers share, or save with writeState and writeMetaGraph false",
    },
  );
}

async function numbered(
  session: Session,
  prefix: string,
  { globalStep }: SaveOptions,
  { padStepNumber = false, sharded = false }: SaverOptions,
  latestFilename: string,
): Promise<string> {
  if (globalStep === undefined) {
    if (basename(prefix) !== latestFilename || sharded) return prefix;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `'latest_filename' collides with 'save_path': '${latestFilename}' and '${prefix}'`,
    );
  }
  const isNumber = typeof globalStep === "number" || typeof globalStep === "bigint";
  const step = isNumber ? String(globalStep) : await valueOfStep(session, globalStep);
  return `${prefix}-${padStepNumber ? step.padStart(8, "0") : step}`;
}

async function valueOfStep(session: Session, step: Variable | Output | string): Promise<string> {
  const value = await session.run(isVariable(step) ? step.snapshot : step);
  if (value === null)
    throw new VarscopeError("INVALID_ARGUMENT", "the global step is an op", { at: String(step) });
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
