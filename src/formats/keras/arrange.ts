/**
 * @file The order of a model's layers where no config tells it: slots of an optimizer follow the model's variables, so their
 * shapes show it. Start at `arranged`.
 */

import { type Shape, sameShape } from "../../base/index.ts";

/** A variable that may have slots, with its dataset. */
export interface Placed {
  readonly path: string;
  readonly name: string;
  readonly shape: Shape | null;
}

/** Steps of the search; layers of equal shapes are tried in the order of the file, which is nearly right. */
const MAX_STEPS = 100_000;

/** The layer of a dataset: the group below the innermost group of layers. */
const layerOf = (path: string): string =>
  /^(.*\/(?:layers|_layer_checkpoint_dependencies)\/[^/]+)/.exec(path)?.[1] ?? "";

/** The variables with their layers so arranged that the shapes follow `shapes`; undefined where that cannot be. */
export function arranged(
  variables: readonly Placed[],
  shapes: readonly (Shape | null)[],
): readonly Placed[] | undefined {
  const byLayer = new Map<string, Placed[]>();
  for (const v of variables) {
    const layer = byLayer.get(layerOf(v.path)) ?? [];
    layer.push(v);
    byLayer.set(layerOf(v.path), layer);
  }
  const layers = [...byLayer.values()];
  const used = new Set<number>();
  const order: number[] = [];
  let steps = 0;
  const fits = (layer: readonly Placed[], at: number): boolean =>
    layer.every((v, i) => at + i < shapes.length && sameShape(v.shape, shapes[at + i]!));
  // Depth first, with a stack of our own: a model may have thousands of layers.
  let next = 0;
  let at = 0;
  while (order.length < layers.length) {
    while (next < layers.length && (used.has(next) || !fits(layers[next]!, at))) next++;
    if (++steps > MAX_STEPS) return undefined;
    if (next < layers.length) {
      used.add(next);
      order.push(next);
      at += layers[next]!.length;
      next = 0;
      continue;
    }
    const last = order.pop();
    if (last === undefined) return undefined;
    used.delete(last);
    at -= layers[last]!.length;
    next = last + 1;
  }
  return at === shapes.length ? order.flatMap((i) => layers[i]!) : undefined;
}
