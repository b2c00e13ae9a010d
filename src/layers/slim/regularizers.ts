/** @file slim's regularizers: the L2 one is half of tf.layers'. @see tf_slim layers/regularizers.py */

import { VarscopeError } from "../../base/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import { addWith, type Regularizer, type Variable } from "../../variables/index.ts";

/** scale · term(w) in a name scope; 0 is no loss. @throws VarscopeError INVALID_ARGUMENT - a negative scale */
function scaled(scale: number, name: string, term: (g: Graph, v: Variable) => Output): Regularizer {
  if (!(scale >= 0)) {
    const what = `Setting a scale less than 0 on a regularizer: ${scale}`;
    throw new VarscopeError("INVALID_ARGUMENT", what);
  }
  if (scale === 0) return () => null;
  return (v) =>
    v.graph.nameScope(name, (scope) => {
      const factor = v.graph.constant(scale, { dtype: v.dtype, name: "scale" });
      return v.graph.add("Mul", [factor, term(v.graph, v)], { name: scope });
    });
}

/** scale · Σ w² / 2. Named "l2_regularizer". @throws VarscopeError INVALID_ARGUMENT - a negative scale */
export const slimL2 = (scale: number, name = "l2_regularizer"): Regularizer =>
  scaled(scale, name, (g, v) => addWith(g, "L2Loss", [v]));

/** scale · Σ |w|. Named "l1_regularizer". @throws VarscopeError INVALID_ARGUMENT - a negative scale */
export const slimL1 = (scale: number, name = "l1_regularizer"): Regularizer =>
  scaled(scale, name, (g, v) => {
    const size = addWith(g, "Abs", [v]);
    const axes = [...size.shape!.keys()];
    return g.add("Sum", [size, g.constant(axes, { dtype: "int32", shape: [axes.length] })]);
  });

/** Both. Named "l1_l2_regularizer". @throws VarscopeError INVALID_ARGUMENT - a negative scale */
export function slimL1L2(scaleL1 = 1, scaleL2 = 1, name = "l1_l2_regularizer"): Regularizer {
  if (scaleL1 === 0) return slimL2(scaleL2, name);
  if (scaleL2 === 0) return slimL1(scaleL1, name);
  const both = [slimL1(scaleL1), slimL2(scaleL2)];
  return (v) =>
    v.graph.nameScope(name, (scope) =>
      v.graph.add("AddN", [both.map((regularizer) => regularizer(v)!)], { name: scope }),
    );
}
