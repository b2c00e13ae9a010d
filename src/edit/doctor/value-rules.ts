/** @file Rules of values, whatever the variable is for: NaN, infinities, huge and constant weights, empty and equal tensors, steps. */

import { DTYPES, isStatic, sizeOf } from "../../base/index.ts";
import type { VariableEntry } from "../../formats/collection/index.ts";
import type { Patient } from "./patient.ts";
import { counted, dropCommand, type Found, listed, patternOf, quoted, type Rule, short } from "./rule.ts";

/** Roles whose values enter the outputs. */
const isModel = (v: VariableEntry): boolean => !["slot", "ema", "step", "other"].includes(v.role);

function* notFinite(p: Patient): Generator<Found> {
  const bad = p.variables.filter((v) => (p.of(v)?.firstBad ?? -1) >= 0);
  // Masks of attention hold -inf, and are meant to.
  const isMask = (v: VariableEntry): boolean => v.role === "other" && p.of(v)!.stats.nan === 0;
  const [masks, broken] = [bad.filter(isMask), bad.filter((v) => !isMask(v))];
  if (broken.length > 0) {
    const [nan, inf] = [sum(broken, (v) => p.of(v)!.stats.nan), sum(broken, (v) => p.of(v)!.stats.inf)];
    const first = broken[0]!;
    const onlySlots = broken.every((v) => v.role === "slot");
    yield {
      variables: broken.map((v) => v.name),
      value: nan + inf,
      message: `${counted(nan, "NaN")} and ${inf} infinite in ${counted(broken.length, "tensor")} of ${p.variables.length} (${listed(broken.map((v) => v.name))}; the first in ${first.name} at element ${p.of(first)!.firstBad} of ${p.of(first)!.count}): ${onlySlots ? "the next step of training spreads them" : "whatever they enter becomes NaN"}`,
      repair: onlySlots
        ? `varscope edit ${quoted(p.path)} OUT --drop-slots`
        : dropCommand(
            p.path,
            broken.map((v) => v.name),
            "to initialize them anew; better, go back to an earlier checkpoint",
          ),
    };
  }
  if (masks.length > 0) {
    yield {
      variables: masks.map((v) => v.name),
      value: sum(masks, (v) => p.of(v)!.stats.inf),
      severity: "info",
      message: `infinities in ${counted(masks.length, "tensor")} that ${masks.length === 1 ? "is" : "are"} no weight (${listed(masks.map((v) => v.name))}): right in a mask, wrong elsewhere`,
      repair: `varscope print ${quoted(p.path)} ${quoted(masks[0]!.name)}`,
    };
  }
}

const sum = (all: readonly VariableEntry[], what: (v: VariableEntry) => number): number =>
  all.reduce((n, v) => n + what(v), 0);

/** Trained weights stay below some hundreds; 10,000 squared is beyond float16, and a step on it loses 3 of float32's 7 digits. */
const EXPLODED = 1e4;

function* exploding(p: Patient): Generator<Found> {
  const size = (v: VariableEntry): number => {
    const n = p.of(v);
    return n === null ? 0 : Math.max(Math.abs(Number(n.stats.min)), Math.abs(Number(n.stats.max))) || 0;
  };
  const found = p.variables
    .filter((v) => ["weight", "bias", "gamma", "beta"].includes(v.role) && DTYPES[v.dtype].kind === "float")
    .filter((v) => size(v) > EXPLODED)
    .sort((a, b) => size(b) - size(a));
  if (found.length === 0) return;
  yield {
    variables: found.map((v) => v.name),
    value: size(found[0]!),
    message: `values up to ${short(size(found[0]!))} in ${counted(found.length, "tensor")} (${listed(found.map((v) => v.name))}): training diverged; activations overflow float16`,
    repair: `varscope diff EARLIER ${quoted(p.path)}  # find the step where it began, and train from before it with a smaller rate`,
  };
}

function* constant(p: Patient): Generator<Found> {
  const found = p.variables.filter((v) => {
    const n = p.of(v);
    return (
      v.role === "weight" &&
      (v.shape?.length ?? 0) >= 2 &&
      n !== null &&
      n.count > 1 &&
      n.stats.min === n.stats.max &&
      n.firstBad < 0
    );
  });
  if (found.length === 0) return;
  const value = p.of(found[0]!)!.stats.min;
  yield {
    variables: found.map((v) => v.name),
    value,
    severity: p.trained === null ? "info" : "warning",
    message: `all ${p.of(found[0]!)!.count} weights of ${found[0]!.name} are ${value}${found.length > 1 ? `, and ${found.length - 1} more tensors are constant` : ""}: ${p.trained === null ? "the model is not trained yet" : "the layer was never initialized or never trained, and all its channels are the same"}`,
    repair: dropCommand(
      p.path,
      found.map((v) => v.name),
      "to initialize them anew",
    ),
  };
}

function* empty(p: Patient): Generator<Found> {
  const found = p.variables.filter((v) => isModel(v) && isStatic(v.shape) && sizeOf(v.shape) === 0);
  if (found.length === 0) return;
  yield {
    variables: found.map((v) => v.name),
    value: found.length,
    message: `${counted(found.length, "tensor")} without elements (${listed(found.map((v) => v.name))}): a dimension was 0 when the model was built`,
    repair: dropCommand(
      p.path,
      found.map((v) => v.name),
    ),
  };
}

/** Fewer elements may be equal by chance: biases of zeros, gammas of ones. */
const FEWEST_ELEMENTS = 16;

function* duplicates(p: Patient): Generator<Found> {
  const groups = new Map<string, string[]>();
  for (const v of p.variables.filter(isModel)) {
    const n = p.of(v);
    if (n === null || n.count < FEWEST_ELEMENTS || n.stats.min === n.stats.max) continue;
    const key = `${n.crc} ${n.count} ${v.dtype} ${n.stats.mean} ${n.stats.std}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [v.name]);
    else group.push(v.name);
  }
  const found = [...groups.values()].filter((names) => names.length > 1);
  if (found.length === 0) return;
  const extra = found.flatMap((names) => names.slice(1));
  const bytes = extra.reduce((n, name) => n + p.byName(name)!.bytes, 0);
  yield {
    variables: found.flat(),
    value: extra.length,
    message: `${counted(extra.length, "tensor")} with the same values as another (${listed(
      found.map((names) => names.join(" = ")),
      2,
    )}), ${bytes} bytes in all: tied weights that were saved apart train apart once restored`,
    repair: dropCommand(p.path, extra, "only where the model ties them"),
  };
}

/** Integers beyond it have gaps in float32, in which Keras' schedules and Adam's bias correction compute. @see IEEE 754-2008 binary32 */
const FLOAT_STEPS = 2 ** 24;

function* steps(p: Patient): Generator<Found> {
  for (const v of p.variables.filter((x) => x.role === "step")) {
    const value = p.of(v)?.stats.max;
    if (value === undefined) continue;
    if (Number(value) < 0) {
      yield {
        variables: [v.name],
        value,
        severity: "warning",
        message: `the step is ${value}: a counter that overflowed, or was never set; schedules start from there`,
        repair: `varscope edit ${quoted(p.path)} OUT --set ${quoted(`${v.name}=@step.npy`)}`,
      };
    } else if (Number(value) >= FLOAT_STEPS) {
      const isStuck = v.dtype === "float32";
      yield {
        variables: [v.name],
        value,
        severity: isStuck ? "warning" : "info",
        message: `the step is ${value}, beyond 2^24 = ${FLOAT_STEPS}: ${isStuck ? "as float32 it does not grow any more" : "schedules that compute with it in float32 stand still for several steps at a time"}`,
        repair: isStuck
          ? `varscope edit ${quoted(p.path)} OUT --cast ${quoted(`${patternOf([v.name])}=int64`)}`
          : `varscope print ${quoted(p.path)} ${quoted(v.name)}`,
      };
    }
  }
}

export const VALUE_RULES: readonly Rule[] = [
  {
    id: "not-finite",
    severity: "error",
    needs: "file",
    finds: "NaN and infinities",
    threshold: "one is enough; infinities in tensors of no known role (masks) are info",
    check: notFinite,
  },
  {
    id: "weights-exploding",
    severity: "warning",
    needs: "file",
    finds: "huge weights, biases, gamma or beta",
    threshold:
      "absolute value above 10,000: its square is beyond float16 and float32 keeps 3 digits of a usual step",
    check: exploding,
  },
  {
    id: "weights-constant",
    severity: "warning",
    needs: "file",
    finds: "kernels whose weights are all the same",
    threshold: "exactly equal, rank 2 or more; info in an untrained model",
    check: constant,
  },
  {
    id: "tensor-empty",
    severity: "info",
    needs: "file",
    finds: "variables without elements",
    threshold: "0 elements",
    check: empty,
  },
  {
    id: "duplicates",
    severity: "info",
    needs: "file",
    finds: "tensors stored twice",
    threshold: "equal bytes (CRC-32C, mean and deviation), 16 elements or more, not constant",
    check: duplicates,
  },
  {
    id: "step-odd",
    severity: "warning",
    needs: "file",
    finds: "a step that is negative, or that float32 cannot count on from",
    threshold: "below 0; from 2^24 on, where float32 has gaps (an integer step: info)",
    check: steps,
  },
];
