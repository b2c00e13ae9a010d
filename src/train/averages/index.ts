/** @file Averages of weights: swapped in for an evaluation, and stochastic weight averaging. Start at swap.ts; exponential averages are in variables/ema.ts. */

export {
  type SessionMean,
  sessionMean,
  stochasticWeightAverage,
  type WeightAverage,
  type WeightAverageOptions,
} from "./swa.ts";
export { type Averages, type Restore, swapAverages, withAverages } from "./swap.ts";
