/** @file Another number of input channels of a kernel, such as a first convolution for grey images. Start at `changeChannels`. */

import { formatShape, normalizeAxis, VarscopeError } from "../../base/index.ts";
import { change, leaveOut } from "./family.ts";
import { needFloat } from "./parts.ts";
import { mixed } from "./pieces.ts";
import type { Draft } from "./plan.ts";
import type { Step } from "./surgery.ts";

/**
 * The kernel for `count` input channels, and its averages; slots of optimizers are left out, for they belong to other gradients.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no float, no such axis, no channels
 */
export function changeChannels(family: readonly Draft[], step: Step<"channels">): void {
  const [head] = family as [Draft];
  const { count, how = "scale" } = step;
  needFloat(head);
  const axis = normalizeAxis(step.axis ?? -2, head.shape.length);
  const old = head.shape[axis]!;
  if (old === 0 || !(Number.isSafeInteger(count) && count > 0)) {
    const what = `${count} input channels of ${formatShape(head.shape)}, axis ${axis}`;
    throw new VarscopeError("INVALID_ARGUMENT", what, {
      at: head.name,
      hint: "give a whole number from 1 on",
    });
  }
  const matrix = factors(old, count, how);
  for (const d of family) {
    if (d !== head && d.entry.role !== "ema") {
      leaveOut(d, `${head.name} has ${count} input channels now`);
      continue;
    }
    const before = { ...d };
    change(d, `${count} input channels of ${old}${old === 1 || count === 1 ? "" : `, ${WORDS[how]}`}`, {
      shape: d.shape.with(axis, count),
      values: (reading) => mixed(before, axis, matrix, reading),
    });
  }
}

const WORDS = { scale: "repeated and scaled", zeros: "new ones 0", mean: "new ones the mean" };

/**
 * Row i has what the new channel i takes of each old one. One channel takes the sum of all: what a grey image gives in each of them is what it
 * gives now. More channels than before repeat the old ones, all scaled so that equal channels give what they gave.
 *
 * @see timm's adapt_input_conv, which does the same for 3 channels
 */
function factors(old: number, count: number, how: "scale" | "zeros" | "mean"): number[][] {
  const rows = Array.from({ length: count }, () => new Array<number>(old).fill(0));
  if (count === 1 && how === "scale") return [rows[0]!.fill(1)];
  for (const [i, row] of rows.entries()) {
    if (how === "scale") row[i % old] = old / count;
    else if (i < old) row[i] = 1;
    else if (how === "mean") row.fill(1 / old);
  }
  return rows;
}
