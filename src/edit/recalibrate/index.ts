/** @file Batch normalization's statistics estimated anew over data, in a session or in files. Start at recalibrate.ts. */

export type { FeedData } from "./batches.ts";
export { CONVENTIONS, type Convention, type ConventionName, type KnownConvention } from "./convention.ts";
export type { Gap } from "./gap.ts";
export { planRecalibration, type RecalibrationPlan, type RecalibrationPlanOptions } from "./plan.ts";
export {
  type RecalibratedNorm,
  type RecalibrateOptions,
  type Recalibration,
  recalibrate,
} from "./recalibrate.ts";
