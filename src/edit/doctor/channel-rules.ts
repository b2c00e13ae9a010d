/** @file Rules of single channels: negative and vanishing variance, dead ones, epsilon's part, ranges that int8 cannot hold. */

import type { VariableEntry } from "../../formats/collection/index.ts";
import type { BatchNorm } from "../batch-norms.ts";
import type { Patient } from "./patient.ts";
import {
  counted,
  type Found,
  largest,
  listed,
  patternOf,
  percent,
  quoted,
  type Rule,
  short,
  smallest,
} from "./rule.ts";
import { isSwapped } from "./swap-rules.ts";

function* negative(p: Patient): Generator<Found> {
  const found = p.norms.filter((n) => !isSwapped(p, n) && Number(p.of(n.variance)?.stats.min) < 0);
  if (found.length > 0) {
    const least = smallest(found.map((n) => Number(p.of(n.variance)!.stats.min)));
    yield {
      variables: found.map((n) => n.variance!.name),
      value: least,
      message: `moving variance goes down to ${short(least)} in ${counted(found.length, "layer")} (${listed(found.map((n) => n.layer))}): the square root of it is NaN, and so is the output`,
      repair: `varscope diff ${quoted(p.path)} EARLIER --filter ${quoted(patternOf(found.map((n) => n.variance!.name)))}  # an earlier checkpoint; a cast, an average or an edit made it`,
    };
  }
  // Second moments are sums of squares.
  const moments = p.variables.filter(
    (v) =>
      /^(v|vhat|rms|accumulator|accum_grad|accum_var)$/.test(v.slot ?? "") && Number(p.of(v)?.stats.min) < 0,
  );
  if (moments.length === 0) return;
  yield {
    variables: moments.map((v) => v.name),
    value: smallest(moments.map((v) => Number(p.of(v)!.stats.min))),
    message: `${counted(moments.length, "second moment")} of the optimizer with negative values (${listed(moments.map((v) => v.name))}): the next step takes a square root of them, and the variables become NaN`,
    repair: `varscope edit ${quoted(p.path)} OUT --drop-slots`,
  };
}

/** Gain at which a channel's noise is louder than other channels' signals; the most that epsilon 0.001 allows is 31.6 times gamma. */
const LOUD = 10;

interface Channel {
  readonly norm: BatchNorm;
  readonly variance: number;
  readonly gain: number;
}

/** Channels whose variance is below epsilon, so that epsilon normalizes them. */
function thinChannels(p: Patient): Channel[] {
  return p.norms.flatMap((norm) => {
    const values = p.of(norm.variance)?.values ?? [];
    const gammas = p.of(norm.gamma)?.values ?? null;
    const { epsilon } = p.setting(norm);
    return values.flatMap((variance, i) =>
      variance >= 0 && variance < epsilon
        ? [{ norm, variance, gain: Math.abs(gammas?.[i] ?? 1) / Math.sqrt(variance + epsilon) }]
        : [],
    );
  });
}

function* vanishing(p: Patient): Generator<Found> {
  const thin = thinChannels(p).filter((c) => !isSwapped(p, c.norm));
  if (thin.length === 0) return;
  const loud = thin.filter((c) => c.gain >= LOUD);
  const norms = [...new Set(thin.map((c) => c.norm))];
  const worst = thin.reduce((a, b) => (b.gain > a.gain ? b : a));
  const { epsilon, epsilonKnown } = p.setting(worst.norm);
  yield {
    variables: norms.map((n) => n.variance!.name),
    value: smallest(thin.map((c) => c.variance)),
    severity: loud.length > 0 ? "warning" : "info",
    message: `${counted(thin.length, "channel")} in ${counted(norms.length, "layer")} (${listed(norms.map((n) => n.layer))}) with moving variance below epsilon (${epsilon}${epsilonKnown ? "" : ", assumed"}): their input was constant, and what deviates from it is multiplied by up to ${short(worst.gain)}`,
    repair: `varscope print ${quoted(p.path)} ${quoted(worst.norm.variance!.name)} --all`,
  };
}

/** Of the largest |gamma| of a layer: less does not show in its outputs of float16. */
const DEAD_GAMMA = 1e-3;
/** From this part on a layer has lost more than pruning takes. */
const MANY_DEAD = 0.5;

function* dead(p: Patient): Generator<Found> {
  if (p.trained === null && p.step !== null) return;
  const found: { readonly v: VariableEntry; readonly dead: number; readonly all: number }[] = [];
  for (const v of p.variables) {
    const sizes =
      v.role === "gamma"
        ? (p.of(v)?.values ?? null)
        : v.role === "weight"
          ? (p.of(v)?.channels ?? null)
          : null;
    if (sizes === null || sizes.length < 2) continue;
    const absolute = Array.from(sizes, Math.abs);
    const most = absolute.reduce((a, b) => Math.max(a, b), 0);
    if (most === 0) continue; // all of it: a constant, or a branch that starts at 0
    const limit = v.role === "gamma" ? most * DEAD_GAMMA : 0;
    const count = absolute.filter((x) => x <= limit).length;
    if (count > 0) found.push({ v, dead: count, all: absolute.length });
  }
  if (found.length === 0) return;
  const worst = found.reduce((a, b) => (b.dead / b.all > a.dead / a.all ? b : a));
  const total = found.reduce((n, f) => n + f.dead, 0);
  yield {
    variables: found.map((f) => f.v.name),
    value: total,
    severity: worst.dead / worst.all > MANY_DEAD ? "warning" : "info",
    message: `${counted(total, "dead channel")}: gamma near 0 or a filter of zeros, most in ${worst.v.name}, ${worst.dead} of ${worst.all}; they cost time and give nothing`,
    repair: `varscope print ${quoted(p.path)} ${quoted(worst.v.name)} --all`,
  };
}

/** Epsilons that makers have; a checkpoint is often run with another maker's. */
const EPSILONS = [1e-3, 1e-5] as const;
/** Change of a channel's scale that shows in results. */
const COSTLY = 0.05;

function* epsilonCost(p: Patient): Generator<Found> {
  const costs = p.norms.flatMap((norm) => {
    const values = p.of(norm.variance)?.values ?? [];
    const cost = (v: number): number => Math.sqrt((v + EPSILONS[0]) / (v + EPSILONS[1])) - 1;
    const worst = largest([0, ...values.filter((v) => v >= 0).map(cost)]);
    return worst > COSTLY && !isSwapped(p, norm) ? [{ norm, worst }] : [];
  });
  if (costs.length === 0) return;
  const { norm, worst } = costs.reduce((a, b) => (b.worst > a.worst ? b : a));
  const { epsilon, epsilonKnown } = p.setting(norm);
  yield {
    variables: costs.map((c) => c.norm.variance!.name),
    value: Number(worst.toPrecision(4)),
    message: `small moving variances (least in ${norm.layer}): run with epsilon ${EPSILONS[1]} in place of ${EPSILONS[0]}, a channel becomes ${percent(worst)} larger; ${epsilonKnown ? `this model has ${epsilon}` : "the file does not say which it was trained with"}`,
    repair: epsilonKnown
      ? `varscope inspect ${quoted(p.graphPath ?? p.path)}  # keep epsilon ${epsilon} wherever the model goes`
      : `varscope doctor ${quoted(p.path)} --graph GRAPH  # tells the graph's epsilon`,
  };
}

/** Levels of int8 on one side of 0, and the fewest that keep two bits of a channel. */
export const INT8_LEVELS = 127;
export const FEWEST_LEVELS = 4;

/** Ranges of channels after folding: the normalization's scale, times the filter where it is in the same layer. */
function* ranges(p: Patient): Generator<Found> {
  const found: { readonly norm: BatchNorm; readonly narrow: number; readonly ratio: number }[] = [];
  for (const norm of p.norms) {
    const variances = p.of(norm.variance)?.values;
    if (variances === undefined || variances === null || variances.some((v) => !(v >= 0))) continue;
    const gammas = p.of(norm.gamma)?.values ?? null;
    const filter = filterOf(p, norm, variances.length);
    const { epsilon } = p.setting(norm);
    const folded = variances.map(
      (v, i) => (Math.abs(gammas?.[i] ?? 1) * (filter?.[i] ?? 1)) / Math.sqrt(v + epsilon),
    );
    const most = folded.reduce((a, b) => Math.max(a, b), 0);
    const narrow = folded.filter(
      (x) => x > most * DEAD_GAMMA * DEAD_GAMMA && (x / most) * INT8_LEVELS < FEWEST_LEVELS,
    );
    if (narrow.length > 0)
      found.push({ norm, narrow: narrow.length, ratio: most / narrow.reduce((a, b) => Math.min(a, b)) });
  }
  if (found.length === 0) return;
  const worst = found.reduce((a, b) => (b.ratio > a.ratio ? b : a));
  yield {
    variables: found.map((f) => (f.norm.gamma ?? f.norm.variance)!.name),
    value: Number(worst.ratio.toPrecision(4)),
    message: `folded into its filters, ${worst.norm.layer || "the normalization"} has channels whose ranges differ ${short(worst.ratio)} times; int8 with one scale for the tensor leaves ${counted(
      found.reduce((n, f) => n + f.narrow, 0),
      "channel",
    )} fewer than ${FEWEST_LEVELS} levels`,
    repair: `varscope print ${quoted(p.path)} ${quoted((worst.norm.gamma ?? worst.norm.variance)!.name)} --all  # quantize by channel`,
  };
}

/** Filter before a normalization: `conv1/weights` of `conv1/BatchNorm`, or of a layer with the same number. */
function filterOf(p: Patient, { layer }: BatchNorm, channels: number): Float64Array | null {
  const parent = layer.slice(0, Math.max(0, layer.lastIndexOf("/")));
  const twin = layer.replace(/(batch_?norm(alization)?|bn)(?=_?\d*$)/i, "conv");
  const kernel =
    (parent === "" ? undefined : p.weightOf(parent)) ?? (twin === layer ? undefined : p.weightOf(twin));
  const found = kernel === undefined ? null : (p.of(kernel)?.channels ?? null);
  return found?.length === channels ? found : null;
}

export const CHANNEL_RULES: readonly Rule[] = [
  {
    id: "variance-negative",
    severity: "error",
    needs: "file",
    finds: "negative moving variance, or negative second moments of an optimizer",
    threshold: "below 0",
    check: negative,
  },
  {
    id: "variance-vanishing",
    severity: "warning",
    needs: "file",
    finds: "channels that epsilon normalizes, not their variance",
    threshold:
      "variance < epsilon (graph's, config's, or 0.001; PyTorch 1e-5); warning where |gamma| / √(variance + epsilon) is 10 or more, else the channel is dead and harmless: info",
    check: vanishing,
  },
  {
    id: "channels-dead",
    severity: "warning",
    needs: "file",
    finds: "gamma near 0, filters of zeros",
    threshold:
      "|gamma| below 1/1000 of the layer's largest, filters exactly 0; warning from half of a layer on, since regularizers and pruning leave some",
    check: dead,
  },
  {
    id: "bn-epsilon-cost",
    severity: "info",
    needs: "file",
    finds: "variances so small that another maker's epsilon changes the output",
    threshold: "5 % between the two usual ones, 1e-3 (TensorFlow) and 1e-5 (PyTorch, Caffe)",
    check: epsilonCost,
  },
  {
    id: "quantization-range",
    severity: "info",
    needs: "file",
    finds: "channels that int8 with one scale for the tensor cannot hold, once the normalization is folded",
    threshold: "fewer than 4 of the 127 levels, that is 32 times narrower than the widest channel",
    check: ranges,
  },
];
