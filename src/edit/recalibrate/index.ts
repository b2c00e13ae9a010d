/** @file Batch normalization's statistics estimated anew over data, in a session or in files. Start at recalibrate.ts. */

export type { FeedData } from "./batches.ts";
export type { Gap } from "./gap.ts";
export { planRecalibration, type RecalibrationPlan } from "./plan.ts";
export {
  type RecalibratedNorm,
  type RecalibrateOptions,
  type Recalibration,
  recalibrate,
} from "./recalibrate.ts";
