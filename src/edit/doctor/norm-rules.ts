/** @file Rules of batch normalizations' moving statistics: never updated, not settled, missing, of half precision, of other shapes. */

import { formatShape, sameShape } from "../../base/index.ts";
import { type BatchNorm, variablesOf } from "../batch-norms.ts";
import { updateOps } from "./graph-norms.ts";
import { furthest, isAll, type Patient } from "./patient.ts";
import {
  counted,
  dropCommand,
  type Found,
  largest,
  listed,
  patternOf,
  percent,
  quoted,
  type Rule,
  short,
} from "./rule.ts";
import { isSwapped } from "./swap-rules.ts";

const namesOf = (norms: readonly BatchNorm[]): string[] =>
  norms.flatMap((n) => [n.mean!.name, n.variance!.name]);
export const layersOf = (norms: readonly BatchNorm[]): string =>
  listed(norms.map((n) => n.layer || "(root)"));

/** The command that runs the ops which should have run, where a graph is known; else the one that names them. */
function updatesCommand(p: Patient, norms: readonly BatchNorm[], why: string): string {
  const wanted = new Set(norms.flatMap((n) => [n.mean?.name, n.variance?.name]));
  const ops = p.graph === null ? [] : updateOps(p.graph.graph).filter((u) => wanted.has(u.variable));
  if (ops.length === 0)
    return `varscope doctor ${quoted(p.path)} --graph GRAPH  # names the update ops; ${why}`;
  const targets = ops.slice(0, 8).map(({ op }) => `--target ${quoted(op.name)}`);
  return `varscope run ${quoted(p.graphPath!)} --checkpoint ${quoted(p.path)} ${targets.join(" ")} --steps 460 --save OUT  # with --feed of your data; ${why}`;
}

function* neverUpdated(p: Patient): Generator<Found> {
  const still = p.norms.filter(
    (n) => n.mean !== null && n.variance !== null && isAll(p.of(n.mean), 0) && isAll(p.of(n.variance), 1),
  );
  if (still.length === 0) return;
  const common = { variables: namesOf(still), value: still.length };
  const all = `${still.length} of ${counted(p.norms.length, "normalization")} (${layersOf(still)})`;
  if (p.trained === null) {
    yield {
      ...common,
      severity: "info",
      message: `moving mean is exactly 0 and moving variance exactly 1 in ${all}: the model has not been trained; nothing is wrong yet`,
      repair: `varscope inspect ${quoted(p.path)} --stats  # again after some steps`,
    };
    return;
  }
  const moved = still.map((n) => Math.max(movedBy(p, n.gamma, 1), movedBy(p, n.beta, 0)));
  const most = largest(moved);
  const proof = most > 0 ? `gamma and beta there have moved by up to ${short(most)}` : p.trained;
  yield {
    ...common,
    severity: most > 0 || still.length === p.norms.length ? "error" : "warning",
    message: `moving mean is exactly 0 and moving variance exactly 1 in ${all}, although ${proof}: the update ops never ran, and inference does not normalize at all`,
    repair: updatesCommand(
      p,
      still,
      "make the train op depend on collection update_ops and train, or: varscope recalibrate",
    ),
  };
}

function movedBy(p: Patient, v: BatchNorm["gamma"], start: number): number {
  const n = p.of(v);
  return n === null || n.count === 0 || isAll(n, 1 - start) ? 0 : furthest(n, start) || 0;
}

/** Part of the initial value from which results are off: 5 % of a variance of 1 on one of 0.5 is 10 %, and 5 % of an activation. */
const RESIDUE_WARNS = 0.05;
const RESIDUE_INFORMS = 0.01;

/**
 * What is left of the initial value after `step` updates: momentum^step. No variance can be below it, since the rest adds nothing
 * negative: the least variance that is seen bounds it, whatever the momentum was.
 */
function residueOf(p: Patient, norm: BatchNorm): number {
  const tracked = p.of(p.byName(`${norm.layer}.num_batches_tracked`) ?? null);
  const steps = tracked === null ? p.step! : Number(tracked.stats.max);
  const least = Number(p.of(norm.variance)?.stats.min ?? 1);
  return Math.min(p.setting(norm).momentum ** steps, Math.max(0, least));
}

function* residue(p: Patient): Generator<Found> {
  if (p.step === null || p.step === 0) return;
  const found = p.norms
    .filter((n) => n.variance !== null && p.of(n.variance) !== null && !isAll(p.of(n.variance), 1))
    .map((norm) => ({ norm, left: residueOf(p, norm) }))
    .filter(({ left }) => left > RESIDUE_INFORMS)
    .sort((a, b) => b.left - a.left);
  const [worst] = found;
  if (worst === undefined) return;
  const norms = found.map(({ norm }) => norm);
  const { momentum, momentumKnown } = p.setting(worst.norm);
  const wanted = Math.ceil(Math.log(RESIDUE_INFORMS) / Math.log(momentum));
  const source = momentumKnown
    ? `momentum ${momentum}`
    : `momentum ${momentum}, which is assumed, the usual one`;
  const counts = p.of(worst.norm.variance)!;
  const [least] = [Number(counts.stats.min)];
  const off = Math.abs(Math.sqrt(Math.max(least - worst.left, 0) / (1 - worst.left) / least) - 1);
  yield {
    variables: namesOf(norms.filter((n) => n.mean !== null)),
    value: Number(worst.left.toPrecision(4)),
    severity: worst.left > RESIDUE_WARNS && (momentumKnown || momentum <= 0.99) ? "warning" : "info",
    message: `after ${p.step} steps ${percent(worst.left)} of the initial values 0 and 1 is left in the moving statistics (${source}; ${layersOf(norms)}): evaluation differs from training, by up to ${percent(off)} in an activation's scale`,
    repair: updatesCommand(p, norms, `train on to step ${wanted}, or set a smaller momentum`),
  };
}

const IS_BATCH_NORM = /(^|[/_.])(batch_?norm(alization)?(_v\d)?|bn)\d*([a-z]|_?\d+)?([_/.][^/.]*)?$/i;
const IS_OTHER_NORM = /(layer|group|instance|rms|unit|spectral|weight|ada)_?norm|(^|[/_.])(ln|gn)(_?\w*)?$/i;

function* missing(p: Patient): Generator<Found> {
  const half = p.norms.filter((n) => n.mean === null || n.variance === null);
  if (half.length > 0) {
    const lack = half.map((n) => `${n.layer}/${n.mean === null ? "moving_mean" : "moving_variance"}`);
    yield {
      variables: half.flatMap((n) => variablesOf(n).map((v) => v.name)),
      value: half.length,
      message: `${counted(half.length, "normalization")} without one of its statistics: ${listed(lack)}; a restore ends with NotFound, or starts from the initial value`,
      repair: setCommand(p, lack),
    };
  }
  const known = new Set(p.norms.map((n) => n.layer));
  const gammas = p.variables.filter((v) => (v.role === "gamma" || v.role === "beta") && !known.has(v.layer));
  const layers = [...new Set(gammas.map((v) => v.layer))].filter(
    (l) => IS_BATCH_NORM.test(l) && !IS_OTHER_NORM.test(l),
  );
  if (layers.length === 0) return;
  const isLost = new Set(layers);
  const lost = gammas.filter((v) => isLost.has(v.layer)).map((v) => v.name);
  yield {
    variables: lost,
    value: layers.length,
    message: `${counted(layers.length, "normalization")} (${listed(layers)}) with gamma or beta and no moving statistics: the saver was given the trainable variables alone; inference starts from mean 0 and variance 1`,
    repair: setCommand(
      p,
      layers.slice(0, 1).flatMap((l) => [`${l}/moving_mean`, `${l}/moving_variance`]),
    ),
  };
}

const setCommand = ({ path }: Patient, names: readonly string[]): string =>
  `varscope edit ${quoted(path)} OUT ${names
    .slice(0, 4)
    .map((n) => `--set ${quoted(`${n}=@${n.replaceAll("/", "_")}.npy`)}`)
    .join(" ")}  # or save all global variables`;

/** Beyond these half floats overflow, or lose their digits. @see IEEE 754-2008 binary16 */
const [HALF_MOST, HALF_LEAST] = [65504, 2 ** -14];

function* half(p: Patient): Generator<Found> {
  const halves = p.variables.filter((v) => v.role.startsWith("moving-") && /^b?float16$/.test(v.dtype));
  if (halves.length === 0) return;
  const atRisk = halves.filter((v) => {
    const n = p.of(v);
    if (n === null || v.dtype !== "float16") return false;
    const [min, max] = [Number(n.stats.min), Number(n.stats.max)];
    return max >= HALF_MOST / 2 || (v.role === "moving-variance" && min < HALF_LEAST) || n.stats.inf > 0;
  });
  const goesOn = p.variables.some((v) => v.role === "slot");
  const why =
    atRisk.length > 0
      ? `${counted(atRisk.length, "tensor")} at the ends of the range of float16`
      : "an update of 1 % changes the last three digits at most, smaller ones are lost";
  yield {
    variables: halves.map((v) => v.name),
    value: atRisk.length > 0 ? atRisk.length : halves.length,
    severity: atRisk.length > 0 || goesOn ? "warning" : "info",
    message: `${counted(halves.length, "moving statistic")} of ${halves[0]!.dtype} (${listed(halves.map((v) => v.name))}): ${why}`,
    repair: `varscope edit ${quoted(p.path)} OUT --cast ${quoted(`${patternOf(halves.map((v) => v.name))}=float32`)}`,
  };
}

function* shapes(p: Patient): Generator<Found> {
  for (const norm of p.norms) {
    const all = variablesOf(norm);
    const odd = all.filter((v) => !sameShape(v.shape, all[0]!.shape));
    if (odd.length === 0) continue;
    yield {
      variables: all.map((v) => v.name),
      value: odd.length,
      message: `the variables of ${norm.layer} have other numbers of channels: ${all.map((v) => `${v.role} ${formatShape(v.shape)}`).join(", ")}; no graph can restore them together`,
      repair: dropCommand(
        p.path,
        odd.map((v) => v.name),
        "they are initialized anew",
      ),
    };
  }
}

/** Beyond it a channel's inputs have an absolute value of 10,000, or float32 keeps less than 3 digits of what is normalized. */
const VARIANCE_EXPLODES = 1e8;

function* exploding(p: Patient): Generator<Found> {
  const found = p.norms.filter(
    (n) => !isSwapped(p, n) && Number(p.of(n.variance)?.stats.max) > VARIANCE_EXPLODES,
  );
  if (found.length === 0) return;
  const most = largest(found.map((n) => Number(p.of(n.variance)!.stats.max)));
  yield {
    variables: found.map((n) => n.variance!.name),
    value: most,
    message: `moving variance is up to ${short(most)} in ${counted(found.length, "layer")} (${layersOf(found)}): activations before it are about ${short(Math.sqrt(most))}; training diverges or inputs are not scaled`,
    repair: `varscope inspect ${quoted(p.path)} --stats --filter ${quoted(found[0]!.layer)}`,
  };
}

export const NORM_RULES: readonly Rule[] = [
  {
    id: "bn-never-updated",
    severity: "error",
    needs: "file",
    finds: "moving mean exactly 0 and moving variance exactly 1, while the model has been trained",
    threshold:
      "exact values; trained is told by the step, or by gamma, beta or slots that left their initial values. Untrained models: info",
    check: neverUpdated,
  },
  {
    id: "bn-residue",
    severity: "warning",
    needs: "file",
    finds: "too few updates: the initial value is still in the moving statistics",
    threshold:
      "momentum^step above 5 % (0.99: 299 steps): as much as 10 % of a variance of 0.5; above 1 % info (459 steps). Momentum is the graph's or the Keras config's, else the maker's usual one: 0.99, PyTorch 0.9, slim 0.999 (then info only). The least variance bounds it, since no variance is below its residue",
    check: residue,
  },
  {
    id: "bn-statistics-missing",
    severity: "error",
    needs: "file",
    finds: "gamma or beta of a batch normalization without moving statistics, or one of the two",
    threshold:
      "layers whose name says batch norm (`BatchNorm`, `batch_normalization`, `bn1`), since layer and group normalization have none",
    check: missing,
  },
  {
    id: "bn-statistics-half",
    severity: "warning",
    needs: "file",
    finds: "moving statistics in float16 or bfloat16",
    threshold:
      "warning where training goes on (slots are there) or float16 is near its ends: above 32752, variance below 2^-14; else info",
    check: half,
  },
  {
    id: "bn-shapes-differ",
    severity: "error",
    needs: "file",
    finds: "gamma, beta, mean and variance of one layer with different shapes",
    threshold: "any difference",
    check: shapes,
  },
  {
    id: "bn-variance-exploding",
    severity: "warning",
    needs: "file",
    finds: "a moving variance that no scaled input gives",
    threshold: "above 1e8: activations of 10,000; unscaled 8-bit images through a first layer give about 1e5",
    check: exploding,
  },
];
