/** @file What a session wants of a cluster, as data and as ConfigProto. Start at `ClusterOptions`. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type ClusterDef, ClusterDefSchema, type ConfigProtoSchema } from "../../proto/master.gen.ts";

/** Addresses by job; where tasks are missing, by task: `{ ps: ["a:2222"], worker: { 1: "b:2222" } }`. */
export type ClusterSpec = Readonly<Record<string, readonly string[] | Readonly<Record<number, string>>>>;

export interface ClusterOptions {
  /** waits so long for the server, and for the other tasks of its cluster. Without it a server that is not up is an error at once, and the others have 60 s */
  readonly connectTimeoutMs?: number;
  /** of every run that names no other; absent: none */
  readonly operationTimeoutMs?: number;
  /** devices that the session sees, as `/job:ps` and `/job:worker/task:0`; it waits for their tasks alone */
  readonly deviceFilters?: readonly string[];
  /** ops go where there is a kernel, should their own device have none: false */
  readonly allowSoftPlacement?: boolean;
  /** the server writes each op's device into its log: false */
  readonly logDevicePlacement?: boolean;
  /** variables are this session's own, not shared with others on the cluster: false */
  readonly isolateSessionState?: boolean;
  /** the cluster, told to a server that was started alone */
  readonly cluster?: ClusterSpec;
}

/** ConfigProto of the options. */
export const configOf = (options: ClusterOptions): MessageInitShape<typeof ConfigProtoSchema> => ({
  deviceFilters: [...(options.deviceFilters ?? [])],
  allowSoftPlacement: options.allowSoftPlacement ?? false,
  logDevicePlacement: options.logDevicePlacement ?? false,
  operationTimeoutInMs: BigInt(Math.ceil(options.operationTimeoutMs ?? 0)),
  isolateSessionState: options.isolateSessionState ?? false,
  ...(options.cluster === undefined ? {} : { clusterDef: clusterDef(options.cluster) }),
});

/** Addresses by task number. */
export const tasksOf = (cluster: ClusterSpec, job: string): ReadonlyMap<number, string> =>
  new Map(Object.entries(cluster[job] ?? {}).map(([task, address]) => [Number(task), address]));

/** The ClusterDef message. @see TensorFlow core/protobuf/cluster.proto */
export const clusterDef = (cluster: ClusterSpec): ClusterDef =>
  create(ClusterDefSchema, {
    job: Object.keys(cluster)
      .sort()
      .map((name) => ({ name, tasks: Object.fromEntries(tasksOf(cluster, name)) })),
  });
