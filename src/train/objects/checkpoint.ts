/**
 * @file Checkpoints of objects, as `tf.train.Checkpoint` has them: what is saved is told by names of attributes, not of variables. Start at
 * `Checkpoint`.
 *
 * @see TensorFlow python/checkpoint/checkpoint.py "Checkpoint", "TrackableSaver"
 */

import { dirname, exists, joinPath, makeDir } from "#platform";
import { compareText, isVarscopeError, scalar, type Tensor, VarscopeError } from "../../base/index.ts";
import { saveCheckpoint, updateCheckpointState } from "../../formats/checkpoint/index.ts";
import { OBJECT_GRAPH_KEY } from "../../formats/object-graph/graph.ts";
import type { Session } from "../../run/index.ts";
import { isVariable, type Variable } from "../../variables/index.ts";
import { initializationOnly, type LoadStatus, load } from "./status.ts";
import { CHILDREN, type Child, childrenOf, type HostValue, hostValue, isTrackable } from "./trackable.ts";
import { leavesOf, objectGraphOf, type Root, variablesOf, viewOf } from "./view.ts";

/** How often a checkpoint was saved: `save_counter` in the file. */
class SaveCounter implements HostValue {
  readonly name = "save_counter";
  count = 0n;

  get(): Tensor {
    return scalar(this.count, "int64");
  }

  set(value: Tensor): void {
    this.count = value.data[0] as bigint;
  }
}

export interface CheckpointOptions {
  /** stands at the root itself: its attributes are the checkpoint's */
  readonly root?: object;
}

/**
 * Saves and restores variables by the objects that lead to them: records, arrays, maps, class instances, optimizers with their slots, other
 * checkpoints. `tf.train.Checkpoint` with attributes of these names reads the files, and the other way round.
 *
 * ```js
 * const checkpoint = new Checkpoint({ net: { kernel, layers: [a, b] }, optimizer });
 * await checkpoint.save(session, "runs/ckpt"); // runs/ckpt-1
 * (await checkpoint.restore(session, await latestCheckpoint("runs"))).assertConsumed();
 * ```
 *
 * It adds no nodes to the graph: values are fetched, and fed to the variables' initializers.
 */
export class Checkpoint {
  private readonly objects = new Map<string, object>();
  private readonly counter = hostValue(new SaveCounter()) as SaveCounter;
  /** the counter is an attribute once it was needed, as in TensorFlow */
  private isCounting = false;
  private readonly root: Root | null;

  /** @throws VarscopeError INVALID_ARGUMENT - no object to be tracked, or an attribute that the root has already */
  constructor(objects: Readonly<Record<string, unknown>> = {}, options: CheckpointOptions = {}) {
    const given = options.root === undefined ? objects : { ...objects, root: options.root };
    for (const name of Object.keys(given).sort(compareText)) this.track(name, given[name as never]);
    this.root = options.root === undefined ? null : { object: options.root, attached: [] };
  }

  /** Adds an attribute. What a checkpoint that was restored before has for it, the status's `runRestoreOps` gives it. */
  track(name: string, object: unknown): void {
    if (!isTrackable(object)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `\`Checkpoint\` was expecting ${name} to be a trackable object (an object derived from \`Trackable\`), got ${String(object)}.`,
        { hint: "give a variable, an optimizer, or an object that leads to such" },
      );
    }
    this.objects.set(name, object);
  }

  /** How often it was saved, here and before it was restored. */
  get saveCounter(): number {
    return Number(this.counter.count);
  }

  /** For trees that a checkpoint is part of. */
  [CHILDREN](): Child[] {
    const counter: Child[] = this.isCounting ? [["save_counter", this.counter]] : [];
    return [...this.objects, ...counter];
  }

  private rootOf(session: Session): Root {
    if (this.root === null) return { object: this, attached: [] };
    const own = new Map(childrenOf(this.root.object, session.graph));
    const attached = this[CHILDREN]().filter(([name, child]) => {
      const there = own.get(name);
      if (there === undefined || there === child) return there === undefined;
      const what = `Cannot create a Checkpoint with keyword argument ${name} if root.${name} already exists.`;
      throw new VarscopeError("INVALID_ARGUMENT", what);
    });
    return { object: this.root.object, attached };
  }

  /**
   * Saves as `<prefix>-1`, `<prefix>-2`, ... and names it in the state file beside.
   *
   * @returns the checkpoint's prefix
   * @throws VarscopeError FAILED_PRECONDITION - a variable has no value
   */
  async save(session: Session, prefix: string): Promise<string> {
    const path = await this.writeNext(session, (count) => `${prefix}-${count}`);
    await updateCheckpointState(
      dirname(path),
      { modelCheckpointPath: path, allModelCheckpointPaths: [path], allModelCheckpointTimestamps: [] },
      { relativePaths: true },
    );
    return path;
  }

  /** Counts, and writes under a name that may have the count in it. Without a state file: managers have their own. */
  async writeNext(session: Session, prefixOf: (count: number) => string): Promise<string> {
    this.isCounting = true;
    this.counter.count++;
    try {
      return await this.write(session, prefixOf(this.saveCounter));
    } catch (e) {
      this.counter.count--;
      throw e;
    }
  }

  /** Writes under exactly this prefix: counts nothing, touches no state file. @returns the prefix */
  async write(session: Session, prefix: string): Promise<string> {
    const view = viewOf(this.rootOf(session), session.graph);
    const variables = variablesOf(view, session.graph);
    const values = variables.length === 0 ? [] : await session.run(variables.map((v) => v.snapshot));
    const fetched = new Map<Variable, Tensor>(variables.map((v, i) => [v, values[i]!]));
    const tensors = leavesOf(view).map(({ leaf, key }) => ({
      name: key,
      tensor: isVariable(leaf) ? fetched.get(leaf)! : leaf.get(),
    }));
    const graph: Tensor = { dtype: "string", shape: [], data: [objectGraphOf(view)] };
    await makeDir(dirname(prefix));
    await saveCheckpoint(prefix, [...tensors, { name: OBJECT_GRAPH_KEY, tensor: graph }]);
    return prefix;
  }

  /**
   * Gives objects the values that a checkpoint of `write` has for them. A checkpoint that goes by names (a Saver's) is read by the
   * variables' names.
   *
   * @param path - a checkpoint of either kind and format, or a SavedModel's folder; null: nothing is restored, the status can initialise
   * @throws VarscopeError NOT_FOUND - there is none; INVALID_ARGUMENT - a value of another shape or dtype. Then nothing is changed
   */
  async read(session: Session, path: string | null): Promise<LoadStatus> {
    return this.load(session, path, new Set());
  }

  /** `read` of what `save` wrote: the number of saves too. @throws VarscopeError as `read` */
  async restore(session: Session, path: string | null): Promise<LoadStatus> {
    this.isCounting = true;
    return this.load(session, path, new Set([this.counter]));
  }

  private async load(
    session: Session,
    path: string | null,
    optional: ReadonlySet<object>,
  ): Promise<LoadStatus> {
    if (path === null) return initializationOnly(this.rootOf(session), session);
    try {
      return await load(this.rootOf(session), session, await variablesPath(path), optional);
    } catch (e) {
      if (!isVarscopeError(e) || !isVarscopeError(e.cause, "NOT_FOUND")) throw e;
      throw new VarscopeError(
        "NOT_FOUND",
        `Error when restoring from checkpoint or SavedModel at ${path}: ${e.cause.what}\nPlease double-check that the path is correct. You may be missing the checkpoint suffix (e.g. the '-1' in 'path/to/ckpt-1').`,
        { cause: e, ...(e.hint === undefined ? {} : { hint: e.hint }) },
      );
    }
  }
}

/** The values of a SavedModel are a checkpoint in its folder. */
async function variablesPath(path: string): Promise<string> {
  for (const file of ["saved_model.pb", "saved_model.pbtxt"])
    if (await exists(joinPath(path, file))) return joinPath(path, "variables", "variables");
  return path;
}
