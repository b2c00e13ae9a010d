/**
 * @file The nodes of a saver: of each shard one op that saves, one that restores and an assignment for each variable, so that TensorFlow's
 * Saver works from our graphs and ours from TensorFlow's. Start at `saverNodes`.
 *
 * @see TensorFlow python/training/saver.py "BaseSaverBuilder", "BulkSaverBuilder"
 */

import { create } from "@bufbuild/protobuf";
import { compareText, groupedBy, VarscopeError } from "../base/index.ts";
import {
  type Graph,
  group,
  mergeDevices,
  type Operation,
  type Output,
  withDependencies,
} from "../graph/index.ts";
import { type SaverDef, SaverDefSchema } from "../proto/meta-graph.gen.ts";
import { type SaveableObject, shapeToRestore } from "./saver-list.ts";

/** Formats of checkpoints. @see TensorFlow core/protobuf/saver.proto "CheckpointFormatVersion" */
export const CheckpointFormat = { V1: 1, V2: 2 } as const;

export interface SaverNodeOptions {
  readonly name: string;
  readonly reshape: boolean;
  readonly filename: string;
  readonly maxToKeep: number;
  readonly keepCheckpointEveryNHours: number;
  readonly sharded: boolean;
  readonly writeVersion: 1 | 2;
}

/** What is saved together, and on which device. */
interface Shard {
  readonly device: string;
  readonly saveables: readonly SaveableObject[];
}

/** Adds a saver's nodes and describes them. */
export function saverNodes(
  graph: Graph,
  saveables: readonly SaveableObject[],
  options: SaverNodeOptions,
): SaverDef {
  const { reshape, writeVersion: version } = options;
  return graph.nameScope(options.name, () => {
    const holder = (input: Output | string, name: string): Output =>
      graph.add("PlaceholderWithDefault", [input], { name, attrs: { dtype: "string", shape: { dims: [] } } });
    const filename = holder(holder(options.filename, "filename"), "Const");
    let saved: Output;
    let restored: Operation;
    if (options.sharded) {
      const shards = shardsOf(saveables);
      const save = version === CheckpointFormat.V2 ? saveShardsV2 : saveShardsV1;
      saved = save(graph, filename, shards);
      restored = restoreShards(graph, filename, shards, reshape);
    } else {
      saved = saveNodes(graph, filename, saveables, version);
      restored = restoreNodes(graph, filename, saveables, reshape, "restore_all");
    }
    return create(SaverDefSchema, {
      filenameTensorName: filename.name,
      saveTensorName: saved.name,
      restoreOpName: restored.name,
      maxToKeep: options.maxToKeep,
      sharded: options.sharded,
      keepCheckpointEveryNHours: options.keepCheckpointEveryNHours,
      version,
    });
  });
}

function saveNodes(
  graph: Graph,
  filename: Output,
  saveables: readonly SaveableObject[],
  version: 1 | 2,
): Output {
  const specs = saveables.flatMap((s) => s.specs);
  const tensors = specs.map((s) => s.tensor());
  const inputs = [filename, specs.map((s) => s.name), specs.map((s) => s.slice), tensors];
  // TensorFlow's function for V1 calls its op so
  const save =
    version === CheckpointFormat.V2
      ? graph.addOp("SaveV2", inputs)
      : graph.addOp("SaveSlices", inputs, { name: "save" });
  return withDependencies([save], filename);
}

function restoreNodes(
  graph: Graph,
  filename: Output,
  saveables: readonly SaveableObject[],
  reshape: boolean,
  name: string,
): Operation {
  const specs = saveables.flatMap((s) => s.specs);
  const read = onCpu(graph, "", () =>
    graph.addOp("RestoreV2", [filename, specs.map((s) => s.name), specs.map((s) => s.slice)], {
      attrs: { dtypes: specs.map((s) => s.dtype) },
    }),
  );
  let next = 0;
  const assigns = saveables.map((saveable) => {
    const tensors = saveable.specs.map(() => read.output(next++));
    return saveable.restore(tensors, reshape ? saveable.specs.map(shapeToRestore) : null);
  });
  return group(graph, assigns, name);
}

/** Saveables by device, sorted. @throws VarscopeError INVALID_ARGUMENT - the tensors of one are on several devices */
function shardsOf(saveables: readonly SaveableObject[]): Shard[] {
  const shards = groupedBy(saveables, ({ name, specs }) => {
    const [device, ...others] = new Set(specs.map((s) => mergeDevices([s.device])));
    if (device !== undefined && others.length === 0) return device;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `All tensors of a saveable object must be on the same device: ${name}`,
    );
  });
  return [...shards]
    .sort(([a], [b]) => compareText(a, b))
    .map(([device, saveables]) => ({ device, saveables }));
}

/** On the processor of the machine that a device belongs to. */
const onCpu = <R>(graph: Graph, device: string, body: () => R): R =>
  graph.withDevice(device, () => graph.withDevice("/device:CPU:0", body));

/** Each shard under a temporary prefix; then one op joins them under the prefix that was fed. */
function saveShardsV2(graph: Graph, prefix: Output, shards: readonly Shard[]): Output {
  const temporary = graph.withDevice("/device:CPU:*", () => {
    const attrs = { pattern: "^s3://.*" };
    const isRemote = graph.add("StaticRegexFullMatch", [prefix], { attrs });
    const suffixes = [graph.constant(".part"), graph.constant("_temp/part")] as const;
    const suffix = graph.add("Select", [isRemote, ...suffixes]);
    return graph.add("StringJoin", [[prefix, suffix]]);
  });
  const names: Output[] = [];
  const count = shardCount(graph, shards);
  const saved = shards.map(({ device, saveables }, i) =>
    onCpu(graph, device, () => {
      names.push(graph.add("ShardedFilename", [temporary, i, count]));
      return saveNodes(graph, names[i]!, saveables, CheckpointFormat.V2);
    }),
  );
  return graph.controlDependencies(saved, () =>
    onCpu(graph, shards.at(-1)!.device, () => {
      const merge = graph.nameScope("MergeV2Checkpoints", (scope) => {
        const prefixes = graph.add("Pack", [names], { name: "checkpoint_prefixes" });
        return graph.addOp("MergeV2Checkpoints", [prefixes, prefix], { name: scope });
      });
      return graph.controlDependencies([merge], () => graph.add("Identity", [prefix]));
    }),
  );
}

/** Each shard in a file of its own; what was saved is a pattern for all of them. */
function saveShardsV1(graph: Graph, file: Output, shards: readonly Shard[]): Output {
  const count = shardCount(graph, shards);
  const saved = shards.map(({ device, saveables }, i) =>
    graph.withDevice(device, () => {
      const name = graph.add("ShardedFilename", [file, i, count]);
      return saveNodes(graph, name, saveables, CheckpointFormat.V1);
    }),
  );
  return graph.controlDependencies(saved, () => graph.add("ShardedFilespec", [file, count]));
}

const shardCount = (graph: Graph, shards: readonly Shard[]): Output =>
  graph.constant(shards.length, { dtype: "int32", name: "num_shards" });

function restoreShards(
  graph: Graph,
  filename: Output,
  shards: readonly Shard[],
  reshape: boolean,
): Operation {
  const restored = shards.map(({ device, saveables }) =>
    graph.withDevice(device, () => restoreNodes(graph, filename, saveables, reshape, "restore_shard")),
  );
  return group(graph, restored, "restore_all");
}
