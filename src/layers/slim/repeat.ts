/** @file Layers one after the other in a scope: `conv1/conv1_1`, `conv1/conv1_2`, as VGG has them. @see tf_slim layers/layers.py "repeat", "stack" */

import type { Output } from "../../graph/index.ts";
import { variableScope } from "../../variables/index.ts";

/**
 * Applies `layer` once for each of `items`, each time to what it gave before, in the variable scope `scope`.
 *
 * @param layer - gets the layer's own scope, `<scope>_1`, `<scope>_2`, ...
 */
export const stack = <T>(
  x: Output,
  items: readonly T[],
  scope: string,
  layer: (x: Output, item: T, scope: string) => Output,
): Output =>
  variableScope(x.graph, scope, {}, () =>
    items.reduce((y, item, i) => layer(y, item, `${scope}_${i + 1}`), x),
  );

/** The same layer `repetitions` times, as `stack`. */
export const repeat = (
  x: Output,
  repetitions: number,
  scope: string,
  layer: (x: Output, scope: string) => Output,
): Output => stack(x, Array(repetitions).fill(null), scope, (y, _, name) => layer(y, name));
