/**
 * @file Gradients that a model brings along for single ops of its functions: `tf.custom_gradient`, as a SavedModel keeps it. Start at
 * `CustomGradient`.
 *
 * @see TensorFlow core/framework/function.proto "RegisteredGradient"
 */

import type { Output } from "./operation.ts";

/** A value that the gradient needs: of the graph, or an output (`mul:0`) in the function that holds the op. */
export type Captured = Output | { readonly func: string; readonly output: string };

/** The gradient of the op whose attribute `_gradient_op_type` names it. */
export interface CustomGradient {
  /** takes the gradients of all outputs, then `captured` */
  readonly func: string;
  readonly captured: readonly Captured[];
  /** whether the function gives a gradient, for each input of the op */
  readonly gives: readonly boolean[];
}

/** The attribute. @see TensorFlow python/framework/ops.py "get_gradient_function" */
export const GRADIENT_TYPE = "_gradient_op_type";
