/**
 * @file The pass that evens out the ranges of weights between layers, so that 8 bits for a tensor serve all of its channels: what a layer gives is
 * divided by a number for each channel, and the next layer's weights are multiplied by it. Start at `equaliseLayers`.
 *
 * @see Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.1 (arXiv:1906.04721)
 */

import { fromData, type Tensor, toNumbers } from "../../base/index.ts";
import { constantValue, type Graph, type Operation, type Output } from "../../graph/index.ts";
import { type Channels, PASSES_ON, type Step, stepOf } from "./affine.ts";
import {
  changeNode,
  constNode,
  controlInputs,
  type Draft,
  dataInputs,
  draftOf,
  dropUnneeded,
  freshName,
  graphOf,
  joinInputs,
  makeNode,
  needed,
} from "./draft.ts";
import { vector } from "./fold-after.ts";
import type { FoldResult } from "./fold-norms.ts";
import { channelRanges, inputChannels, type Linear, linearOf, scaleWeights } from "./linear.ts";
import type { Origins } from "./origins.ts";
import { type Change, type Left, outputsOf, type PassOptions } from "./pass.ts";
import { type RangeReport, rangeReport } from "./ranges.ts";

/** Two layers, and what stands between them. */
interface Pair {
  readonly first: Linear;
  readonly second: Linear;
  readonly offsets: readonly { readonly step: Step; readonly channels: Channels }[];
  readonly clips: readonly { readonly op: Operation; readonly channels: Channels }[];
  /** by what each channel between them is divided */
  readonly scale: Float64Array;
}

/** Ops f with f(x · s) = f(x) · s for s > 0, that keep channels apart; zeros around an image are zeros still. */
const SCALED: ReadonlySet<string> = new Set([
  ...PASSES_ON,
  "Relu",
  "LeakyRelu",
  "MaxPool",
  "AvgPool",
  "MaxPool3D",
  "AvgPool3D",
  "Pad",
  "MirrorPad",
]);

/** More ops between two layers are no chain of them. */
const MAX_OPS = 16;

/**
 * Scales the channels between layers by s = √(r₁ · r₂) / r₂, with r the largest |weight| of a channel on either side; chains of layers in turns, until
 * nothing moves. Layers are convolutions, depthwise and transposed ones, and products with constant weights; between them biases, ReLU, leaky ReLU,
 * pooling, padding. ReLU6 becomes Relu and Minimum with 6 / s for each channel, which is exact.
 *
 * @throws VarscopeError NOT_FOUND - an output that the graph lacks
 */
export function equaliseLayers(graph: Graph, options: PassOptions = {}): FoldResult {
  const outputs = outputsOf(graph, options);
  const { pairs, left } = pairsOf(graph, new Set(outputs));
  balance(pairs);
  const moved = pairs.filter(({ scale }) => scale.some((s) => Math.abs(Math.log(s)) > LEAST_MOVE));
  const draft = draftOf(graph);
  const before = needed(draft.nodes, outputs);
  const ranges = [...layersOf(moved)].map((layer) => rescale(draft, layer, options.origins));
  const done = moved.map((pair) => settle(draft, pair, options.origins));
  if (moved.length > 0) dropUnneeded(draft, before, outputs);
  const report = { pass: "equalise-layers", done, left };
  return { graph: moved.length > 0 ? graphOf(draft) : graph, report, ranges };
}

function pairsOf(
  graph: Graph,
  keep: ReadonlySet<string>,
): { readonly pairs: readonly Pair[]; readonly left: readonly Left[] } {
  const pairs: Pair[] = [];
  const left: Left[] = [];
  for (const op of graph.operations) {
    const first = linearOf(op);
    if (first === null || typeof first === "string") continue;
    const found = pairBehind(first, keep);
    if (typeof found === "string") left.push({ at: op.name, why: found });
    else if (found !== null) pairs.push(found);
  }
  return { pairs, left };
}

/** The layer behind a layer; null where the graph ends, or why its channels cannot be scaled. */
function pairBehind(first: Linear, keep: ReadonlySet<string>): Pair | string | null {
  const offsets: Pair["offsets"][number][] = [];
  const clips: Pair["clips"][number][] = [];
  let x = first.op.outputs[0]!;
  let channels: Channels | null = first.channels;
  for (let i = 0; i < MAX_OPS; i++) {
    const users: Operation[] = [...x.op.consumers].filter((op) => op.inputs.some((y) => y.op === x.op));
    if (keep.has(x.op.name)) return users.length === 0 ? null : `${x.op.name} is an output`;
    const [user] = users;
    if (user === undefined) return null;
    if (users.length > 1 || user.inputs.filter((y) => y.op === x.op).length > 1)
      return `${x.op.type} '${x.op.name}' has more than one consumer (${users.slice(0, 3).map((op) => op.name)})`;
    const second = linearOf(user);
    if (typeof second === "string") return `of ${user.type} '${user.name}' behind it ${second}`;
    if (second !== null) {
      const scale = new Float64Array(channels.count).fill(1);
      return meet(x, channels, second) ?? { first, second, offsets, clips, scale };
    }
    const step = stepOf(user, x, channels);
    if (step?.scales)
      return `${user.type} '${user.name}' scales its channels; fold it first (fold-batch-norm)`;
    if (step !== null) offsets.push({ step, channels });
    else if (user.type === "Relu6") clips.push({ op: user, channels });
    else {
      channels = SCALED.has(user.type) ? channels : afterMean(user, channels);
      if (channels === null) return `${user.type} '${user.name}' behind it does not scale with its input`;
    }
    x = user.outputs[0]!;
  }
  return "the next layer is too far away";
}

/** Why a layer does not take the channels of `x` one by one; null where it does. */
function meet(x: Output, channels: Channels, second: Linear): string | null {
  const taken = second.op.inputs[second.data] === x ? inputChannels(second) : null;
  if (taken?.count === channels.count && taken.axis === channels.axis) return null;
  return `${second.op.type} '${second.op.name}' behind it takes its channels in groups, or otherwise than one by one`;
}

/** Where the last axis has the channels: a mean over others keeps them. */
function afterMean(op: Operation, { axis, rank, count }: Channels): Channels | null {
  const axes = op.type === "Mean" ? constantValue(op.inputs[1]!) : null;
  if (axes === null || axis !== rank - 1) return null;
  const reduced = new Set(toNumbers(axes).map((a) => (a < 0 ? a + rank : a)));
  if (reduced.has(axis)) return null;
  const after = op.attrs.keep_dims === true ? rank : rank - reduced.size;
  return { axis: after - 1, rank: after, count };
}

const MAX_ROUNDS = 100;
/** Of the logarithm of a scale: less is no change. */
const LEAST_MOVE = 1e-3;

/** A channel whose weights are less than this part of the largest says nothing: what its bias would become is too large for any range. */
const LEAST_PEAK = 1e-8;

/** Finds the scales: a layer between two others feels both, so pairs take turns. */
function balance(pairs: readonly Pair[]): void {
  const peaks = new Map(pairs.flatMap((p) => [p.first, p.second]).map((l) => [l.op, peaksOf(l)]));
  for (let round = 0; round < MAX_ROUNDS; round++) {
    let most = 0;
    for (const { first, second, scale } of pairs) {
      const r1 = channelRanges(peaks.get(first.op)!, first.outAxes).max;
      const r2 = channelRanges(peaks.get(second.op)!, second.inAxes).max;
      const isDead = [r1, r2].map((r) => {
        const least = LEAST_PEAK * largest(r);
        return (c: number): boolean => r[c]! <= least;
      });
      const s = scale.map((_, c) => (isDead.some((dead) => dead(c)) ? 1 : Math.sqrt(r1[c]! / r2[c]!)));
      for (const [c, x] of s.entries()) {
        scale[c]! *= x;
        most = Math.max(most, Math.abs(Math.log(x)));
      }
      peaks.set(first.op, scaleWeights(peaks.get(first.op)!, first.outAxes, inverse(s)));
      peaks.set(second.op, scaleWeights(peaks.get(second.op)!, second.inAxes, s));
    }
    if (most < LEAST_MOVE) return;
  }
}

const largest = (r: Float64Array): number => r.reduce((a, b) => Math.max(a, b), 0);
const inverse = (s: Float64Array): Float64Array => s.map((x) => 1 / x);

/** The largest |weight| over all but the channels of input and output, which are the last axes. */
function peaksOf({ value, inAxes, outAxes }: Linear): Tensor {
  const first = Math.min(...inAxes, ...outAxes);
  const shape = value.shape.map((d, axis) => (axis < first ? 1 : d));
  const data = new Float64Array(shape.reduce((n, d) => n * d, 1));
  const from = value.data as Float32Array;
  for (let i = 0, at = 0; i < from.length; i++) {
    data[at] = Math.max(data[at]!, Math.abs(from[i]!));
    if (++at === data.length) at = 0;
  }
  return fromData("float64", shape, data);
}

/** A layer with the scales of its output, its input, or both. */
interface Layer {
  readonly linear: Linear;
  divide?: Float64Array;
  times?: Float64Array;
}

function layersOf(pairs: readonly Pair[]): Iterable<Layer> {
  const layers = new Map<Operation, Layer>();
  const layer = (linear: Linear): Layer => {
    const known = layers.get(linear.op) ?? { linear };
    layers.set(linear.op, known);
    return known;
  };
  for (const { first, second, scale } of pairs) {
    layer(first).divide = scale;
    layer(second).times = scale;
  }
  return layers.values();
}

/** Gives a layer its new weights. */
function rescale(draft: Draft, { linear, divide, times }: Layer, origins: Origins | undefined): RangeReport {
  const { op, value, outAxes, inAxes } = linear;
  const scales = [
    ...(divide ? [[outAxes, inverse(divide)] as const] : []),
    ...(times ? [[inAxes, times] as const] : []),
  ];
  const after = scales.reduce((w, [axes, s]) => scaleWeights(w, axes, s), value);
  const name = freshName(draft, `${op.name}_equalised`);
  draft.nodes.set(name, constNode(name, after, op.device));
  replaceInput(draft, op, linear.weights, name);
  if (origins !== undefined) {
    const g = origins.recipe;
    const made = scales.reduce((w, [axes, s]) => {
      const shape = value.shape.map((d, i) => (axes.includes(i) ? d : 1));
      const by = g.constant(vector(value.dtype, s), { name: "scale" });
      return g.add("Mul", [w, g.add("Reshape", [by, shape])]);
    }, origins.of(linear.constant));
    origins.record(name, made);
  }
  return rangeReport({ layer: op.name, what: "", before: value, after, axes: outAxes, scale: null });
}

function replaceInput(draft: Draft, op: Operation, index: number, name: string): void {
  const { input } = draft.nodes.get(op.name)!;
  const data = dataInputs({ input }).with(index, name);
  changeNode(draft, op.name, { input: joinInputs(data, controlInputs({ input })) });
}

/** Scales what stands between two layers, and says so. */
function settle(draft: Draft, pair: Pair, origins: Origins | undefined): Change {
  const { first, second, offsets, clips, scale } = pair;
  for (const { step, channels } of offsets) divideOffset(draft, step, channels, scale, origins);
  for (const { op, channels } of clips) {
    const node = draft.nodes.get(op.name)!;
    const [relu, limit] = [freshName(draft, `${op.name}_relu`), freshName(draft, `${op.name}_limit`)];
    const value = spread(
      scale.map((s) => 6 / s),
      op.outputs[0]!.dtype,
      channels,
    );
    draft.nodes.set(relu, makeNode({ ...node, name: relu, op: "Relu", input: dataInputs(node) }));
    draft.nodes.set(limit, constNode(limit, value, op.device));
    origins?.record(limit, origins.recipe.constant(value, { name: "limit" }));
    changeNode(draft, op.name, { op: "Minimum", input: joinInputs([relu, limit], controlInputs(node)) });
  }
  const [low, high] = [1 / largest(inverse(scale)), largest(scale)].map((s) => Number(s.toPrecision(3)));
  const clipped = clips.map(({ op }) => `; Relu6 '${op.name}' is Relu and Minimum`).join("");
  const what = `${scale.length} channels to ${second.op.name} divided by ${low} to ${high}${clipped}`;
  return { at: first.op.name, what };
}

/** A bias, or another constant that is added: a number for each channel, divided by its scale. */
function divideOffset(
  draft: Draft,
  { op, index }: Step,
  channels: Channels,
  scale: Float64Array,
  origins: Origins | undefined,
): void {
  const other = op.inputs[1 - index]!;
  const known = toNumbers(constantValue(other)!);
  const values = scale.map((s, c) => known[known.length === 1 ? 0 : c]! / s);
  const value = op.type === "BiasAdd" ? vector(other.dtype, values) : spread(values, other.dtype, channels);
  const name = freshName(draft, `${op.name}_equalised`);
  draft.nodes.set(name, constNode(name, value, op.device));
  replaceInput(draft, op, 1 - index, name);
  if (origins === undefined) return;
  const g = origins.recipe;
  const by = g.constant(spreadLike(scale, value), { name: "scale" });
  const old = g.add("Reshape", [origins.ofValue(other), known.length === 1 ? [] : value.shape]);
  origins.record(name, g.add("RealDiv", [old, by]));
}

/** Numbers of channels, shaped so that they broadcast along the channels' axis. */
const spread = (values: Float64Array, dtype: Tensor["dtype"], { axis, rank }: Channels): Tensor => ({
  ...vector(dtype, values),
  shape: [values.length, ...new Array<number>(rank - 1 - axis).fill(1)],
});

const spreadLike = (values: Float64Array, { dtype, shape }: Tensor): Tensor => ({
  ...vector(dtype, values),
  shape,
});
