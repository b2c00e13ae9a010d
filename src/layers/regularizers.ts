/**
 * @file Regularizers: losses made of variables. @see TensorFlow python/keras/regularizers.py
 */

import type { Output } from "../graph/index.ts";
import { addWith, type Regularizer } from "../variables/index.ts";

function scaledSum(factor: number, type: "Square" | "Abs"): Regularizer {
  return (v): Output => {
    const { graph: g } = v;
    const terms = addWith(g, type, [v]);
    const axes = g.constant([...terms.shape!.keys()], { dtype: "int32", shape: [terms.shape!.length] });
    return g.add("Mul", [factor, g.add("Sum", [terms, axes])], { name: "mul" });
  };
}

/** factor · Σ w². (`tf.nn.l2_loss`, which `tf.contrib` used, is half the sum.) */
export const l2Regularizer = (factor = 0.01): Regularizer => scaledSum(factor, "Square");

/** factor · Σ |w|. */
export const l1Regularizer = (factor = 0.01): Regularizer => scaledSum(factor, "Abs");
