/** @file slim's initial values: nodes as the core's, but other widths of the normal distribution. @see tf_slim layers/initializers.py */

import { sizeOf } from "../../base/index.ts";
import {
  type Initializer,
  randomUniformInitializer,
  type SeedOptions,
  truncatedNormalInitializer,
} from "../../variables/index.ts";

export interface SlimScalingOptions extends SeedOptions {
  /** 2 */
  readonly factor?: number;
  /** which connections are counted: FAN_IN */
  readonly mode?: "FAN_IN" | "FAN_OUT" | "FAN_AVG";
  /** uniform, or normal and cut off: false */
  readonly uniform?: boolean;
}

/**
 * Variance factor / n, where n is the number of inputs or outputs of a unit, or their mean. The normal distribution is widened by √1.3 for its lost
 * tails, where the core's `varianceScalingInitializer` divides by 0.8796.
 */
export function slimVarianceScaling(options: SlimScalingOptions = {}): Initializer {
  const { factor = 2, mode = "FAN_IN", uniform = false, seed = null } = options;
  return (g, shape, dtype, partition) => {
    const [fanIn, fanOut] = fans(shape);
    const n = { FAN_IN: fanIn, FAN_OUT: fanOut, FAN_AVG: (fanIn + fanOut) / 2 }[mode];
    const limit = Math.sqrt((3 * factor) / n);
    const make = uniform
      ? randomUniformInitializer({ minval: -limit, maxval: limit, seed })
      : truncatedNormalInitializer({ stddev: Math.sqrt((1.3 * factor) / n), seed });
    return make(g, shape, dtype, partition);
  };
}

/** Of a part of a partitioned variable, the part's own. */
function fans(shape: readonly number[]): [number, number] {
  const window = sizeOf(shape.slice(0, -2));
  const last = shape.at(-1) ?? 1;
  return [(shape.at(-2) ?? last) * window, last * window];
}

/** Variance 2 / (inputs + outputs); uniform unless said otherwise. @see Glorot and Bengio 2010 */
export const xavierInitializer = (o: SeedOptions & { readonly uniform?: boolean } = {}): Initializer =>
  slimVarianceScaling({ uniform: true, ...o, factor: 1, mode: "FAN_AVG" });
