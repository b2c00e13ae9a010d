/**
 * @file Python's operators on tensors, which TensorFlow's gradient functions are written in: the same ops under the same names ("add",
 * "truediv", "Neg"), and how the gradient of a broadcast argument shrinks to its shape. Start at `reduceGradients`.
 *
 * @see TensorFlow python/ops/math_ops.py, python/ops/math_grad.py "_ReduceGradientArgs"
 */

import { type DType, isComplex, isStatic, type Shape, sameShape, VarscopeError } from "../base/index.ts";
import { densify, type Grad, type Graph, type Input, isIndexedSlices, Output } from "../graph/index.ts";
import * as pieces from "./pieces.ts";

/** The graph that a function's tensors live in. @throws VarscopeError INVALID_ARGUMENT - all are plain values */
export function graphOf(...inputs: readonly Input[]): Graph {
  for (const x of inputs) {
    if (x instanceof Output) return x.graph;
    if (Array.isArray(x)) for (const y of x as readonly Input[]) if (y instanceof Output) return y.graph;
  }
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    "all arguments are plain values, one must be a tensor of a graph",
    {
      hint: "make a constant of one: graph.constant(value)",
    },
  );
}

const binary =
  (type: string, defaultName: string) =>
  (x: Input, y: Input, name = defaultName): Output =>
    graphOf(x, y).add(type, [x, y], { name });

/** x + y */
export const add = binary("AddV2", "add");
/** x - y */
export const sub = binary("Sub", "sub");
/** x * y */
export const mul = binary("Mul", "mul");
/** x / y */
export const truediv = binary("RealDiv", "truediv");
/** x / y, 0 where y is 0 */
export const divNoNan = binary("DivNoNan", "div_no_nan");
/** -x */
export const neg = (x: Output): Output => x.graph.add("Neg", [x]);
/** `x` itself where it is real */
export const conj = (x: Output): Output => (isComplex(x.dtype) ? x.graph.add("Conj", [x]) : x);

/** An op of one or more tensors under its default name. */
export const apply = (type: string, ...inputs: readonly [Output, ...Input[]]): Output =>
  inputs[0].graph.add(type, inputs);

/** Ops made in `body` wait for the gradient, so that they do not run, and keep memory, too early. */
export const after = <R>(dy: Output, body: () => R): R => dy.graph.controlDependencies([dy], body);

/** A scalar Const named "Const". */
export const constantLike = (x: Output, value: number, dtype: DType = x.dtype): Output =>
  x.graph.constant(value, { dtype });

/** Whether all three have one static shape: then nothing was broadcast. */
export const allSameShape = (x: Output, y: Output, dy: Output): boolean =>
  isStatic(x.shape) && sameShape(x.shape, y.shape) && sameShape(x.shape, dy.shape);

/**
 * Axes of the common shape along which x and y were (or may safely be taken as) broadcast; null where that is known only at run time.
 */
function broadcastAxes(x: Shape | null, y: Shape | null): [number[], number[]] | null {
  if (x === null || y === null) return null;
  const rank = Math.max(x.length, y.length);
  const axes: [number[], number[]] = [[], []];
  for (let i = 0; i < rank; i++) {
    const a = i < rank - x.length ? 1 : x[i - rank + x.length];
    const b = i < rank - y.length ? 1 : y[i - rank + y.length];
    if (a === 1 && b !== 1) axes[0].push(i);
    else if (b === 1 && a !== 1) axes[1].push(i);
    else if (a === null || b === null) return null;
  }
  return axes;
}

/** Gradients gx and gy, of the broadcast shape, summed to the shapes of x and y. */
export function reduceGradients(x: Output, y: Output, gx: Grad, gy: Grad): Grad[] {
  const g = x.graph;
  const [xShape, yShape] = [pieces.shape(x), pieces.shape(y)];
  const axes = broadcastAxes(x.shape, y.shape);
  if (axes === null) {
    const [rx, ry] = g.addOp("BroadcastGradientArgs", [xShape, yShape]).outputs;
    return [shrink(g, gx, rx!, xShape), shrink(g, gy, ry!, yShape)];
  }
  const [xRank, yRank] = [x.shape!.length, y.shape!.length];
  return [
    axes[0].length > 0 || xRank < yRank ? shrink(g, gx, axes[0], xShape) : gx,
    axes[1].length > 0 || yRank < xRank ? shrink(g, gy, axes[1], yShape) : gy,
  ];
}

function shrink(g: Graph, grad: Grad, axes: Output | readonly number[], shape: Output): Output {
  const dense = isIndexedSlices(grad) ? densify(grad) : grad;
  const sum = g.add("Sum", [dense, axes], { attrs: { keep_dims: true } });
  return pieces.reshape(sum, shape);
}

/** Sums over the axes of BroadcastGradientArgs, without keeping them, and reshapes: the older way. */
export function sumTo(grad: Output, axes: Output, shape: Output): Output {
  return pieces.reshape(grad.graph.add("Sum", [grad, axes]), shape);
}

/** Gradient gx alone, of the broadcast shape of x and `other`, summed to the shape of x. */
export function reduceGradient(x: Output, other: Output, gx: Grad): Grad {
  const g = x.graph;
  const [xShape, otherShape] = [pieces.shape(x), pieces.shape(other)];
  const axes = broadcastAxes(x.shape, other.shape);
  if (axes === null) return shrink(g, gx, g.add("BroadcastGradientArgs", [xShape, otherShape]), xShape);
  return axes[0].length > 0 || x.shape!.length < other.shape!.length ? shrink(g, gx, axes[0], xShape) : gx;
}
