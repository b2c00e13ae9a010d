/** @file Looking into models and changing them. Start at container.ts for files, inspect.ts for what is in them, freeze.ts for freezing. */

export type { Format } from "../formats/collection/index.ts";
export { ROLES, type Role, roleOf } from "../formats/collection/index.ts";
export { type ContainedVariable, type Container, openContainer } from "./container.ts";
export { convertVariablesToConstants, type FreezeOptions, freezeGraph, type ValueOf } from "./freeze.ts";
export { type Inspection, type InspectOptions, inspect, type VariableFacts } from "./inspect.ts";
export { type Stats, statsOf } from "./stats.ts";
