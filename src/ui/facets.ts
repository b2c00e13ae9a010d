/** @file Totals by role, dtype and scope, which are filters too. Start at `facetsOf`. */

import { isParameter } from "../edit/inspect.ts";
import { ROLES, type VariableEntry } from "../formats/collection/index.ts";
import { scopeOf, sizeOfEntry } from "./rows.ts";

/** A value of a facet and what has it. */
export interface FacetValue {
  readonly value: string;
  readonly tensors: number;
  readonly elements: number;
}

/** Totals of a container. */
export interface Facets {
  readonly tensors: number;
  /** of the model alone: no slots, shadows, counters */
  readonly parameters: number;
  readonly elements: number;
  readonly bytes: number;
  readonly roles: readonly FacetValue[];
  readonly dtypes: readonly FacetValue[];
  readonly scopes: readonly FacetValue[];
}

/** Totals; roles in their order, dtypes and scopes by size. */
export function facetsOf(variables: readonly VariableEntry[]): Facets {
  const [roles, dtypes, scopes] = [new Tally(), new Tally(), new Tally()];
  let [parameters, elements, bytes] = [0, 0, 0];
  for (const v of variables) {
    const size = sizeOfEntry(v);
    elements += size;
    bytes += v.bytes;
    if (isParameter(v)) parameters += size;
    roles.add(v.role, size);
    dtypes.add(v.dtype, size);
    scopes.add(scopeOf(v), size);
  }
  const order = (v: FacetValue): number => ROLES.indexOf(v.value as (typeof ROLES)[number]);
  return {
    tensors: variables.length,
    parameters,
    elements,
    bytes,
    roles: roles.list().sort((a, b) => order(a) - order(b)),
    dtypes: dtypes.list(),
    scopes: scopes.list(),
  };
}

class Tally {
  private readonly by = new Map<string, { value: string; tensors: number; elements: number }>();

  add(value: string, size: number): void {
    const entry = this.by.get(value) ?? { value, tensors: 0, elements: 0 };
    entry.tensors++;
    entry.elements += size;
    this.by.set(value, entry);
  }

  list(): FacetValue[] {
    return [...this.by.values()].sort((a, b) => b.elements - a.elements || b.tensors - a.tensors);
  }
}
