/** @file What differs between two containers, whatever their formats. Start at `diffModels`. */

import { type DType, type Shape, sameShape, VarscopeError } from "../../base/index.ts";
import type { Role, VariableCollection } from "../../formats/collection/index.ts";
import { matchVariables, type Pair, type Unmatched } from "../../formats/matching/index.ts";
import { Comparison, type Distance, type Tolerance } from "./compare.ts";
import { eachOf, lockstep } from "./lockstep.ts";

export interface DiffOptions extends Tolerance {
  /** name in A -> name in B, for what the names do not tell */
  readonly map?: ReadonlyMap<string, string>;
  /** compares only variables that it accepts, by their name in A or B */
  readonly filter?: (name: string) => boolean;
  readonly signal?: AbortSignal;
  /** told of the bytes of A compared so far */
  onProgress?(bytes: number): void;
}

/** A variable that differs. */
export interface Difference {
  /** in A */
  readonly name: string;
  /** in B, where it is another */
  readonly nameInB?: string;
  readonly role: Role;
  readonly layer: string;
  readonly dtype: readonly [DType, DType];
  readonly shape: readonly [Shape | null, Shape | null];
  /** largest |a - b|; NaN where a number stands against NaN; null for strings and where shapes differ */
  readonly maxAbs: number | null;
  /** largest |a - b| / max(|a|, |b|) */
  readonly maxRel: number | null;
  /** elements that differ, and how many there are; 0 where shapes differ */
  readonly different: number;
  readonly elements: number;
}

export interface DiffReport {
  readonly onlyInA: readonly string[];
  readonly onlyInB: readonly string[];
  /** by name in A */
  readonly changed: readonly Difference[];
  readonly equal: number;
  /** pairs of which the names differ, in spelling only */
  readonly renamed: readonly { readonly a: string; readonly b: string }[];
  /** for names that have no partner: what may be meant */
  readonly candidates: readonly Unmatched[];
}

/** Variables compared at once: while one is read the other is compared. */
const AT_ONCE = 4;

/** Compares all values of two containers, piece by piece: memory stays small. */
export async function diffModels(
  a: VariableCollection,
  b: VariableCollection,
  options: DiffOptions = {},
): Promise<DiffReport> {
  const { filter = () => true, map } = options;
  const matching = matchVariables(a.variables, b.variables, map === undefined ? {} : { map });
  const pairs = matching.pairs.filter((p) => filter(p.a.name) || filter(p.b.name));
  let bytes = 0;
  const found = await eachOf(pairs, AT_ONCE, async (pair) => {
    const difference = await comparePair(a, b, pair, options);
    bytes += pair.a.bytes;
    options.onProgress?.(bytes);
    return difference;
  });
  const onlyInA = matching.onlyInA.filter((v) => filter(v.name));
  const onlyInB = matching.onlyInB.filter((v) => filter(v.name));
  const changed = found.filter((d) => d !== null);
  return {
    onlyInA: onlyInA.map((v) => v.name),
    onlyInB: onlyInB.map((v) => v.name),
    changed,
    equal: pairs.length - changed.length,
    renamed: pairs.filter((p) => p.a.name !== p.b.name).map((p) => ({ a: p.a.name, b: p.b.name })),
    candidates: onlyInA.filter((v) => v.near.length + v.sameShape.length > 0),
  };
}

async function comparePair(
  a: VariableCollection,
  b: VariableCollection,
  { a: x, b: y }: Pair,
  options: DiffOptions,
): Promise<Difference | null> {
  const elements = x.shape?.reduce<number>((n, d) => n * (d ?? 0), 1) ?? 0;
  const facts = {
    name: x.name,
    ...(x.name === y.name ? {} : { nameInB: y.name }),
    role: x.role,
    layer: x.layer,
    dtype: [x.dtype, y.dtype] as const,
    shape: [x.shape, y.shape] as const,
    elements,
  };
  if (!sameShape(x.shape, y.shape)) return { ...facts, maxAbs: null, maxRel: null, different: 0 };
  const distance = await distanceOf(a, b, { x: x.name, y: y.name }, options);
  return x.dtype === y.dtype && distance.different === 0 ? null : { ...facts, ...distance };
}

/** How far apart the values of two variables of one shape are. */
export async function distanceOf(
  a: VariableCollection,
  b: VariableCollection,
  { x, y }: { readonly x: string; readonly y: string },
  { signal, ...tolerance }: Tolerance & { readonly signal?: AbortSignal },
): Promise<Distance> {
  const comparison = new Comparison(tolerance);
  const reading = signal === undefined ? {} : { signal };
  for await (const [p, q] of lockstep([a.stream(x, reading), b.stream(y, reading)], `${b.path}: ${y}`)) {
    if (signal?.aborted)
      throw new VarscopeError("CANCELLED", "the comparison was aborted", { at: x, cause: signal.reason });
    comparison.add(p!, q!);
  }
  return comparison.distance;
}
