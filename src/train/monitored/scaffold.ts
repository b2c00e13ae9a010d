/**
 * @file Scaffold: the ops that start and save a training, taken from the caller, else from the graph's collections, else made. Start at
 * `finalizeScaffold`.
 *
 * @see TensorFlow python/training/monitored_session.py "Scaffold"
 */

import { VarscopeError } from "../../base/index.ts";
import { type Graph, group, type Operation, type Output } from "../../graph/index.ts";
import { summaryMergeAll } from "../../ops/index.ts";
import type { SaverDef } from "../../proto/index.ts";
import type { Feeds, Session } from "../../run/index.ts";
import {
  GraphKeys,
  globalVariables,
  globalVariablesInitializer,
  localVariablesInitializer,
  reportUninitializedVariables,
} from "../../variables/index.ts";
import { type Saver, saver } from "../saver.ts";

/** What is left out is found in the collection of its name, or made and added there. */
export interface ScaffoldOptions {
  /** gives all variables their first values. Collection `init_op` */
  readonly initOp?: Operation;
  readonly initFeeds?: Feeds;
  /** called after `initOp`, where no checkpoint was restored */
  readonly initFn?: (session: Session) => void | Promise<void>;
  /** string vector: names of variables without a value. Collection `ready_op` */
  readonly readyOp?: Output;
  /** the same, of global variables. Collection `ready_for_local_init_op` */
  readonly readyForLocalInitOp?: Output;
  /** gives local variables values, also after a restore. Collection `local_init_op` */
  readonly localInitOp?: Operation;
  readonly localInitFeeds?: Feeds;
  /** string scalar: a serialized Summary. Collection `summary_op`; by default all summaries merged */
  readonly summaryOp?: Output;
  /** collection `savers`; by default of all variables, sharded */
  readonly saver?: Saver;
}

/** All pieces; there is no summary op where there are no summaries. */
export interface Scaffold extends ScaffoldOptions {
  readonly initOp: Operation;
  readonly readyOp: Output;
  readonly readyForLocalInitOp: Output;
  readonly localInitOp: Operation;
  readonly summaryOp?: Output;
  readonly saver: Saver;
}

/**
 * Completes the pieces and finalizes the graph.
 *
 * @throws VarscopeError FAILED_PRECONDITION - a collection holds several candidates for a piece
 */
export function finalizeScaffold(graph: Graph, options: ScaffoldOptions = {}): Scaffold {
  const initOp = options.initOp ?? pick(graph, "init_op", () => defaultInitOp(graph));
  const readyOp =
    options.readyOp ??
    pick(graph, "ready_op", () => withResources(graph, reportUninitializedVariables(graph)));
  const readyForLocalInitOp =
    options.readyForLocalInitOp ??
    pick(graph, "ready_for_local_init_op", () =>
      withResources(graph, reportUninitializedVariables(graph, globalVariables(graph))),
    );
  const localInitOp = options.localInitOp ?? pick(graph, "local_init_op", () => defaultLocalInitOp(graph));
  const summaryOp = options.summaryOp ?? pick(graph, "summary_op", () => summaryMergeAll(graph));
  const keeper = options.saver ?? pickSaver(graph);
  keeper.build();
  graph.finalize();
  return {
    ...options,
    initOp,
    readyOp,
    readyForLocalInitOp,
    localInitOp,
    ...(summaryOp === null ? {} : { summaryOp }),
    saver: keeper,
  };
}

function pick<T>(graph: Graph, key: string, make: () => T): T {
  const items = graph.getCollection<T>(key);
  if (items.length > 1) {
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      `More than one item in the collection "${key}". Please indicate which one to use by passing it to the scaffold.`,
    );
  }
  if (items.length === 1) return items[0]!;
  const made = make();
  if (made !== null) graph.addToCollection(key, made);
  return made;
}

const pickSaver = (graph: Graph): Saver =>
  saverOf(
    graph,
    pick<Saver | SaverDef>(graph, GraphKeys.SAVERS, () => saver(graph, { sharded: true, allowEmpty: true })),
  );

/** The saver of an item of the collection "savers": one that a MetaGraph brought is names of nodes. */
export const saverOf = (graph: Graph, item: Saver | SaverDef): Saver =>
  "save" in item ? item : saver(graph, { saverDef: item });

const noOp = (graph: Graph, name: string): Operation => graph.addOp("NoOp", [], { name });

/** Tables and other resources are initialized in NoOps of their own where there are none: their names count. */
const defaultInitOp = (graph: Graph): Operation =>
  group(graph, [
    globalVariablesInitializer(graph),
    noOp(graph, "init"),
    ...graph.getCollection<Operation>("saved_model_initializers"),
  ]);

function defaultLocalInitOp(graph: Graph): Operation {
  const locals = localVariablesInitializer(graph);
  const initializers = graph.getCollection<Operation>("table_initializer");
  const tables =
    initializers.length === 0
      ? noOp(graph, "init_all_tables")
      : group(graph, initializers, "init_all_tables");
  return group(graph, [locals, tables, noOp(graph, "init")]);
}

/** Names of variables and, after them, of uninitialized resources, of which there are none. */
function withResources(graph: Graph, variables: Output): Output {
  const resources = graph.nameScope("report_uninitialized_resources", () =>
    graph.withDevice("/cpu:0", () => graph.constant([], { dtype: "string", shape: [0] })),
  );
  return graph.nameScope("concat", (scope) => {
    const axis = graph.constant(0, { dtype: "int32", name: "axis" });
    return graph.add("ConcatV2", [[variables, resources], axis], { name: scope });
  });
}
