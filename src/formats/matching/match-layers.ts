/**
 * @file Layers of two models that have other names but the same make: the roles and shapes of their variables. Start at `pairLayers`.
 */

import { formatShape, groupedBy } from "../../base/index.ts";
import type { VariableEntry } from "../collection/index.ts";

type Layer = readonly VariableEntry[];

/** Pairs of variables of layers whose make occurs once on either side, or as often on both under numbered names. */
export function pairLayers(
  a: readonly VariableEntry[],
  b: readonly VariableEntry[],
): [VariableEntry, VariableEntry][] {
  const [inA, inB] = [byMake(a), byMake(b)];
  const pairs: [VariableEntry, VariableEntry][] = [];
  for (const [make, mine] of inA) {
    const theirs = inB.get(make);
    if (theirs === undefined || theirs.length !== mine.length) continue;
    if (mine.length > 1 && !(isNumbered(mine) && isNumbered(theirs))) continue;
    const [x, y] = [inOrder(mine), inOrder(theirs)];
    x.forEach((layer, i) => {
      pairs.push(...pairWithin(layer, y[i]!));
    });
  }
  return pairs;
}

const kindOf = (v: VariableEntry): string => `${v.role} ${formatShape(v.shape)}`;

/** Layers by the roles and shapes of their variables. */
function byMake(variables: readonly VariableEntry[]): Map<string, Layer[]> {
  const layers = groupedBy(variables, (v) => v.layer);
  return groupedBy<Layer, string>(layers.values(), (layer) => layer.map(kindOf).sort().join(", "));
}

const NUMBER = /(?:_(\d+))?$/;
const nameOf = (layer: Layer): string => layer[0]!.layer;

/** Whether the names are one and its numbers: conv2d, conv2d_1, conv2d_2, which count the order of making. */
const isNumbered = (layers: readonly Layer[]): boolean =>
  new Set(layers.map((layer) => nameOf(layer).replace(NUMBER, ""))).size === 1;

const inOrder = (layers: readonly Layer[]): Layer[] => {
  const number = (layer: Layer): number => Number(NUMBER.exec(nameOf(layer))?.[1] ?? -1);
  return [...layers].sort((x, y) => number(x) - number(y));
};

/** Variables of two layers of one make; those of one role and shape only where their words tell them apart. */
function pairWithin(a: Layer, b: Layer): [VariableEntry, VariableEntry][] {
  const word = (v: VariableEntry): string => v.name.slice(v.name.lastIndexOf("/") + 1);
  const kinds = groupedBy(b, kindOf);
  return a.flatMap((x): [VariableEntry, VariableEntry][] => {
    const alike = kinds.get(kindOf(x)) ?? [];
    const only = alike.length === 1 ? alike : alike.filter((y) => word(y) === word(x));
    return only.length === 1 ? [[x, only[0]!]] : [];
  });
}
