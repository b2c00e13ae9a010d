/** @file Looking into models and changing them. Start at open-model.ts for files, inspect.ts for what is in them, freeze.ts for freezing. */

export type { Format } from "../formats/collection/index.ts";
export { ROLES, type Role, roleOf } from "../formats/collection/index.ts";
export { convertVariablesToConstants, type FreezeOptions, freezeGraph, type ValueOf } from "./freeze.ts";
export { type Inspection, type InspectOptions, inspect, type VariableFacts } from "./inspect.ts";
export { type Model, type OpenOptions, openModel, type Where } from "./open-model.ts";
export { type Stats, statsOf, streamStats } from "./stats.ts";
