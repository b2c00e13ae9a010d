/** @file Looking into models and changing them. Start at open-model.ts for files, inspect.ts for what is in them, freeze.ts for freezing. */

export {
  blobSource,
  bytesSource,
  type Files,
  fileSource,
  heldFiles,
  httpSource,
  type Source,
} from "#platform";
export type { Format } from "../formats/collection/index.ts";
export { ROLES, type Role, roleOf } from "../formats/collection/index.ts";
export {
  type Matching,
  type MatchOptions,
  matchVariables,
  type Pair,
  type Unmatched,
} from "../formats/matching/index.ts";
export type { ObjectEdge, ObjectValue, TreeObject } from "../formats/object-graph/index.ts";
export { type AverageOptions, type AveragePlan, planAverage } from "./change/average.ts";
export { type ConvertPlan, planConvert } from "./change/convert.ts";
export { type LikeOptions, planLike } from "./change/convert-like.ts";
export { planEdit } from "./change/edit.ts";
export type { RnnForm } from "./change/gates.ts";
export type { EditOptions, EditPlan, PlannedLoss, PlannedVariable } from "./change/plan.ts";
export { greedySoup, type Soup, type SoupDecision, type SoupOptions, type SoupScore } from "./change/soup.ts";
export type { Surgery } from "./change/surgery.ts";
export type { NewEntries } from "./change/vocabulary.ts";
export { type Difference, type DiffOptions, type DiffReport, diffModels } from "./compare/diff.ts";
export {
  type DiagnoseOptions,
  type DiagnosePathOptions,
  type Diagnosis,
  diagnose,
  diagnosePath,
  type Finding,
  RULES as DOCTOR_RULES,
  type Rule as DoctorRule,
  type Severity,
} from "./doctor/index.ts";
export {
  convertVariablesToConstants,
  type FreezeOptions,
  freezeGraph,
  type ValueOf,
} from "./graph/freeze.ts";
export { type FreezeFileOptions, type FrozenFile, freezeFile } from "./graph/freeze-file.ts";
export { type GraphFile, openGraph } from "./graph/open-graph.ts";
export { type Inspection, type InspectOptions, inspect, type VariableFacts } from "./inspect.ts";
export { inspectObjects, type ObjectInspection } from "./inspect-objects.ts";
export { type Model, type OpenOptions, openModel, type Where } from "./open-model.ts";
export {
  CONVENTIONS,
  type Convention,
  type ConventionName,
  type FeedData,
  type Gap,
  type KnownConvention,
  planRecalibration,
  type RecalibratedNorm,
  type RecalibrateOptions,
  type Recalibration,
  type RecalibrationPlan,
  type RecalibrationPlanOptions,
  recalibrate,
} from "./recalibrate/index.ts";
export { type Repair, type RepairOptions, salvageCheckpoint } from "./repair.ts";
export { type Stats, statsOf, streamStats } from "./stats.ts";
export {
  type Change,
  FOLDING,
  type FoldResult,
  foldBatchNorm,
  type Left,
  PASSES,
  type Pass,
  type PassOptions,
  type PassReport,
  type PassResult,
  type Provenance,
  provenanceOf,
  type RangeReport,
  readProvenance,
  refold,
  refoldGraph,
  repairGraphDef,
  type Transformed,
  type TransformOptions,
  transformGraph,
} from "./transform/index.ts";
export { formatOfName, type WritableFormat, type WriteModelOptions, writeModel } from "./write-model.ts";
