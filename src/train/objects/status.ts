/**
 * @file What a load of objects came to, and what remains to be done: assertions, values for objects that came later, initial values for the rest.
 * Start at `LoadStatus`.
 *
 * @see TensorFlow python/checkpoint/checkpoint.py "CheckpointLoadStatus", "InitializationOnlyStatus", "NameBasedSaverStatus"
 */

import { VarscopeError } from "../../base/index.ts";
import { type ObjectGraph, readObjectGraph } from "../../formats/object-graph/graph.ts";
import type { Session } from "../../run/index.ts";
import { isVariable, type Variable } from "../../variables/index.ts";
import { assignValues } from "../restore/assign.ts";
import { reportOf } from "../restore/plan.ts";
import type { RestoreReport } from "../restore/report.ts";
import { openStored } from "../restore/stored.ts";
import { bind, planByNames, planByObjects, type WantedLeaf, wantedLeaves } from "./binding.ts";
import { isLeaf } from "./trackable.ts";
import { identityOf, nameOf, type Root, variablesOf, viewOf } from "./view.ts";

/** The state of a restore. Assertions give the status back, for more of them. */
export interface LoadStatus {
  /** of the checkpoint; null where none was given */
  readonly path: string | null;
  /** what had a value when values were last given out, what had none, and what may be meant */
  readonly report: RestoreReport;
  /** Every object here has its value, and every value of the checkpoint its object. @throws VarscopeError FAILED_PRECONDITION - naming one */
  assertConsumed(): LoadStatus;
  /** Every object here has its value; the checkpoint may have more. @throws VarscopeError FAILED_PRECONDITION - naming up to ten */
  assertExistingObjectsMatched(): LoadStatus;
  /** Something besides the root was found. @throws VarscopeError FAILED_PRECONDITION */
  assertNontrivialMatch(): LoadStatus;
  /** For programs that say so in TensorFlow. Nothing is warned of here: `report` tells what did not match. */
  expectPartial(): LoadStatus;
  /** Gives their values to objects that were attached after the restore. @throws VarscopeError INVALID_ARGUMENT - another shape */
  runRestoreOps(): Promise<void>;
  /** The same, and runs the initializers of variables that the checkpoint does not have. */
  initializeOrRestore(): Promise<void>;
}

const failed = (what: string): VarscopeError => new VarscopeError("FAILED_PRECONDITION", what);

const NO_REPORT: RestoreReport = {
  path: "",
  matched: [],
  missing: [],
  mismatched: [],
  unused: [],
  assignmentMap: {},
};

/** The status of a restore without a checkpoint: variables can be initialised, nothing else. */
export function initializationOnly(root: Root, session: Session): LoadStatus {
  const nothing = (): never => {
    throw failed("No checkpoint specified (save_path=None); nothing is being restored.");
  };
  const self: LoadStatus = {
    path: null,
    report: NO_REPORT,
    assertConsumed: nothing,
    assertExistingObjectsMatched: nothing,
    assertNontrivialMatch: nothing,
    expectPartial: () => self,
    runRestoreOps: async () => {
      throw failed(
        "No checkpoint specified, so no restore ops are available (save_path=None to Saver.restore).",
      );
    },
    initializeOrRestore: async () => {
      const { graph } = session;
      await initialize(session, variablesOf(viewOf(root, graph), graph));
    },
  };
  return self;
}

async function initialize(session: Session, variables: readonly Variable[]): Promise<void> {
  if (variables.length > 0) await session.run([], { targets: variables.map((v) => v.initializer) });
}

/** Loads a checkpoint into the objects under `root`. @param optional - leaves that a checkpoint without objects may lack */
export async function load(
  root: Root,
  session: Session,
  path: string,
  optional: ReadonlySet<object>,
): Promise<LoadStatus> {
  const loading = new Loading(root, session, path, optional);
  await loading.restore();
  return loading;
}

class Loading implements LoadStatus {
  readonly path: string;
  report: RestoreReport = NO_REPORT;
  private readonly root: Root;
  private readonly session: Session;
  private readonly optional: ReadonlySet<object>;
  /** what has been given its value */
  private readonly done = new Set<object>();
  /** null: the checkpoint goes by names */
  private saved: ObjectGraph | null = null;

  constructor(root: Root, session: Session, path: string, optional: ReadonlySet<object>) {
    this.root = root;
    this.session = session;
    this.path = path;
    this.optional = optional;
  }

  /** Gives values to all that have one and were not given it yet. All fit, or nothing is changed. */
  async restore(): Promise<void> {
    const { session, root } = this;
    const { collection } = await openStored(this.path);
    try {
      const { objectGraph } = collection.extras;
      this.saved = objectGraph === undefined ? null : readObjectGraph(objectGraph, this.path);
      const wanted = this.wanted();
      const plan =
        this.saved === null
          ? planByNames(wanted, collection)
          : planByObjects(wanted, this.saved, bind(root, session.graph, this.saved), collection);
      const missing = plan.missing.filter((w) => this.isWanted(w));
      this.report = reportOf({ ...plan, missing }, wanted, collection);
      const values = new Map<Variable, Awaited<ReturnType<typeof collection.read>>>();
      const later: (() => void)[] = [];
      for (const { wanted: w, entry } of plan.found) {
        const { leaf } = w;
        if (this.done.has(identityOf(leaf))) continue;
        const value = await collection.read(entry.name);
        if (isVariable(leaf)) values.set(leaf, value);
        else later.push(() => leaf.set(value));
      }
      await assignValues(session, values);
      for (const set of later) set();
      for (const { wanted: w } of plan.found) this.done.add(identityOf(w.leaf));
    } finally {
      await collection.close();
    }
  }

  /** What is here now, all of it of the session's graph. */
  private wanted(): WantedLeaf[] {
    const view = viewOf(this.root, this.session.graph);
    variablesOf(view, this.session.graph);
    return wantedLeaves(view);
  }

  /** A Saver's checkpoint knows nothing of the number of saves. */
  private isWanted({ leaf }: WantedLeaf): boolean {
    return this.saved !== null || !this.optional.has(leaf);
  }

  /** What is here and has no value in the checkpoint. */
  private unmatched(): WantedLeaf[] {
    if (this.saved === null) {
      const matched = new Set(this.report.matched.map(({ name }) => name));
      return this.wanted().filter((w) => !matched.has(w.name) && this.isWanted(w));
    }
    const bound = new Set([...bind(this.root, this.session.graph, this.saved).values()].map(identityOf));
    return this.wanted().filter((w) => !bound.has(identityOf(w.leaf)));
  }

  assertConsumed(): LoadStatus {
    if (this.saved === null) return this.assertByNames();
    this.assertExistingObjectsMatched();
    const bound = bind(this.root, this.session.graph, this.saved);
    const names = namesOfNodes(this.saved);
    for (const [id, { attributes }] of this.saved.nodes.entries()) {
      if (attributes.length === 0) continue;
      const object = bound.get(id);
      const keys = attributes.map((a) => a.checkpointKey).join(", ");
      if (object === undefined) throw failed(`Unresolved object in checkpoint ${names[id]}: ${keys}`);
      if (isLeaf(object)) continue;
      throw failed(
        `Unused attributes in these objects (the attributes exist in the checkpoint but were not restored):\n${names[id]}: ${keys}`,
      );
    }
    return this;
  }

  assertExistingObjectsMatched(): LoadStatus {
    if (this.saved === null) return this.assertByNames();
    const unmatched = this.unmatched();
    if (unmatched.length === 0) return this;
    const shown = unmatched.slice(0, 10).map(({ name }) => name);
    throw failed(
      `Found ${unmatched.length} Python objects that were not bound to checkpointed values, likely due to changes in the Python program. Showing ${shown.length} of ${unmatched.length} unmatched objects: [${shown.join(", ")}]`,
    );
  }

  assertNontrivialMatch(): LoadStatus {
    if (this.saved === null) return this.assertByNames();
    if (bind(this.root, this.session.graph, this.saved).size > 1) return this;
    const unmatched = this.unmatched().map(({ name }) => name);
    throw failed(
      unmatched.length > 0
        ? `Nothing except the root object matched a checkpointed value. Typically this means that the checkpoint does not match the Python program. The following objects have no matching checkpointed value: [${unmatched.join(", ")}]`
        : "Nothing to load. No dependencies have been added to the root yet.",
    );
  }

  private assertByNames(): LoadStatus {
    const lines = this.unmatched().map(({ leaf, key }) => `\n    ${nameOf(leaf)}: ['${key}']`);
    if (lines.length > 0)
      throw failed(`Some objects had attributes which were not restored: ${lines.join("")}`);
    return this;
  }

  expectPartial(): LoadStatus {
    return this;
  }

  runRestoreOps(): Promise<void> {
    return this.restore();
  }

  async initializeOrRestore(): Promise<void> {
    await this.restore();
    const rest = this.unmatched().flatMap(({ leaf }) => (isVariable(leaf) ? [leaf] : []));
    await initialize(this.session, rest);
  }
}

/** `(root).net.w`, and `(root).opt's state 'm' for (root).net.w` of slots. */
function namesOfNodes({ nodes }: ObjectGraph): string[] {
  const names: string[] = [];
  names[0] = "(root)";
  const open = [0];
  for (const id of open) {
    for (const { localName, nodeId } of nodes[id]!.children) {
      if (names[nodeId] !== undefined) continue;
      names[nodeId] = `${names[id]}.${localName}`;
      open.push(nodeId);
    }
  }
  const all = [...names]; // slots of slots, which only a hostile file has, must not make names grow without end
  nodes.forEach(({ slotVariables }, id) => {
    for (const { slotName, originalVariableNodeId: of, slotVariableNodeId: slot } of slotVariables)
      all[slot] = `${names[id]}'s state '${slotName}' for ${names[of]}`;
  });
  return all;
}
