/**
 * @file Devices of a replica's graph: variables on parameter servers, all else on the worker. Start at `replicaDeviceSetter`.
 *
 * @see TensorFlow python/training/device_setter.py; tensorflow/contrib/training/python/training/device_setter.py (TF1) for loads
 */

import { DTYPES, isStatic, sizeOf, VarscopeError } from "../base/index.ts";
import { type DeviceFunction, mergeDevices, type Operation, parseDevice } from "../graph/index.ts";
import { type ClusterSpec, tasksOf } from "../run/index.ts";

/** The parameter server's task for a variable's op. Asked once for each, in the order in which they are made. */
export type PsStrategy = (op: Operation) => number;

export interface ReplicaDeviceOptions {
  /** parameter servers: 0; `cluster` tells it too */
  readonly psTasks?: number;
  /** where variables go, without the task: "/job:ps" */
  readonly psDevice?: string;
  /** where all else goes: "/job:worker" */
  readonly workerDevice?: string;
  /** fields that inner scopes leave open are filled in; without, an op that has any device keeps it as it is: true */
  readonly mergeDevices?: boolean;
  /** its tasks of psDevice's job are counted, in place of psTasks */
  readonly cluster?: ClusterSpec;
  /** types of the ops that go to the parameter servers: variables, tables, accumulators */
  readonly psOps?: readonly string[];
  /** one after the other by default */
  readonly psStrategy?: PsStrategy;
}

const STANDARD_PS_OPS: readonly string[] = [
  "Variable",
  "VariableV2",
  "AutoReloadVariable",
  "MutableHashTable",
  "MutableHashTableV2",
  "MutableHashTableOfTensors",
  "MutableHashTableOfTensorsV2",
  "MutableDenseHashTable",
  "MutableDenseHashTableV2",
  "VarHandleOp",
  "BoostedTreesEnsembleResourceHandleOp",
  "BoostedTreesQuantileStreamResourceHandleOp",
  "ResourceConditionalAccumulator",
  "DecisionTreeResource",
];

/**
 * A device function for `graph.withDevice`: variables on the parameter servers in turn, all else on the worker.
 *
 * @returns null where there are no parameter servers: `withDevice(null, ..)` then places nothing
 * @throws VarscopeError INVALID_ARGUMENT - psDevice or workerDevice is none
 */
export function replicaDeviceSetter(options: ReplicaDeviceOptions = {}): DeviceFunction | null {
  const { psDevice = "/job:ps", workerDevice = "/job:worker", cluster, psOps = STANDARD_PS_OPS } = options;
  const [ps, worker] = [parseDevice(psDevice), parseDevice(workerDevice)];
  const tasks = cluster === undefined ? (options.psTasks ?? 0) : tasksOf(cluster, ps.job ?? "").size;
  if (tasks === 0) return null;
  const onPs = new Set(psOps);
  const strategy = options.psStrategy ?? roundRobin(tasks);
  return (op) => {
    if (op.device !== "" && options.mergeDevices === false) return op.device;
    if (psDevice === "" || !onPs.has(op.type)) return mergeDevices([worker, op.device]);
    const { job } = parseDevice(op.device);
    const isOurs = ps.job !== undefined && (job === undefined || job === ps.job);
    return mergeDevices([isOurs ? { ...ps, task: strategy(op) } : ps, op.device]);
  };
}

function roundRobin(tasks: number): PsStrategy {
  let next = 0;
  return () => next++ % tasks;
}

/**
 * The task with the least load so far; of several, the first.
 *
 * @param load - what an op adds, as `byteSizeLoad`
 */
export function greedyLoadBalancingStrategy(tasks: number, load: (op: Operation) => number): PsStrategy {
  const loads = Array.from({ length: tasks }, () => 0);
  return (op) => {
    const task = loads.indexOf(Math.min(...loads));
    loads[task]! += load(op);
    return task;
  };
}

/**
 * Bytes of a variable's value, or of the one output of another op. TensorFlow's `byte_size_load_fn` counts the handle of a resource
 * variable instead of its value, so that it balances nothing.
 *
 * @throws VarscopeError INVALID_ARGUMENT - several outputs, or a shape that is not fully known
 */
export function byteSizeLoad(op: Operation): number {
  const [output, ...others] = op.outputs;
  if (output === undefined || others.length > 0) {
    throw new VarscopeError("INVALID_ARGUMENT", `Op ${op.name} must have a single output`, { at: op.name });
  }
  const { shape, dtype } = output.handle ?? output;
  if (isStatic(shape)) return sizeOf(shape) * DTYPES[dtype].bytes;
  throw new VarscopeError("INVALID_ARGUMENT", `the output's shape is not fully defined`, {
    at: op.name,
    hint: "give the variable a shape, or another load function",
  });
}
