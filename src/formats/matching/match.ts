/**
 * @file Which variable of one container is which of another: by name, by spelling, by layer and role. What is ambiguous is
 * reported, not guessed. Start at `matchVariables`.
 */

import { formatShape } from "../../base/index.ts";
import { nearestNames, type VariableEntry } from "../collection/index.ts";
import { pairLayers } from "./match-layers.ts";
import { optimizerFamily, spellingsOf } from "./spelling.ts";

/** How a pair was found: given by the caller; the same name; the same name in other words; the same layer, role and shape; a layer of the same make. */
export type MatchedBy = "map" | "name" | "spelling" | "layer" | "structure";

export interface Pair {
  readonly a: VariableEntry;
  readonly b: VariableEntry;
  readonly by: MatchedBy;
}

export interface Unmatched {
  readonly name: string;
  /** names of the other container that are like it */
  readonly near: readonly string[];
  /** names of the other container, unmatched too, of the same role and shape */
  readonly sameShape: readonly string[];
}

export interface Matching {
  /** in the order of A */
  readonly pairs: readonly Pair[];
  readonly onlyInA: readonly Unmatched[];
  readonly onlyInB: readonly Unmatched[];
  /** Names of B for names of A: of pairs with two names, and of unmatched ones that have a single candidate. */
  readonly renames: Readonly<Record<string, string>>;
}

export interface MatchOptions {
  /** name in A -> name in B, before all else */
  readonly map?: ReadonlyMap<string, string>;
  /** also pair layers of other names whose variables' roles and shapes occur once on either side: false */
  readonly structure?: boolean;
}

/** Pairs found so far. */
class Pairing {
  readonly ofA = new Map<VariableEntry, Pair>();
  readonly ofB = new Map<VariableEntry, Pair>();

  add(a: VariableEntry, b: VariableEntry, by: MatchedBy): void {
    const pair = { a, b, by };
    this.ofA.set(a, pair);
    this.ofB.set(b, pair);
  }
}

type Keys = (v: VariableEntry) => string | null;

/** Which variable of `a` is which of `b`. */
export function matchVariables(
  a: readonly VariableEntry[],
  b: readonly VariableEntry[],
  options: MatchOptions = {},
): Matching {
  const pairing = new Pairing();
  pairGiven(a, b, options.map ?? new Map(), pairing);
  const openA = (): VariableEntry[] => a.filter((v) => !pairing.ofA.has(v));
  const openB = (): VariableEntry[] => b.filter((v) => !pairing.ofB.has(v));
  /** Pairs those whose key occurs once on either side. */
  const pairBy = (by: MatchedBy, keyA: Keys, keyB: Keys = keyA): void => {
    const [inA, inB] = [byKey(openA(), keyA), byKey(openB(), keyB)];
    for (const [key, [first, ...more]] of inA) {
      const there = inB.get(key);
      if (more.length === 0 && there?.length === 1) pairing.add(first!, there[0]!, by);
    }
  };
  pairBy("name", (v) => v.name);
  const [spelledA, spelledB] = [spellingsOf(a), spellingsOf(b)];
  const partsOf = (v: VariableEntry): readonly string[] => spelledA.get(v) ?? spelledB.get(v)!;
  const plain =
    (key: (v: VariableEntry) => string): Keys =>
    (v) =>
      isOwned(v) ? null : key(v);
  pairBy(
    "spelling",
    plain((v) => partsOf(v).join("/")),
  );
  pairEnds(openA().filter(isModel), openB().filter(isModel), partsOf, pairing);
  pairBy("layer", (v) => {
    const layer = partsOf(v).slice(0, -1).join("/");
    return isModel(v) && layer !== "" ? `${layer} ${roleAndShape(v)}` : null;
  });
  if (options.structure) {
    for (const [x, y] of pairLayers(openA().filter(isModel), openB().filter(isModel)))
      pairing.add(x, y, "structure");
    pairBy("structure", (v) => (isModel(v) ? roleAndShape(v) : null));
  }
  pairCounters(pairBy);
  pairOwned(a, b, pairing, pairBy);
  return report(a, pairing, openA(), openB());
}

/** Slots and shadows: what they are is told by their variable. */
const isOwned = (v: VariableEntry): boolean => v.of !== undefined;
const isModel = (v: VariableEntry): boolean =>
  !isOwned(v) && v.optimizer === undefined && v.role !== "step" && v.role !== "slot";

const roleAndShape = (v: VariableEntry): string => `${v.role} ${formatShape(v.shape)}`;

function byKey(variables: readonly VariableEntry[], keyOf: Keys): Map<string, VariableEntry[]> {
  const groups = new Map<string, VariableEntry[]>();
  for (const v of variables) {
    const key = keyOf(v);
    if (key === null) continue;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [v]);
    else group.push(v);
  }
  return groups;
}

function pairGiven(
  a: readonly VariableEntry[],
  b: readonly VariableEntry[],
  map: ReadonlyMap<string, string>,
  pairing: Pairing,
): void {
  if (map.size === 0) return;
  const [inA, inB] = [a, b].map(
    (all) => new Map(all.flatMap((v) => [[v.key, v] as const, [v.name, v] as const])),
  );
  for (const [from, to] of map) {
    const [x, y] = [inA!.get(from), inB!.get(to)];
    if (x !== undefined && y !== undefined && !pairing.ofB.has(y)) pairing.add(x, y, "map");
  }
}

/** Pairs names of which one is the other under a scope (`encoder/dense/kernel`, `dense/kernel`), where shapes agree. */
function pairEnds(
  a: readonly VariableEntry[],
  b: readonly VariableEntry[],
  partsOf: (v: VariableEntry) => readonly string[],
  pairing: Pairing,
): void {
  const [endsA, endsB] = [a, b].map((all) => endsOf(all, partsOf));
  for (const x of a) {
    const whole = partsOf(x).join("/");
    const found = new Set(endsB!.get(whole));
    for (const end of ends(partsOf(x))) {
      for (const y of endsB!.get(end) ?? []) if (partsOf(y).join("/") === end) found.add(y);
    }
    const [y, ...more] = found;
    if (y === undefined || more.length > 0 || pairing.ofB.has(y)) continue;
    const back = partsOf(y).length < partsOf(x).length ? endsA!.get(partsOf(y).join("/")) : [x];
    if (back!.length === 1 && roleAndShape(x) === roleAndShape(y)) pairing.add(x, y, "spelling");
  }
}

/** `a/b/c/d`: `b/c/d` and `c/d`; a word alone says nothing. */
const ends = (parts: readonly string[]): string[] =>
  parts.slice(1, -1).map((_, i) => parts.slice(i + 1).join("/"));

function endsOf(
  variables: readonly VariableEntry[],
  partsOf: (v: VariableEntry) => readonly string[],
): Map<string, VariableEntry[]> {
  const found = new Map<string, VariableEntry[]>();
  for (const v of variables) {
    for (const end of [partsOf(v).join("/"), ...ends(partsOf(v))]) {
      const there = found.get(end);
      if (there === undefined) found.set(end, [v]);
      else there.push(v);
    }
  }
  return found;
}

/** Steps and what else an optimizer has once: `global_step`, `Adam/iter` and `adam/iterations` are one. */
function pairCounters(pairBy: (by: MatchedBy, key: Keys) => void): void {
  const last = (v: VariableEntry): string => v.name.slice(v.name.lastIndexOf("/") + 1).toLowerCase();
  pairBy("spelling", (v) => (v.role === "step" ? `step ${optimizerFamily(v.optimizer)}` : null));
  pairBy("spelling", (v) => (v.role === "step" ? "step" : null));
  pairBy("spelling", (v) =>
    !isOwned(v) && v.optimizer !== undefined ? `${optimizerFamily(v.optimizer)} ${last(v)}` : null,
  );
}

/** Slots and shadows of paired variables. */
function pairOwned(
  a: readonly VariableEntry[],
  b: readonly VariableEntry[],
  pairing: Pairing,
  pairBy: (by: MatchedBy, keyA: Keys, keyB?: Keys) => void,
): void {
  const inA = new Map(a.map((v) => [v.name, v]));
  const inB = new Map(b.map((v) => [v.name, v]));
  const ownerInA: Keys = (v) => (isOwned(v) ? v.of! : null);
  const ownerInB: Keys = (v) => {
    const owner = inB.get(v.of ?? "");
    return owner === undefined ? null : (pairing.ofB.get(owner)?.a.name ?? null);
  };
  const owned =
    (owner: Keys, what: (v: VariableEntry) => string): Keys =>
    (v) => {
      const name = owner(v);
      return name === null || !inA.has(name) ? null : `${name} ${v.role} ${what(v)}`;
    };
  const full = (v: VariableEntry): string => `${slotWord(v)} ${optimizerFamily(v.optimizer)}`;
  pairBy("spelling", owned(ownerInA, full), owned(ownerInB, full));
  // Where one side does not know the optimizer, the slot's word must do.
  const loose = (side: readonly VariableEntry[]): boolean =>
    side.some((v) => isOwned(v) && v.role === "slot" && v.optimizer === undefined);
  if (loose(a) || loose(b)) pairBy("spelling", owned(ownerInA, slotWord), owned(ownerInB, slotWord));
}

/** What a slot is, where its reader does not say: the end of its name. */
const slotWord = (v: VariableEntry): string =>
  v.role === "ema" ? "" : (v.slot ?? v.name.slice(v.name.lastIndexOf("/") + 1).toLowerCase());

function report(
  a: readonly VariableEntry[],
  pairing: Pairing,
  openA: readonly VariableEntry[],
  openB: readonly VariableEntry[],
): Matching {
  const pairs = a.map((v) => pairing.ofA.get(v)).filter((p) => p !== undefined);
  const onlyInA = unmatched(openA, openB);
  const onlyInB = unmatched(openB, openA);
  const renames = pairs.filter((p) => p.a.name !== p.b.name).map((p) => [p.a.name, p.b.name] as const);
  const wanted = new Map<string, number>();
  for (const { sameShape } of onlyInA)
    for (const name of sameShape) wanted.set(name, (wanted.get(name) ?? 0) + 1);
  const single = onlyInA.flatMap(({ name, sameShape }) =>
    sameShape.length === 1 && wanted.get(sameShape[0]!) === 1 ? [[name, sameShape[0]!] as const] : [],
  );
  return { pairs, onlyInA, onlyInB, renames: Object.fromEntries([...renames, ...single]) };
}

/** Names of the same shape that are listed. */
const MOST_CANDIDATES = 8;
/** Names with a word in common that are compared letter by letter. */
const MOST_COMPARED = 16;

const wordsOf = (name: string): string[] => name.toLowerCase().split(/[^a-z0-9]+/);

function unmatched(mine: readonly VariableEntry[], theirs: readonly VariableEntry[]): Unmatched[] {
  const alike = byKey(theirs, (v) => `${roleAndShape(v)} ${v.slot ?? ""}`);
  const withWord = new Map<string, string[]>();
  for (const { name } of theirs) {
    for (const word of new Set(wordsOf(name))) {
      const names = withWord.get(word);
      if (names === undefined) withWord.set(word, [name]);
      else names.push(name);
    }
  }
  return mine.map((v) => {
    // Rare words first: many names have `kernel`.
    const rare = wordsOf(v.name)
      .map((word) => withWord.get(word) ?? [])
      .sort((x, y) => x.length - y.length);
    const compared = new Set<string>();
    for (const names of rare) {
      for (const name of names) {
        if (compared.size >= MOST_COMPARED) break;
        compared.add(name);
      }
    }
    const same = alike.get(`${roleAndShape(v)} ${v.slot ?? ""}`) ?? [];
    return {
      name: v.name,
      near: nearestNames(v.name, compared),
      sameShape: same.slice(0, MOST_CANDIDATES).map((w) => w.name),
    };
  });
}
