/**
 * @file Batch normalization behind a convolution or a product, folded into its weights: w' = w · γ/√(σ² + ε), b' = β + (b − μ) · γ/√(σ² + ε).
 * Start at `chainsOf`; names are those of TensorFlow's folder, which folds fewer graphs.
 *
 * @see TensorFlow python/tools/optimize_for_inference_lib.py "fold_batch_norms"; Jacob et al. 2018, section 3.2 (arXiv:1712.05877)
 */

import { fromData, type Tensor } from "../../base/index.ts";
import { writeAttr } from "../../formats/graph-def/index.ts";
import type { Operation, Output } from "../../graph/index.ts";
import {
  affineOf,
  affineRecipe,
  type Channels,
  isFusedNorm,
  PASSES_ON,
  type Step,
  stepOf,
} from "./affine.ts";
import {
  constNode,
  controlInputs,
  type Draft,
  freshName,
  joinInputs,
  makeNode,
  rewire,
  typeAttr,
} from "./draft.ts";
import { type Linear, scaleRecipe, scaleWeights } from "./linear.ts";
import type { Origins } from "./origins.ts";

/** A linear op with what follows it, up to the end of a normalization. */
export interface Chain {
  readonly linear: Linear;
  readonly steps: readonly Step[];
  /** ops from the linear one (without it) to the last, in order */
  readonly ops: readonly Operation[];
  /** op whose result others take, too (or the caller wants); null where nobody does */
  readonly shared: Operation | null;
}

/** A folded layer. */
export interface Folded {
  readonly layer: string;
  readonly what: string;
  readonly before: Tensor;
  readonly after: Tensor;
  /** axes that are the channels of the output */
  readonly axes: readonly number[];
  /** by what each channel of the output was multiplied; null where the scale went along the channels of the input */
  readonly scale: Float64Array | null;
}

/** Longer chains are no layers. */
const MAX_OPS = 32;

interface Walk {
  readonly x: Output;
  /** a Reshape changes the rank */
  readonly channels: Channels;
  readonly steps: readonly Step[];
  readonly ops: readonly Operation[];
  readonly shared: readonly Operation[];
}

/** Chains behind a linear op that end with a normalization. More than one where others take its result, too. */
export function chainsOf(linear: Linear, keep: ReadonlySet<string>): Chain[] {
  const found = new Map<Operation, Chain>();
  const stack: Walk[] = [
    { x: linear.op.outputs[0]!, channels: linear.channels, steps: [], ops: [], shared: [] },
  ];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { x, channels, steps, ops } = at;
    const users = [...x.op.consumers].filter((op) => op.inputs.some((y) => y.op === x.op));
    const isShared = users.length > 1 || keep.has(x.op.name);
    const shared = isShared ? [...at.shared, x.op] : at.shared;
    let ended = isShared || ops.length === MAX_OPS;
    const before = stack.length;
    for (const op of ended && ops.length === MAX_OPS ? [] : users) {
      const step = stepOf(op, x, channels);
      const next = step === null ? handedOn(op, x, channels) : endsAt(steps, step) ? null : channels;
      if (next === null) continue;
      const taken = step === null ? steps : [...steps, step];
      stack.push({ x: op.outputs[0]!, channels: next, steps: taken, ops: [...ops, op], shared });
    }
    ended ||= stack.length === before;
    const chain = ended ? trimmed(linear, at) : null;
    if (chain !== null && !found.has(chain.ops.at(-1)!)) found.set(chain.ops.at(-1)!, chain);
  }
  return [...found.values()];
}

/** A fused normalization is whole, and so are a product and a sum: what adds after them is another layer's. */
function endsAt(steps: readonly Step[], next: Step): boolean {
  const last = steps.at(-1);
  if (last === undefined || next.scales || !steps.some((s) => s.scales)) return false;
  return last.fused || !last.scales;
}

/** Ops that may stand in between: they fall out, or stay where they are. Returns where the channels are behind them; null for other ops. */
function handedOn(op: Operation, x: Output, channels: Channels): Channels | null {
  if (PASSES_ON.has(op.type)) return channels;
  // slim's fused normalization of vectors: [n, c] as [n, 1, 1, c], and back
  if (op.type !== "Reshape" || op.inputs[0] !== x || channels.axis !== channels.rank - 1) return null;
  const shape = op.outputs[0]!.shape;
  if (shape === null || shape.at(-1) !== channels.count) return null;
  return { ...channels, axis: shape.length - 1, rank: shape.length };
}

/** The chain without what follows the normalization; null where it has none. */
function trimmed(linear: Linear, { steps, ops, shared }: Walk): Chain | null {
  const last = steps.findLastIndex((s) => s.scales);
  if (last < 0) return null;
  const end = !steps[last]!.fused && steps[last + 1] !== undefined ? last + 1 : last;
  const kept = ops.slice(0, ops.indexOf(steps[end]!.op) + 1);
  const inside = new Set([linear.op, ...kept.slice(0, -1)]);
  return {
    linear,
    steps: steps.slice(0, end + 1),
    ops: kept,
    shared: shared.find((op) => inside.has(op)) ?? null,
  };
}

/** Why a chain cannot be folded as it is; null where it can. */
export function refusal({ linear, ops, steps, shared }: Chain, clone: boolean): string | null {
  const fused = steps.find((s) => s.fused && usesStatistics(s.op));
  if (fused !== undefined)
    return `others take the statistics that ${fused.op.name} gives (its outputs after the first)`;
  const awaited = ops.slice(0, -1).find(isAwaited);
  if (awaited !== undefined && ops.some((op) => op.controlInputs.length > 0))
    return `control edges lead into the chain, and from ${awaited.name} out of it`;
  if (shared === null || clone) return null;
  const inside = new Set(ops);
  const others = [...shared.consumers].filter((op) => !inside.has(op)).map((op) => op.name);
  const who = others.length === 0 ? "the caller" : others.slice(0, 3).join(", ");
  return `${who} ${others.length > 1 ? "take" : "takes"} the result of ${shared.type} '${shared.name}', too, which folding would change; with cloning on, ${linear.op.name} is computed twice`;
}

const isAwaited = (op: Operation): boolean => [...op.consumers].some((c) => c.controlInputs.includes(op));

const usesStatistics = (op: Operation): boolean =>
  isFusedNorm(op) && [...op.consumers].some((c) => c.inputs.some((y) => y.op === op && y.index > 0));

/** Folds a chain. */
export function foldAfter(draft: Draft, chain: Chain, origins: Origins | undefined): Folded {
  const { linear, steps, ops, shared } = chain;
  const { op, value, outAxes, channels } = linear;
  const { scale, offset } = affineOf(steps, channels.count);
  const end = ops.at(-1)!;
  const name = shared === null ? op.name : freshName(draft, `${op.name}_folded`);
  const weights = freshName(draft, `${name}_weights`);
  const bias = freshName(draft, `${name}_bn_offset`);
  const after = scaleWeights(value, outAxes, scale);
  const node = draft.nodes.get(op.name)!;
  const input = [...node.input];
  input[linear.weights] = weights;
  draft.nodes.set(weights, constNode(weights, after, node.device));
  draft.nodes.set(bias, constNode(bias, vector(value.dtype, offset), node.device));
  draft.nodes.set(name, makeNode({ ...node, name, input }));
  const last = keepReshapes(draft, chain, name);
  const control = ops.flatMap((x) => controlInputs(draft.nodes.get(x.name)!));
  draft.nodes.set(
    end.name,
    makeNode({
      name: end.name,
      op: "BiasAdd",
      input: joinInputs([last, bias], control),
      device: draft.nodes.get(end.name)!.device,
      attr: biasAttrs(value, String(op.attrs.data_format ?? "NHWC")),
    }),
  );
  const awaited = ops.slice(0, -1).filter(isAwaited);
  if (shared === null && awaited.length > 0)
    rewire(draft, new Map(), new Map(awaited.map((x) => [x.name, end.name])));
  if (origins !== undefined) {
    const recipe = affineRecipe(steps, channels.count, origins);
    origins.record(weights, scaleRecipe(linear, outAxes, recipe.scale, origins));
    origins.record(bias, recipe.offset);
  }
  const copy = shared === null ? "" : ` of a second ${op.type}, ${name}`;
  const what = `${describe(steps)} folded into ${weights}${copy}; ${end.name} is a BiasAdd of ${bias}`;
  return { layer: name, what, before: value, after, axes: outAxes, scale };
}

/** Reshapes of the chain, hung on the op of this name: the last one's name. Where others take them, too, copies are hung there. */
function keepReshapes(draft: Draft, { ops, shared }: Chain, first: string): string {
  let last = first;
  for (const { name: old } of ops.filter((x) => x.type === "Reshape")) {
    const node = draft.nodes.get(old)!;
    const name = shared === null ? old : freshName(draft, `${old}_folded`);
    draft.nodes.set(name, makeNode({ ...node, name, input: [last, ...node.input.slice(1)] }));
    last = name;
  }
  return last;
}

export const vector = (dtype: Tensor["dtype"], values: Float64Array): Tensor =>
  fromData(dtype, [values.length], dtype === "float64" ? values : Float32Array.from(values));

export const biasAttrs = ({ dtype }: Tensor, format: string) => ({
  T: typeAttr(dtype),
  data_format: writeAttr(format.startsWith("NC") ? "NCHW" : "NHWC", "string"),
});

/** What the steps are, in words. */
export const describe = (steps: readonly Step[]): string =>
  steps
    .filter((s) => s.scales || s.fused)
    .map((s) => `${s.op.type} '${s.op.name}'`)
    .join(", ");
