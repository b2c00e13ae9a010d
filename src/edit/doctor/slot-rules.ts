/** @file Rules of what belongs to a variable: slots of optimizers, and moving averages. */

import { sameShape } from "../../base/index.ts";
import type { VariableEntry } from "../../formats/collection/index.ts";
import { isAll, type Patient } from "./patient.ts";
import { counted, dropCommand, type Found, listed, quoted, type Rule } from "./rule.ts";

const TRAINABLE: ReadonlySet<string> = new Set(["weight", "bias", "gamma", "beta"]);
const owned = (p: Patient, role: string): VariableEntry[] =>
  p.variables.filter((v) => v.role === role && v.of !== undefined);

/** Whether a name of an owner is there; one made inside a scope has the scope's name twice. @see python/training/slot_creator.py */
function ownerOf(p: Patient, v: VariableEntry): VariableEntry | undefined {
  for (let name = v.of!; name !== ""; name = name.includes("/") ? name.slice(name.indexOf("/") + 1) : "") {
    const owner = p.byName(name);
    if (owner !== undefined) return owner;
  }
  return undefined;
}

function* orphans(p: Patient): Generator<Found> {
  const slots = owned(p, "slot");
  const lost = slots.filter((v) => ownerOf(p, v) === undefined);
  if (lost.length === 0) return;
  const isAlone = lost.length === slots.length && !p.variables.some((v) => TRAINABLE.has(v.role));
  yield {
    variables: lost.map((v) => v.name),
    value: lost.length,
    severity: isAlone ? "info" : "warning",
    message: isAlone
      ? `${counted(lost.length, "slot")} and no variable: the file holds an optimizer alone`
      : `${lost.length} of ${counted(slots.length, "slot")} without their variable (${listed([...new Set(lost.map((v) => v.of!))])}): the variable was renamed or dropped without them; training goes on with slots of 0`,
    repair: isAlone
      ? `varscope inspect ${quoted(p.path)} --slots`
      : dropCommand(
          p.path,
          lost.map((v) => v.name),
        ),
  };
}

/** Slots by variable: the words that each has, of one optimizer. */
function slotsByOwner(p: Patient): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const v of owned(p, "slot")) {
    const words = found.get(v.of!) ?? new Set<string>();
    words.add(`${v.optimizer ?? ""} ${v.slot ?? v.name.slice(v.name.lastIndexOf("/") + 1)}`);
    found.set(v.of!, words);
  }
  return found;
}

function* missing(p: Patient): Generator<Found> {
  const bySlots = slotsByOwner(p);
  const sizes = [...bySlots.values()].map((words) => words.size);
  if (sizes.length < 2) return;
  const usual = mostFrequent(sizes);
  const short = [...bySlots]
    .filter(([name, words]) => words.size < usual && p.byName(name) !== undefined)
    .map(([name]) => name);
  const trainables = p.variables.filter((v) => TRAINABLE.has(v.role));
  const trained = new Set(trainables.filter((v) => bySlots.has(v.name)).map((v) => v.layer));
  const without = trainables.filter((v) => !bySlots.has(v.name));
  // A layer that is frozen has none at all; part of a layer is not frozen.
  const torn = without.filter((v) => trained.has(v.layer)).map((v) => v.name);
  if (short.length + torn.length > 0) {
    yield {
      variables: [...torn, ...short],
      value: torn.length + short.length,
      message: `${counted(torn.length + short.length, "variable")} (${listed([...torn, ...short])}) without slots that others of the file, or of the same layer, have: the optimizer's restore ends with NotFound`,
      repair: `varscope edit ${quoted(p.path)} OUT --drop-slots  # the optimizer starts anew`,
    };
  }
  const frozen = without.filter((v) => !trained.has(v.layer)).map((v) => v.name);
  if (frozen.length === 0) return;
  yield {
    variables: frozen,
    value: frozen.length,
    severity: "info",
    message: `${counted(frozen.length, "variable")} in layers without slots (${listed(frozen)}), while ${bySlots.size} have some: right where these layers are frozen`,
    repair: `varscope inspect ${quoted(p.path)} --slots`,
  };
}

function mostFrequent(numbers: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const n of numbers) counts.set(n, (counts.get(n) ?? 0) + 1);
  return [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
}

function* shapes(p: Patient): Generator<Found> {
  const odd = owned(p, "slot").filter((v) => {
    const owner = p.byName(v.of!);
    const isElementwise = /^(m|v|vhat|momentum|rms|mg|accumulator|linear|accum_grad|accum_var)$/.test(
      v.slot ?? "",
    );
    return (
      isElementwise &&
      owner !== undefined &&
      !sameShape(owner.shape, v.shape) &&
      !/adafactor/i.test(v.optimizer ?? "")
    );
  });
  if (odd.length === 0) return;
  yield {
    variables: odd.map((v) => v.name),
    value: odd.length,
    message: `${counted(odd.length, "slot")} of another shape than the variable (${listed(odd.map((v) => v.name))}): the variable was resized without its slots, and the optimizer cannot be restored`,
    repair: dropCommand(
      p.path,
      odd.map((v) => v.name),
    ),
  };
}

function* trainedStatistics(p: Patient): Generator<Found> {
  const found = owned(p, "slot").filter((v) => p.byName(v.of!)?.role.startsWith("moving-"));
  if (found.length === 0) return;
  const names = [...new Set(found.map((v) => v.of!))];
  yield {
    variables: names,
    value: names.length,
    message: `${counted(names.length, "moving statistic")} with slots of the optimizer (${listed(names)}): they were among the trainable variables, and weight decay pulls them to 0`,
    repair: dropCommand(
      p.path,
      found.map((v) => v.name),
      "and take them out of trainable_variables",
    ),
  };
}

function* stale(p: Patient): Generator<Found> {
  if (p.trained === null) return;
  const pairs = owned(p, "ema").flatMap((shadow) => {
    const owner = ownerOf(p, shadow);
    return owner === undefined || p.of(shadow) === null || p.of(owner) === null ? [] : [{ shadow, owner }];
  });
  const same = pairs.filter(({ shadow, owner }) => {
    const [a, b] = [p.of(shadow)!, p.of(owner)!];
    return a.crc === b.crc && a.count === b.count && a.stats.mean === b.stats.mean && !isInitial(owner, p);
  });
  const initial = pairs.filter(
    ({ shadow, owner }) =>
      !isInitial(owner, p) && p.of(shadow)!.count > 0 && isInitial({ ...shadow, role: owner.role }, p),
  );
  if (initial.length > 0) {
    yield {
      variables: initial.map(({ shadow }) => shadow.name),
      value: initial.length,
      message: `${initial.length} of ${counted(pairs.length, "moving average")} (${listed(initial.map((x) => x.shadow.name))}) at the initial value of a variable that has been trained: the averages were never updated; evaluation with them is evaluation of an untrained model`,
      repair: `varscope edit ${quoted(p.path)} OUT --drop '/ExponentialMovingAverage(_[0-9]+)?$'  # and run apply() after the train op`,
    };
  }
  if (same.length === 0) return;
  const all = same.length === pairs.length;
  const isStale = all && same.some(({ shadow }) => /ExponentialMovingAverage/.test(shadow.name));
  yield {
    variables: same.map(({ shadow }) => shadow.name),
    value: same.length,
    severity: isStale ? "warning" : "info",
    message: `${same.length} of ${counted(pairs.length, "moving average")} (${listed(same.map((x) => x.shadow.name))}) exactly equal to the variable, although ${p.trained}: ${isStale ? "nothing is averaged (decay 0, or shadows copied from the variables)" : all ? "right after Keras has put the averages into the variables, as it does at the end of fit" : "right where these are frozen"}`,
    repair: dropCommand(
      p.path,
      same.map((x) => x.shadow.name),
    ),
  };
}

/** Whether gamma is 1 or beta and bias 0 throughout: as it was made. Of weights it cannot be told. */
const isInitial = (v: VariableEntry, p: Patient): boolean =>
  v.role === "gamma" ? isAll(p.of(v), 1) : (v.role === "beta" || v.role === "bias") && isAll(p.of(v), 0);

function* lostShadows(p: Patient): Generator<Found> {
  const shadows = owned(p, "ema");
  const lost = shadows.filter((v) => ownerOf(p, v) === undefined);
  if (lost.length === 0) return;
  const isAlone = lost.length === shadows.length && !p.variables.some((v) => TRAINABLE.has(v.role));
  yield {
    variables: lost.map((v) => v.name),
    value: lost.length,
    severity: isAlone ? "info" : "warning",
    message: isAlone
      ? `${counted(lost.length, "moving average")} and no variable: the file holds averages alone`
      : `${counted(lost.length, "moving average")} without their variable (${listed(lost.map((v) => v.name))}): restoring the averages leaves some variables at their own values`,
    repair: isAlone
      ? `varscope edit ${quoted(p.path)} OUT --ema`
      : dropCommand(
          p.path,
          lost.map((v) => v.name),
        ),
  };
}

function* untracked(p: Patient): Generator<Found> {
  const tracked = new Set(owned(p, "ema").map((v) => ownerOf(p, v)?.name));
  tracked.delete(undefined);
  if (tracked.size === 0) return;
  const bare = p.variables.filter((v) => TRAINABLE.has(v.role) && !tracked.has(v.name)).map((v) => v.name);
  if (bare.length > 0) {
    yield {
      variables: bare,
      value: bare.length,
      message: `${counted(bare.length, "trainable variable")} without moving average (${listed(bare)}), ${tracked.size} have one: variables_to_restore() asks for all of them, and the restore ends with "Key ${bare[0]}/ExponentialMovingAverage not found"`,
      repair: `varscope edit ${quoted(p.path)} OUT --ema  # takes the averages that are there`,
    };
  }
  const raw = p.variables
    .filter((v) => v.role.startsWith("moving-") && !tracked.has(v.name))
    .map((v) => v.name);
  if (raw.length === 0) return;
  yield {
    variables: raw,
    value: raw.length,
    severity: "info",
    message: `${counted(raw.length, "moving statistic")} without moving average: averaged weights are evaluated with the statistics of the raw ones; usual, and better recalibrated`,
    repair: `varscope edit ${quoted(p.path)} OUT --ema  # then: varscope recalibrate GRAPH --checkpoint OUT`,
  };
}

export const SLOT_RULES: readonly Rule[] = [
  {
    id: "slot-orphan",
    severity: "warning",
    needs: "file",
    finds: "slots of variables that are not there",
    threshold: "any; info where the file holds an optimizer alone",
    check: orphans,
  },
  {
    id: "slot-missing",
    severity: "warning",
    needs: "file",
    finds: "trainable variables without the slots that others have",
    threshold:
      "within a layer of which others have slots, or fewer slots than most have; whole layers without any are frozen: info",
    check: missing,
  },
  {
    id: "slot-shape",
    severity: "error",
    needs: "file",
    finds: "slots of another shape than their variable",
    threshold: "of optimizers that work element by element; Adafactor's are smaller by design",
    check: shapes,
  },
  {
    id: "statistics-trained",
    severity: "warning",
    needs: "file",
    finds: "moving statistics with slots: they were among the trainables",
    threshold: "any",
    check: trainedStatistics,
  },
  {
    id: "ema-stale",
    severity: "warning",
    needs: "file",
    finds: "moving averages that never moved, or that are the variable itself",
    threshold:
      "a shadow at exactly 1 (gamma) or 0 (beta, bias) of a variable that moved; equal bytes for all of TF 1's. Info where some are equal, being frozen, and in Keras, whose fit ends by putting the averages into the variables",
    check: stale,
  },
  {
    id: "ema-orphan",
    severity: "warning",
    needs: "file",
    finds: "moving averages of variables that are not there",
    threshold: "any; info where the file holds averages alone",
    check: lostShadows,
  },
  {
    id: "ema-untracked",
    severity: "warning",
    needs: "file",
    finds: "trainable variables without moving average, while others have one",
    threshold: "any; moving statistics without one are info, since apply() takes trainables by default",
    check: untracked,
  },
];
