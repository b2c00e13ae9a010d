/** @file The global step: one int64 scalar variable a graph. @see TensorFlow python/training/training_util.py */

import { formatPyDType, formatPyShape, isInteger, VarscopeError } from "../base/index.ts";
import type { Graph } from "../graph/index.ts";
import { GraphKeys, globalVariables } from "./collections.ts";
import { getVariable } from "./get-variable.ts";
import { zerosInitializer } from "./initializers.ts";
import { Aggregation, type Variable } from "./variable.ts";

/**
 * The graph's global step, or null where it has none.
 *
 * @throws VarscopeError INVALID_ARGUMENT - there are several, or it is no integer scalar
 */
export function getGlobalStep(graph: Graph): Variable | null {
  const marked = graph.getCollection<Variable>(GraphKeys.GLOBAL_STEP);
  if (marked.length > 1) {
    throw new VarscopeError("INVALID_ARGUMENT", "Multiple tensors in global_step collection.");
  }
  const step = marked[0] ?? globalVariables(graph).find((v) => v.op.name === "global_step") ?? null;
  if (step !== null && !isInteger(step.dtype)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Existing "global_step" does not have integer type: ${formatPyDType(step.dtype, !step.isResource)}`,
    );
  }
  if (step !== null && step.shape !== null && step.shape.length > 0) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Existing "global_step" is not scalar: ${formatPyShape(step.shape)}`,
    );
  }
  return step;
}

/** A new global step. @throws VarscopeError ALREADY_EXISTS - the graph has one */
export function createGlobalStep(graph: Graph): Variable {
  if (getGlobalStep(graph) !== null)
    throw new VarscopeError("ALREADY_EXISTS", '"global_step" already exists.');
  return graph.nameScope(null, () =>
    getVariable(graph, GraphKeys.GLOBAL_STEP, {
      shape: [],
      dtype: "int64",
      initializer: zerosInitializer(),
      trainable: false,
      aggregation: Aggregation.ONLY_FIRST_REPLICA,
      collections: [GraphKeys.GLOBAL_VARIABLES, GraphKeys.GLOBAL_STEP],
    }),
  );
}

/** The global step, made if the graph has none. */
export const getOrCreateGlobalStep = (graph: Graph): Variable =>
  getGlobalStep(graph) ?? createGlobalStep(graph);
