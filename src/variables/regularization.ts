/**
 * @file Regularization losses of variables and TensorFlow's habit with them: a loss that `getVariable` adds is built anew by whoever uses it.
 * Start at `regularizationLosses`.
 *
 * @see TensorFlow python/ops/variable_scope.py "_LazyEvalTensor"; python/ops/losses/util.py
 */

import type { Graph, Output } from "../graph/index.ts";
import { GraphKeys } from "./collections.ts";
import type { Regularizer } from "./scope-state.ts";
import type { Variable } from "./variable.ts";

// how to build a loss once more; keyed by the one that stands in the collection
const builders = new WeakMap<Output, () => Output>();

/** For `getVariable`: adds the variable's loss as TensorFlow does, probing the regularizer first. `name`: as asked for, with its slash if any. */
export function regularizeLazily(v: Variable, name: string, regularizer: Regularizer | undefined): void {
  if (regularizer === undefined || regularizer(v) === null) return;
  const { graph } = v;
  const build = (): Output =>
    graph.colocateWith(v.op, () => graph.nameScope(`${name}/Regularizer/`, () => regularizer(v)!));
  const loss = build();
  builders.set(loss, build);
  graph.addToCollection(GraphKeys.REGULARIZATION_LOSSES, loss);
}

/** No loss, whatever the scope outside says. */
export const noRegularizer: Regularizer = () => null;

/** For layers: builds the loss of a variable in `<name>/Regularizer` and adds it to the collection. */
export function regularize(v: Variable, name: string, regularizer: Regularizer | undefined): void {
  if (regularizer === undefined) return;
  const loss = v.graph.nameScope(`${name}/Regularizer`, () => regularizer(v));
  if (loss !== null) v.graph.addToCollection(GraphKeys.REGULARIZATION_LOSSES, loss);
}

/** The regularization losses, ready to be added up. `scope`: a regular expression at the start of the name. */
export const regularizationLosses = (graph: Graph, scope?: string): Output[] =>
  graph.getCollection<Output>(GraphKeys.REGULARIZATION_LOSSES, scope).map((x) => builders.get(x)?.() ?? x);
