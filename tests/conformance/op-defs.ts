/** @file Our op definitions beside TensorFlow's OpDefs. Start at `opDefDifference`. */

import type { AttrValue, OpDef } from "../../src/graph/index.ts";
import { sameAttr } from "./compare.ts";
import { readAttrs } from "./golden-json.ts";

interface AttrJson {
  readonly kind: string;
  readonly default?: unknown;
  /** sorted */
  readonly allowed?: readonly string[];
  readonly min?: number;
}

/** One row of tests/goldens/ops/op-defs.json. */
export interface OpDefJson {
  readonly inputs: readonly (readonly [string, string])[];
  readonly outputs: readonly (readonly [string, string])[];
  readonly attrs: Readonly<Record<string, AttrJson>>;
  readonly stateful?: true;
  readonly allowsUninitialized?: true;
}

const text = (x: unknown): string => JSON.stringify(x) ?? "none";

/** The first difference of a definition from TensorFlow's, or null. */
export function opDefDifference(def: OpDef, want: OpDefJson): string | null {
  for (const side of ["inputs", "outputs"] as const) {
    const got = Object.entries(def[side]);
    if (text(got) !== text(want[side])) return `${side} are ${text(got)}, TensorFlow's ${text(want[side])}`;
  }
  for (const flag of ["stateful", "allowsUninitialized"] as const) {
    if ((def[flag] ?? false) !== (want[flag] ?? false))
      return `${flag} is ${def[flag] ?? false}, TensorFlow's ${want[flag] ?? false}`;
  }
  const names = Object.keys(def.attrs).sort();
  const wanted = Object.keys(want.attrs).sort();
  if (text(names) !== text(wanted)) return `attrs are ${names}, TensorFlow's ${wanted}`;
  for (const name of names) {
    const found = attrDifference(def.attrs[name]!, want.attrs[name]!);
    if (found !== null) return `attr ${name}: ${found}`;
  }
  return null;
}

function attrDifference(got: OpDef["attrs"][string], want: AttrJson): string | null {
  if (got.kind !== want.kind) return `kind is ${got.kind}, TensorFlow's ${want.kind}`;
  const allowed = got.allowed === undefined ? undefined : [...got.allowed].sort();
  if (text(allowed) !== text(want.allowed)) return `allowed are ${allowed}, TensorFlow's ${want.allowed}`;
  if ((got.min ?? null) !== (want.min ?? null)) return `minimum is ${got.min}, TensorFlow's ${want.min}`;
  const { value } = readAttrs("default" in want ? { value: want.default } : {});
  return sameAttr(got.default as AttrValue | undefined, value)
    ? null
    : `default is ${text(got.default)}, TensorFlow's ${text(want.default)}`;
}
