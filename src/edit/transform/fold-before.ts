/**
 * @file Batch normalization before a convolution or a product: its scale goes into the weights, along the channels of the input; its shift
 * becomes a bias behind it where no padding takes part, else stays before it as x + b/a. Start at `normBefore`.
 */

import type { Operation } from "../../graph/index.ts";
import { affineOf, affineRecipe, type Channels, type Step, stepOf } from "./affine.ts";
import {
  changeNode,
  constNode,
  controlInputs,
  type Draft,
  dataInputs,
  edge,
  freshName,
  joinInputs,
  makeNode,
} from "./draft.ts";
import { biasAttrs, describe, type Folded, vector } from "./fold-after.ts";
import {
  inputChannels,
  isTransposed,
  isUnpadded,
  type Linear,
  scaleRecipe,
  scaleWeights,
  shiftRecipe,
  shiftThrough,
} from "./linear.ts";
import type { Origins } from "./origins.ts";

/** Steps before a linear op, from the first to the one that feeds it. */
export interface Before {
  readonly linear: Linear;
  readonly channels: Channels;
  readonly steps: readonly Step[];
}

/** More steps are no layer. */
const MAX_STEPS = 16;
/** A channel with less of the largest scale cannot carry its shift: b/a would drown x. */
const LEAST_SCALE = 1e-4;

/** The normalization before a linear op; null where there is none, or why it stays. */
export function normBefore(linear: Linear, keep: ReadonlySet<string>): Before | string | null {
  const steps: Step[] = [];
  let x = linear.op.inputs[linear.data]!;
  const channels = inputChannels(linear);
  let taken: Operation | null = null;
  while (steps.length < MAX_STEPS && channels !== null) {
    const source = x.op.inputs.findIndex((y) => stepOf(x.op, y, channels) !== null);
    if (source < 0 || x.index !== 0) break;
    const users = [...x.op.consumers].filter((op) => op.inputs.some((y) => y.op === x.op));
    if (users.length > 1 || keep.has(x.op.name)) taken ??= x.op;
    steps.unshift(stepOf(x.op, x.op.inputs[source]!, channels)!);
    x = x.op.inputs[source]!;
  }
  const first = steps.findIndex((s) => s.scales);
  if (first < 0) return null;
  const kept = steps.slice(first);
  if (taken !== null && kept.some((s) => s.op === taken))
    return `others than ${linear.op.name} take the result of ${taken.type} '${taken.name}', too`;
  if (kept.some((s) => [...s.op.consumers].some((c) => c.controlInputs.includes(s.op))))
    return "control edges lead out of it";
  return { linear, channels: channels!, steps: kept };
}

/** Folds it; or says why it cannot be done. */
export function foldBefore(draft: Draft, before: Before, origins: Origins | undefined): Folded | string {
  const { linear, channels, steps } = before;
  const { op, value, inAxes } = linear;
  const { scale, offset } = affineOf(steps, channels.count);
  const unpadded = isUnpadded(linear);
  const shifts = offset.some((b) => b !== 0);
  const most = scale.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const weak = scale.findIndex((a) => Math.abs(a) < most * LEAST_SCALE || a === 0);
  if (!unpadded && shifts && weak >= 0) {
    return `${paddingOf(op)} puts zeros between it and ${op.name}, so its shift must stay before the padding, and cannot: channel ${weak} has scale ${scale[weak]}`;
  }
  const recipe = origins && affineRecipe(steps, channels.count, origins);
  const weights = freshName(draft, `${op.name}_weights`);
  const after = scaleWeights(value, inAxes, scale);
  draft.nodes.set(weights, constNode(weights, after, op.device));
  if (origins) origins.record(weights, scaleRecipe(linear, inAxes, recipe!.scale, origins));
  const end = steps.at(-1)!.op;
  const start = edge(steps[0]!.op.inputs[steps[0]!.index]!);
  const control = steps.flatMap((s) => controlInputs(draft.nodes.get(s.op.name)!));
  const input = [...draft.nodes.get(op.name)!.input];
  input[linear.weights] = weights;
  if (unpadded || !shifts) input[linear.data] = start;
  changeNode(draft, op.name, {
    input: joinInputs(dataInputs({ input }), [...controlInputs({ input }), ...control]),
  });
  const what = `${describe(steps)} folded into ${weights}`;
  const folded = { layer: op.name, before: value, after, axes: linear.outAxes, scale: null };
  if (!shifts) return { ...folded, what };
  const bias = freshName(draft, `${op.name}_bn_offset`);
  if (unpadded) {
    draft.nodes.set(bias, constNode(bias, vector(value.dtype, shiftThrough(linear, offset)), op.device));
    if (origins) origins.record(bias, shiftRecipe(linear, recipe!.offset, origins));
    const inner = addBehind(draft, linear, bias);
    return { ...folded, layer: inner, what: `${what}; its shift is the BiasAdd ${op.name} behind ${inner}` };
  }
  const shift = offset.map((b, i) => b / scale[i]!);
  draft.nodes.set(bias, constNode(bias, vector(value.dtype, shift), op.device));
  if (origins) origins.record(bias, origins.recipe.add("RealDiv", [recipe!.offset, recipe!.scale]));
  const attr = biasAttrs(value, String(op.attrs.data_format ?? "NHWC"));
  changeNode(draft, end.name, { op: "BiasAdd", input: [start, bias], attr });
  return {
    ...folded,
    what: `${what}; only the scale: ${paddingOf(op)} puts zeros behind the shift, which stays as BiasAdd ${end.name}`,
  };
}

const paddingOf = (op: Operation): string =>
  isTransposed(op) ? "a transposed convolution" : `${String(op.attrs.padding)} padding`;

/** A BiasAdd takes the name of the op, which gets another; returns that. */
function addBehind(draft: Draft, { op, value }: Linear, bias: string): string {
  const inner = freshName(draft, `${op.name}_scaled`);
  const node = draft.nodes.get(op.name)!;
  draft.nodes.set(inner, makeNode({ ...node, name: inner }));
  draft.nodes.set(
    op.name,
    makeNode({
      name: op.name,
      op: "BiasAdd",
      input: [inner, bias],
      device: node.device,
      attr: biasAttrs(value, String(op.attrs.data_format ?? "NHWC")),
    }),
  );
  return inner;
}
