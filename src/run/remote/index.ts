/**
 * @file Sessions on TensorFlow's clusters over gRPC: the client of MasterService. It computes nothing. `Session` uses it where it has a
 * target. Start at session.ts; grpc-js is in channel-node.ts alone.
 */

export { abortError } from "./channel.ts";
export type { ClusterOptions, ClusterSpec } from "./config.ts";
export { clusterDef, tasksOf } from "./config.ts";
export {
  type DeviceInfo,
  type PartialRun,
  RemoteSession,
  type RunMetadata,
  resetCluster,
  type TraceLevel,
} from "./session.ts";
