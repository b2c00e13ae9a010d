/** @file Running graphs: sessions, plans, engines. Start at session.ts. */

export { loadRuntime } from "#ort";
export { type Expansion, type InlineOptions, inlineCalls } from "./control/expand.ts";
export {
  type ClusterOptions,
  type ClusterSpec,
  clusterDef,
  type DeviceInfo,
  type PartialRun,
  type RemoteSession,
  type RunMetadata,
  resetCluster,
  type TraceLevel,
  tasksOf,
} from "./remote/index.ts";
export type { Runtime } from "./runtime.ts";
export { type RunOptions, Session, type SessionOptions } from "./session.ts";
export { VariableStore, variableKey } from "./state.ts";
export type { Feeds, FeedValue, Fetchable, Fetched } from "./values.ts";
