/** @file Ways to cut a variable into parts along one axis. @see TensorFlow python/ops/partitioned_variables.py */

import { DTYPES, type DType, formatPyShape, sizeOf, VarscopeError } from "../base/index.ts";
import type { Partitioner } from "./scope-state.ts";

export interface PartitionerOptions {
  readonly axis?: number; // 0
  /** how large a string counts, in bytes: 16 */
  readonly bytesPerStringElement?: number;
}

const elementBytes = (dtype: DType, bytesPerString: number): number =>
  dtype === "string" ? bytesPerString : DTYPES[dtype].bytes;

/** 1 in each dim but the axis. @throws VarscopeError INVALID_ARGUMENT - there is no such axis */
function alongAxis(shape: readonly number[], axis: number, count: (dim: number) => number): number[] {
  const at = axis < 0 ? axis + shape.length : axis;
  if (!(at in shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Cannot partition variable along axis ${axis} when shape is only ${formatPyShape(shape)}`,
    );
  }
  return shape.map((dim, d) => (d === at ? count(dim) : 1));
}

/** So many parts, or one for each row where there are fewer rows. */
export const fixedSizePartitioner =
  (shards: number, axis = 0): Partitioner =>
  (shape) =>
    alongAxis(shape, axis, (dim) => Math.min(shards, dim));

/**
 * As few parts as make each `maxShardBytes` bytes at most, where the axis has rows enough.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a size that is not positive
 */
export function variableAxisSizePartitioner(
  maxShardBytes: number,
  options: PartitionerOptions & { readonly maxShards?: number } = {},
): Partitioner {
  const { axis = 0, bytesPerStringElement = 16, maxShards = Infinity } = options;
  if (!(maxShardBytes >= 1 && bytesPerStringElement >= 1)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Both max_shard_bytes and bytes_per_string_element must be positive. Currently, max_shard_bytes is ${maxShardBytes} andbytes_per_string_element is ${bytesPerStringElement}`,
    );
  }
  if (!(maxShards >= 1)) throw new VarscopeError("INVALID_ARGUMENT", "max_shards must be positive.");
  return (shape, dtype) =>
    alongAxis(shape, axis, (dim) => {
      const rowBytes = (sizeOf(shape) / dim) * elementBytes(dtype, bytesPerStringElement);
      const rows = Math.max(1, Math.floor(maxShardBytes / rowBytes));
      return Math.min(maxShards, Math.ceil(dim / rows));
    });
}

/** As many parts as have `minSliceBytes` bytes each, `maxPartitions` at most. */
export function minMaxVariablePartitioner(
  options: PartitionerOptions & {
    readonly maxPartitions?: number; // 1
    readonly minSliceBytes?: number; // 262,144
  } = {},
): Partitioner {
  const { axis = 0, bytesPerStringElement = 16, maxPartitions = 1, minSliceBytes = 262_144 } = options;
  return (shape, dtype) =>
    alongAxis(shape, axis, (dim) => {
      const bytes = sizeOf(shape) * elementBytes(dtype, bytesPerStringElement);
      return Math.max(1, Math.min(dim, maxPartitions, Math.ceil(bytes / minSliceBytes)));
    });
}
