/** @file Roles of variables whose names have dots for separators, as PyTorch's: `layer1.0.bn1.running_mean`. Start at `placeOf`. */

import type { Shape } from "../../base/index.ts";
import { type Place, roleOf } from "../collection/index.ts";

/**
 * Role and layer of a variable with a dotted name; nothing where the name is of another kind, so that the collection tells them.
 *
 * @param has - whether the file has a variable of this name
 */
export function placeOf(
  name: string,
  shape: Shape | null,
  has: (name: string) => boolean,
): Pick<Place, "role" | "layer"> | Record<never, never> {
  const dot = name.lastIndexOf(".");
  if (dot < 0 || name.includes("/")) return {};
  const layer = name.slice(0, dot);
  // PyTorch calls gamma and beta weight and bias; the statistics beside them tell.
  const isNormed = has(`${layer}.running_mean`) && has(`${layer}.running_var`);
  const normed = { weight: "gamma", bias: "beta" } as const;
  const word = name.slice(dot + 1);
  if (isNormed && (word === "weight" || word === "bias")) return { role: normed[word], layer };
  const { role } = roleOf(name.replaceAll(".", "/"), shape, () => undefined);
  return { role: role === "slot" || role === "ema" ? "other" : role, layer };
}
