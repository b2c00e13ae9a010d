/**
 * @file The gradient of the fused batch normalization gradients: TensorFlow writes the first gradient out in plain
 * ops and differentiates those with a tape. Start at `batchNormSecondGrad`.
 *
 * @see TensorFlow python/ops/nn_fused_batch_norm_grad.py
 */

import type { Graph, Operation, Output } from "../graph/index.ts";
import { isIndexedSlices } from "../graph/index.ts";
import { add, mul, sub } from "./operators.ts";
import { cast, reshape, size } from "./pieces.ts";

/** Everything that the plain gradient is made of; vectors have shape [channels]. */
interface Parts {
  readonly g: Graph;
  readonly dy: Output;
  readonly x: Output;
  readonly scale: Output;
  readonly mean: Output;
  readonly variance: Output;
  readonly epsilon: number;
  readonly axes: readonly number[];
  /** channels stand before the image's last axes: vectors are reshaped to meet them */
  readonly first: boolean;
}

const reduce = (p: Parts, type: "Mean" | "Sum", x: Output, keep: boolean): Output =>
  p.g.add(type, [x, [...p.axes]], { attrs: { keep_dims: keep, Tidx: "int32" } });

/** A vector that broadcasts along the channels of an image of `rank` dims. */
const alongChannels = (p: Parts, v: Output, count: Output): Output =>
  reshape(v, [1, count, ...p.axes.slice(1).map(() => 1)]);

/** Gradients of training mode: dx, dscale, doffset. */
function trainingParts(p: Parts): Output[] {
  const { g, dy, x, epsilon, first } = p;
  const scale = first ? alongChannels(p, p.scale, size(p.scale)) : p.scale;
  const meanDy = reduce(p, "Mean", dy, first);
  const meanX = reduce(p, "Mean", x, first);
  const squares = g.add("SquaredDifference", [x, g.add("StopGradient", [meanX])]);
  const varX = reduce(p, "Mean", squares, first);
  const centredDy = sub(dy, meanDy);
  const centredX = sub(x, meanX);
  const slope = reduce(p, "Mean", mul(dy, centredX), first);
  const factor = mul(scale, g.add("Rsqrt", [add(varX, epsilon)]));
  const inverse = g.add("Reciprocal", [add(varX, epsilon)]);
  const rest = sub(centredDy, mul(mul(inverse, slope), centredX));
  const dx = mul(factor, rest);
  const rstd = g.add("Rsqrt", [add(varX, epsilon)]);
  const dscale = mul(rstd, reduce(p, "Sum", mul(dy, centredX), first));
  const flat = first ? g.add("Squeeze", [dscale]) : dscale;
  return [dx, flat, reduce(p, "Sum", dy, false)];
}

/** Gradients of inference mode. */
function inferenceParts(p: Parts): Output[] {
  const { g, dy, x, epsilon } = p;
  let { scale, mean, variance } = p;
  if (p.first) {
    const count = size(mean);
    mean = alongChannels(p, mean, count);
    variance = alongChannels(p, variance, count);
    scale = alongChannels(p, scale, count);
  }
  const doffset = reduce(p, "Sum", dy, false);
  const rstd = g.add("Rsqrt", [add(variance, epsilon)]);
  const dscale = reduce(p, "Sum", mul(mul(dy, sub(x, mean)), rstd), false);
  return [mul(mul(dy, scale), rstd), dscale, doffset];
}

/**
 * Gradients of `ys` for `xs` through the ops of `recorded`, as a GradientTape makes them: first in, first out, each
 * op's below the scope `gradient_tape/`.
 */
function tapeGradients(
  g: Graph,
  recorded: readonly Operation[],
  ys: readonly Output[],
  dys: readonly Output[],
  xs: readonly Output[],
): (Output | null)[] {
  const inTape = new Set(recorded);
  const waiting = waitingCounts(inTape, ys);
  const found = new Map<Output, Output[]>();
  const give = (x: Output, dx: Output): void => void found.set(x, [...(found.get(x) ?? []), dx]);
  ys.forEach((y, i) => {
    give(y, dys[i]!);
  });
  const total = (x: Output): Output | null => {
    const parts = found.get(x) ?? [];
    if (parts.length > 1) found.set(x, [g.add("AddN", [parts])]);
    return found.get(x)?.[0] ?? null;
  };
  const queue = ys.map((y) => y.op).filter((op) => waiting.get(op) === 0);
  for (let op = queue.shift(); op !== undefined; op = queue.shift()) {
    const dy = total(op.outputs[0]!);
    const dxs = dy === null ? [] : gradOf(g, op, dy);
    op.inputs.forEach((x, i) => {
      const dx = dxs[i];
      if (dx) give(x, dx);
    });
    for (const x of op.inputs) {
      if (!waiting.has(x.op)) continue;
      waiting.set(x.op, waiting.get(x.op)! - 1);
      if (waiting.get(x.op) === 0) queue.push(x.op);
    }
  }
  return xs.map(total);
}

/** Ops of the tape that the results need, with the number of their uses in it. */
function waitingCounts(inTape: ReadonlySet<Operation>, ys: readonly Output[]): Map<Operation, number> {
  const waiting = new Map<Operation, number>(ys.map((y) => [y.op, 0]));
  const open = [...waiting.keys()];
  for (let op = open.pop(); op !== undefined; op = open.pop()) {
    for (const x of op.inputs) {
      if (!inTape.has(x.op)) continue;
      if (!waiting.has(x.op)) open.push(x.op);
      waiting.set(x.op, (waiting.get(x.op) ?? 0) + 1);
    }
  }
  return waiting;
}

/** The tape names an operator's gradients below the operator, others beside it. */
function gradOf(g: Graph, op: Operation, dy: Output): (Output | null)[] {
  const def = op.needDef();
  if (typeof def.grad !== "function") return [];
  const { grad } = def;
  const operator = /\/(add|sub|mul)(_\d+)?$/.test(op.name);
  const scope = operator ? op.name : op.name.slice(0, op.name.lastIndexOf("/"));
  const dxs = g.nameScope(null, () =>
    g.nameScope(`gradient_tape/${scope}/`, () => grad(g, op, [dy], op.attrs as never)),
  );
  return dxs.map((dx) => (dx === null || isIndexedSlices(dx) ? null : dx));
}

/** Gradients of FusedBatchNormGrad (any version) for y_backprop, x and scale; none for the statistics. */
export function batchNormSecondGrad(g: Graph, op: Operation, dys: readonly Output[]): (Output | null)[] {
  const [dy0, x0, scale, mean, variance] = op.inputs;
  const format = String(op.attrs.data_format);
  const before = g.operations.length;
  const half = x0!.dtype !== "float32";
  const x = half ? cast(x0!, "float32") : x0!;
  const dy = half ? cast(dy0!, "float32") : dy0!;
  const first = !format.endsWith("C");
  const axes = Array.from(format, (_, i) => i).filter((i) => i !== (first ? 1 : format.length - 1));
  const parts: Parts = {
    g,
    dy,
    x,
    scale: scale!,
    mean: mean!,
    variance: variance!,
    epsilon: Number(op.attrs.epsilon),
    axes,
    first,
  };
  const [dx, dscale, doffset] = op.attrs.is_training === true ? trainingParts(parts) : inferenceParts(parts);
  const ys = [half ? cast(dx!, x0!.dtype) : dx!, dscale!, doffset!];
  const recorded = g.operations.slice(before);
  const grads = tapeGradients(g, recorded, ys, dys.slice(0, 3), [dy0!, x0!, scale!]);
  return [...grads, ...op.inputs.slice(3).map(() => null)];
}
