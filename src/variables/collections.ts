/**
 * @file Names of TensorFlow's collections, and the variables that a graph's collections hold. Start at `globalVariables`.
 *
 * @see TensorFlow python/framework/ops.py "GraphKeys"
 */

import type { Graph } from "../graph/index.ts";
import type { Variable } from "./variable.ts";

/** Keys of TensorFlow's standard collections, as MetaGraphs spell them. */
export const GraphKeys = {
  GLOBAL_VARIABLES: "variables",
  LOCAL_VARIABLES: "local_variables",
  METRIC_VARIABLES: "metric_variables",
  MODEL_VARIABLES: "model_variables",
  TRAINABLE_VARIABLES: "trainable_variables",
  MOVING_AVERAGE_VARIABLES: "moving_average_variables",
  REGULARIZATION_LOSSES: "regularization_losses",
  LOSSES: "losses",
  UPDATE_OPS: "update_ops",
  TRAIN_OP: "train_op",
  GLOBAL_STEP: "global_step",
  SAVERS: "savers",
  INIT_OP: "init_op",
  LOCAL_INIT_OP: "local_init_op",
} as const;

/** Variables that a checkpoint holds by default. `scope`: a regular expression at the start of the name. */
export const globalVariables = (graph: Graph, scope?: string): Variable[] =>
  graph.getCollection<Variable>(GraphKeys.GLOBAL_VARIABLES, scope);

/** Variables that an optimizer changes by default. */
export const trainableVariables = (graph: Graph, scope?: string): Variable[] =>
  graph.getCollection<Variable>(GraphKeys.TRAINABLE_VARIABLES, scope);

/** Variables of this process alone, which checkpoints leave out. */
export const localVariables = (graph: Graph, scope?: string): Variable[] =>
  graph.getCollection<Variable>(GraphKeys.LOCAL_VARIABLES, scope);

/** Variables that `modelVariable`-like code marked as part of the model. */
export const modelVariables = (graph: Graph, scope?: string): Variable[] =>
  graph.getCollection<Variable>(GraphKeys.MODEL_VARIABLES, scope);

/** Originals of the variables that an exponential moving average follows. */
export const movingAverageVariables = (graph: Graph, scope?: string): Variable[] =>
  graph.getCollection<Variable>(GraphKeys.MOVING_AVERAGE_VARIABLES, scope);
