/**
 * @file A folder of checkpoints of objects: how many stay, which are preserved, what a new process finds. Start at `checkpointManager`.
 *
 * @see TensorFlow python/checkpoint/checkpoint_management.py "CheckpointManager"
 */

import { joinPath, now } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import {
  type CheckpointState,
  readCheckpointState,
  updateCheckpointState,
} from "../../formats/checkpoint/index.ts";
import type { Output } from "../../graph/index.ts";
import type { Session } from "../../run/index.ts";
import { isVariable, type Variable } from "../../variables/index.ts";
import { removeCheckpoint } from "../kept.ts";
import type { Checkpoint } from "./checkpoint.ts";

export interface CheckpointManagerOptions {
  /** checkpoints that stay on disk; null: all */
  readonly maxToKeep: number | null;
  /** beyond maxToKeep, one checkpoint of each so many hours stays: null, none */
  readonly keepCheckpointEveryNHours?: number | null;
  /** "ckpt" */
  readonly checkpointName?: string;
  /** for `checkpointInterval`: the step */
  readonly stepCounter?: Variable | Output;
  /** steps that must pass between two checkpoints: any */
  readonly checkpointInterval?: number;
  /** step of the last checkpoint, from which the interval counts */
  readonly lastCheckpointStep?: number;
  /** runs where the folder has no checkpoint */
  readonly initFn?: (session: Session) => Promise<unknown>;
  /** seconds since 1970: the machine's clock */
  readonly clock?: () => number;
}

export interface ManagerSaveOptions {
  /** in place of the number of saves; that is counted all the same */
  readonly checkpointNumber?: number | bigint | Variable | Output;
  /** false: save even before the interval has passed, unless this step is saved already: true */
  readonly checkInterval?: boolean;
}

/** Manages the checkpoints of one folder. What it knows is in the folder's state file, so a new process goes on where this one ends. */
export interface CheckpointManager {
  readonly checkpoint: Checkpoint;
  readonly directory: string;
  /** prefix of the newest; null where there is none */
  readonly latestCheckpoint: string | null;
  /** prefixes that may be deleted one day, oldest first: preserved ones are not among them */
  readonly checkpoints: readonly string[];
  /** Saves as `<directory>/<name>-<number>`. @returns its prefix; null where the interval has not passed yet */
  save(session: Session, options?: ManagerSaveOptions): Promise<string | null>;
  /** Restores the newest checkpoint, or else runs `initFn`. @returns the checkpoint's prefix; null where there is none */
  restoreOrInitialize(session: Session): Promise<string | null>;
}

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/**
 * The manager of a folder, as the folder's state file says it was left.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no positive number is to be kept, an interval without a step, a state file without a latest
 */
export async function checkpointManager(
  checkpoint: Checkpoint,
  directory: string,
  options: CheckpointManagerOptions,
): Promise<CheckpointManager> {
  const { maxToKeep, checkpointInterval, stepCounter, clock = now } = options;
  if (maxToKeep !== null && !(maxToKeep > 0))
    throw invalid(`Expected a positive integer or \`None\` for \`max_to_keep\`, got ${maxToKeep}.`);
  if (checkpointInterval !== undefined && stepCounter === undefined)
    throw invalid("`step_counter` should be passed if `checkpoint_interval` is not None.");
  const folder = new Folder(directory, options, await readCheckpointState(directory), clock);
  let lastStep = options.lastCheckpointStep ?? null;
  const stepNow = async (session: Session): Promise<number> => Number(await numberOf(session, stepCounter!));
  return {
    checkpoint,
    directory,
    get latestCheckpoint() {
      return folder.latest;
    },
    get checkpoints() {
      return [...folder.managed.keys()];
    },
    async save(session, { checkpointNumber, checkInterval = true } = {}) {
      if (checkpointInterval !== undefined) {
        const step = await stepNow(session);
        const isTooEarly = lastStep !== null && checkInterval && step < lastStep + checkpointInterval;
        if (step === lastStep || isTooEarly) return null;
        lastStep = step;
      }
      const number = checkpointNumber === undefined ? undefined : await numberOf(session, checkpointNumber);
      const name = options.checkpointName ?? "ckpt";
      const prefix = await checkpoint.writeNext(session, (count) =>
        joinPath(directory, `${name}-${number ?? count}`),
      );
      await folder.record(prefix);
      return prefix;
    },
    async restoreOrInitialize(session) {
      if (folder.latest === null) {
        await options.initFn?.(session);
        return null;
      }
      await checkpoint.restore(session, folder.latest);
      if (checkpointInterval !== undefined) lastStep = await stepNow(session);
      return folder.latest;
    },
  };
}

async function numberOf(
  session: Session,
  value: number | bigint | Variable | Output,
): Promise<number | bigint> {
  if (typeof value === "number" || typeof value === "bigint") return value;
  const found = await session.run(isVariable(value) ? value.snapshot : value);
  return found.data[0] as number | bigint;
}

/** What a manager remembers of its folder. */
class Folder {
  latest: string | null = null;
  /** seconds since 1970, by prefix, oldest first */
  readonly managed = new Map<string, number>();
  private lastPreserved: number;
  private readonly directory: string;
  private readonly options: CheckpointManagerOptions;
  private readonly clock: () => number;

  constructor(
    directory: string,
    options: CheckpointManagerOptions,
    state: CheckpointState | null,
    clock: () => number,
  ) {
    this.directory = directory;
    this.options = options;
    this.clock = clock;
    const time = clock();
    // a little back, so that the first checkpoint of a manager that is made at once again is younger
    this.lastPreserved = state === null ? time - 1 : Math.min(time, state.lastPreservedTimestamp ?? 0);
    if (state === null) return;
    this.latest = state.modelCheckpointPath;
    state.allModelCheckpointPaths.forEach((prefix, i) => {
      // a clock that was set back must not make old checkpoints look older
      const written = Math.min(state.allModelCheckpointTimestamps[i] ?? this.lastPreserved, time);
      if (written > this.lastPreserved) this.managed.set(prefix, written);
    });
  }

  /** A checkpoint was written. The state file names it before anything is deleted, and once more after that. */
  async record(prefix: string): Promise<void> {
    this.managed.delete(prefix);
    this.managed.set(prefix, this.clock());
    this.latest = prefix;
    await this.writeState();
    await this.sweep();
    await this.writeState();
  }

  /** Deletes or preserves the oldest beyond the limit. */
  private async sweep(): Promise<void> {
    const { maxToKeep, keepCheckpointEveryNHours: hours } = this.options;
    if (maxToKeep === null) return;
    for (const [prefix, written] of this.managed) {
      if (this.managed.size <= maxToKeep) return;
      this.managed.delete(prefix);
      if (hours != null && hours > 0 && written - hours * 3600 >= this.lastPreserved)
        this.lastPreserved = written;
      else await removeCheckpoint(prefix);
    }
  }

  private writeState(): Promise<void> {
    return updateCheckpointState(
      this.directory,
      {
        modelCheckpointPath: this.latest!,
        allModelCheckpointPaths: [...this.managed.keys()],
        allModelCheckpointTimestamps: [...this.managed.values()],
        lastPreservedTimestamp: this.lastPreserved,
      },
      { relativePaths: true },
    );
  }
}
