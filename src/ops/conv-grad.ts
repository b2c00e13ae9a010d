/**
 * @file Gradients of convolutions, of images and volumes: a convolution and its gradients for image and filter are each other's gradients. Start
 * at `convGradients`.
 *
 * @see TensorFlow python/ops/nn_grad.py "_Conv2DGrad", "_Conv2DBackpropInputGrad", "_Conv2DBackpropFilterGrad" and their like
 */

import type { Graph, Operation, Output } from "../graph/index.ts";
import { shape, shapeN } from "./pieces.ts";

/** Attributes that a convolution hands on to its gradients as they are. */
function handedOn(op: Operation): Record<string, never> {
  const { T: _, Tshape: __, ...rest } = op.attrs;
  return rest as Record<string, never>;
}

type Gradient = (g: Graph, op: Operation, dys: readonly (Output | null)[]) => (Output | null)[];

/** Rules of the ops `names`. @param options.shapesApart - sizes come from two Shape ops, not one ShapeN */
export function convGradients(
  names: { readonly forward: string; readonly input: string; readonly filter: string },
  options: { readonly shapesApart?: boolean } = {},
): Readonly<Record<"forward" | "input" | "filter", Gradient>> {
  return {
    forward: (g, op, [dy]) => {
      const [x, filter] = op.inputs as [Output, Output];
      const attrs = handedOn(op);
      const sizes = options.shapesApart ? null : shapeN([x, filter]);
      return [
        g.add(names.input, [sizes?.[0] ?? shape(x), filter, dy!], { attrs }),
        g.add(names.filter, [x, sizes?.[1] ?? shape(filter), dy!], { attrs }),
      ];
    },
    input: (g, op, [dy]) => {
      const [, filter, y] = op.inputs as [Output, Output, Output];
      const attrs = handedOn(op);
      return [
        null,
        g.add(names.filter, [dy!, shape(filter), y], { attrs }),
        g.add(names.forward, [dy!, filter], { attrs }),
      ];
    },
    filter: (g, op, [dy]) => {
      const [x, , y] = op.inputs as [Output, Output, Output];
      const attrs = handedOn(op);
      return [
        g.add(names.input, [shape(x), dy!, y], { attrs }),
        null,
        g.add(names.forward, [x, dy!], { attrs }),
      ];
    },
  };
}
