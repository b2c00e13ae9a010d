/**
 * @file Which variance of the data becomes a moving variance: a habit of the library that trains, and all of them by name. Start at `CONVENTIONS`.
 *
 * @see keras-team/keras#9028 (standalone Keras 2); tensorflow/tensorflow#55545 (fused and not)
 */

import type { VariableCollection } from "../../formats/collection/index.ts";
import { kerasLayoutOf, readObjectGraph } from "../../formats/object-graph/index.ts";

/** "sample" divides by n - 1 (Bessel; by 1 for n = 1), "population" by n; standalone Keras multiplies what its op gives by n / (n - (1 + epsilon)). */
export type Convention = "sample" | "population" | "keras-standalone";

/** What is known of a layer. */
export interface NormFacts {
  /** whether its op is fused, which stores the variance of a sample */
  readonly isFused: boolean;
  /** of its input; null where it is not known */
  readonly rank: number | null;
  /** axes that keep statistics of their own */
  readonly axes: number;
  readonly epsilon: number;
}

export type ConventionName =
  | "as-written"
  | "tf1-fused"
  | "tf1-unfused"
  | "keras2"
  | "keras3"
  | "keras-standalone"
  | Convention;

interface Habit {
  /** whose, for people */
  readonly who: string;
  of(layer: NormFacts): Convention;
}

/** All habits. */
export const CONVENTIONS: Readonly<Record<ConventionName, Habit>> = {
  "as-written": {
    who: "what the op that trains the layer stores",
    of: ({ isFused }) => (isFused ? "sample" : "population"),
  },
  "tf1-fused": { who: "tf.layers and slim with a fused op, slim's at rank 2 too", of: () => "sample" },
  "tf1-unfused": { who: "tf.layers and slim without", of: () => "population" },
  keras2: {
    who: "tf.keras until 2.15, tf_keras: n - 1 where it fuses, which is rank 4 and 5 with one axis",
    of: ({ rank, axes, isFused }) =>
      (rank === null ? isFused : (rank === 4 || rank === 5) && axes <= 1) ? "sample" : "population",
  },
  keras3: { who: "Keras 3, TensorFlow.js", of: () => "population" },
  "keras-standalone": { who: "keras 2.1.4 to 2.3 on TensorFlow", of: () => "keras-standalone" },
  sample: { who: "n - 1", of: () => "sample" },
  population: { who: "n", of: () => "population" },
};

/** Number that the sum of squared distances of `n` elements is divided by. */
export function divisorOf(convention: Convention, n: number, { isFused, epsilon }: NormFacts): number {
  const sample = Math.max(n - 1, 1);
  if (convention === "sample") return sample;
  if (convention === "population") return n;
  return ((isFused ? sample : n) * (n - (1 + epsilon))) / n;
}

/** A convention, and how it is known. */
export interface KnownConvention {
  readonly convention: ConventionName;
  /** why it is this one; null where it was asked for */
  readonly why: string | null;
}

/** What the maker of a container stores, where the container tells who that was; else as written. */
export function detectConvention(container: VariableCollection): KnownConvention {
  const version = kerasVersion(container);
  const maker = version === null ? null : makerOf(version);
  if (maker !== null) return { convention: maker, why: `saved by Keras ${version}` };
  const { objectGraph } = container.extras;
  const layout = objectGraph && kerasLayoutOf(readObjectGraph(objectGraph, container.path));
  if (!layout) return { convention: "as-written", why: "the container does not tell its maker" };
  return { convention: layout, why: `objects as ${layout === "keras2" ? "Keras 2" : "Keras 3"} lays them` };
}

/** What a .keras or .h5 says. */
function kerasVersion({ extras }: VariableCollection): string | null {
  const said = extras.kerasAttributes;
  const inFile = said?.get("")?.keras_version ?? said?.get("model_weights")?.keras_version;
  if (inFile !== undefined) return String(inFile);
  try {
    const told = (JSON.parse(extras.kerasMetadata ?? "null") as { keras_version?: unknown } | null)
      ?.keras_version;
    return typeof told === "string" ? told : null;
  } catch {
    return null; // it is carried as it is
  }
}

/** tf.keras wrote `2.2.4-tf`, and 2.4 and later, which standalone Keras never had on its own. null: an older one, which had other habits. */
function makerOf(version: string): ConventionName | null {
  const [major, minor, patch] = version.split(/[.-]/).map(Number) as [number, number?, number?];
  if (major === 3) return "keras3";
  if (major !== 2 || minor === undefined) return null;
  if (version.endsWith("-tf") || minor >= 4) return "keras2";
  return minor > 1 || (minor === 1 && (patch ?? 0) >= 4) ? "keras-standalone" : null;
}
