/** @file Rules of variables that took each other's place: gamma and beta, mean and variance. They load without an error. */

import type { BatchNorm } from "../batch-norms.ts";
import { isAll, type Patient } from "./patient.ts";
import { counted, type Found, listed, quoted, type Rule, short, smallest } from "./rule.ts";

/** Whether mean and variance of a layer stand under each other's name: a variance has no negative values, a mean usually has some. */
export function isSwapped(p: Patient, { mean, variance }: BatchNorm): boolean {
  const [m, v] = [p.of(mean), p.of(variance)];
  if (m === null || v === null || m.count === 0 || m.count !== v.count) return false;
  if (m.stats.nan + m.stats.inf + v.stats.nan + v.stats.inf > 0) return false;
  if (isAll(m, 1) && isAll(v, 0)) return true;
  return Number(v.stats.min) < 0 && Number(m.stats.min) >= 0 && Number(m.stats.max) > 0;
}

function* meanVariance(p: Patient): Generator<Found> {
  const found = p.norms.filter((n) => isSwapped(p, n));
  if (found.length === 0) return;
  const least = smallest(found.map((n) => Number(p.of(n.variance)!.stats.min)));
  yield {
    variables: found.flatMap((n) => [n.mean!.name, n.variance!.name]),
    value: least,
    message: `moving variance goes down to ${short(least)} while moving mean is nowhere negative, in ${counted(found.length, "layer")} (${listed(found.map((n) => n.layer))}): they stand under each other's name; outputs are NaN or wrong`,
    repair: swapCommand(
      p,
      found.map((n) => [n.mean!.name, n.variance!.name] as const),
    ),
  };
}

/** Gamma starts at 1 and beta at 0; these are far from their own start, and near the other's. */
const FAR = 0.25;
const NEAR = 0.75;

function* gammaBeta(p: Patient): Generator<Found> {
  const both = p.norms.filter((n) => n.gamma !== null && n.beta !== null);
  const found = both.filter((n) => {
    const [gamma, beta] = [p.of(n.gamma), p.of(n.beta)];
    if (gamma === null || beta === null || gamma.count === 0) return false;
    return (
      Math.abs(gamma.stats.mean) < FAR &&
      beta.stats.mean > NEAR &&
      beta.stats.mean < 2 - NEAR &&
      Number(beta.stats.min) > FAR
    );
  });
  if (found.length === 0) return;
  const [first] = found;
  yield {
    variables: found.flatMap((n) => [n.gamma!.name, n.beta!.name]),
    value: p.of(first!.gamma)!.stats.mean,
    severity: found.length === both.length ? "error" : "warning",
    message: `gamma is centred at ${short(p.of(first!.gamma)!.stats.mean)} and beta at ${short(p.of(first!.beta)!.stats.mean)} in ${found.length} of ${counted(both.length, "layer")} (${listed(found.map((n) => n.layer))}), where 1 and 0 are usual: they stand under each other's name, and outputs are near constants`,
    repair: swapCommand(
      p,
      found.map((n) => [n.gamma!.name, n.beta!.name] as const),
    ),
  };
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");
const lastOf = (name: string): string => name.slice(name.lastIndexOf("/") + 1);

/** Renames are applied one after another, so that a swap takes a third name. */
function swapCommand({ path }: Patient, pairs: readonly (readonly [string, string])[]): string {
  const [x, y] = [lastOf(pairs[0]![0]), lastOf(pairs[0]![1])];
  const scopes = [...new Set(pairs.map(([name]) => name.slice(0, name.length - lastOf(name).length)))];
  const scope = `^(${scopes.map(escaped).join("|")})`;
  const rule = (from: string, to: string): string => quoted(`${scope}${escaped(from)}$=$1${to}`);
  return `varscope edit ${quoted(path)} OUT --rename ${rule(x, `${x}__`)} --rename ${rule(y, x)} --rename ${rule(`${x}__`, y)}`;
}

export const SWAP_RULES: readonly Rule[] = [
  {
    id: "bn-mean-variance-swapped",
    severity: "error",
    needs: "file",
    finds: "mean and variance under each other's name",
    threshold: "the variance has negative values and the mean none; or exactly 1 and 0",
    check: meanVariance,
  },
  {
    id: "bn-gamma-beta-swapped",
    severity: "error",
    needs: "file",
    finds: "gamma and beta under each other's name",
    threshold:
      "|mean of gamma| < 0.25, mean of beta in (0.75, 1.25) and no beta below 0.25: gamma that starts at 0 (residual branches) has beta near 0, too. Warning where other layers of the file are not so",
    check: gammaBeta,
  },
];
