/**
 * @file Ops of saving and restoring, and of shard names. The files themselves are the session's, through `HostContext.files`.
 *
 * @see TensorFlow core/ops/io_ops.cc, core/kernels/save_restore_v2_ops.cc
 */

import { dtypeCppName, type Shape, type Tensor, tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp, type Graph, type Input, type Output, type Spec } from "../graph/index.ts";

const FILES = absent("it touches files");
const TEXT = absent("ONNX Runtime's kernels do not build strings");
const NO_GRADIENT = absent("TensorFlow registers none");

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

const decoder = new TextDecoder();
const textsOf = (t: Tensor): string[] => (t.data as readonly Uint8Array[]).map((b) => decoder.decode(b));

function requireRank(x: Spec, rank: number): Shape | null {
  if (x.shape !== null && x.shape.length !== rank) {
    throw invalid(`Shape must be rank ${rank} but is rank ${x.shape.length}`);
  }
  return x.shape;
}

/** Prefix is a scalar; names and slices are vectors of `count`. */
function inferNames(prefix: Spec, names: Spec, slices: Spec, count: number): void {
  requireRank(prefix, 0);
  for (const x of [names, slices]) {
    const length = requireRank(x, 1)?.[0] ?? null;
    if (length !== null && length !== count) {
      throw invalid(`Dimension must be ${count} but is ${length}`);
    }
  }
}

/** Names and slices as text. @throws VarscopeError INVALID_ARGUMENT - another number of them than of tensors */
function entriesOf(names: Tensor, slices: Tensor, count: number): { name: string; slice: string }[] {
  const [n, s] = [textsOf(names), textsOf(slices)];
  if (n.length !== count || s.length !== count) {
    throw invalid(
      `tensor_names and shape_and_slices must each have ${count} elements, they have ${n.length} and ${s.length}`,
    );
  }
  return n.map((name, i) => ({ name, slice: s[i]! }));
}

const onlyText = (t: Tensor, what: string): string => {
  if (t.shape.length !== 0) throw invalid(`Expected a string scalar for ${what}, got shape [${t.shape}]`);
  return textsOf(t)[0]!;
};

/** Writes tensors to a V2 checkpoint. @see TensorFlow core/ops/io_ops.cc "SaveV2" */
export const SaveV2 = defineOp("SaveV2", {
  inputs: { prefix: "string", tensor_names: "string", shape_and_slices: "string", tensors: "[dtypes]" },
  outputs: {},
  attrs: { dtypes: attr.types({ min: 1 }) },
  stateful: true,
  infer: ({ prefix, tensor_names, shape_and_slices }, { dtypes }) => {
    inferNames(prefix, tensor_names, shape_and_slices, dtypes.length);
    return [];
  },
  grad: NO_GRADIENT,
  lower: FILES,
  host: async ({ prefix, tensor_names, shape_and_slices, tensors }, _, { files }) => {
    const entries = entriesOf(tensor_names, shape_and_slices, tensors.length);
    await files.save(
      onlyText(prefix, "prefix"),
      entries.map((e, i) => ({ ...e, tensor: tensors[i]! })),
    );
    return [];
  },
});

/** Reads tensors of a checkpoint. @see TensorFlow core/ops/io_ops.cc "RestoreV2" */
export const RestoreV2 = defineOp("RestoreV2", {
  inputs: { prefix: "string", tensor_names: "string", shape_and_slices: "string" },
  outputs: { tensors: "[dtypes]" },
  attrs: { dtypes: attr.types({ min: 1 }) },
  stateful: true,
  infer: ({ prefix, tensor_names, shape_and_slices }, { dtypes }) => {
    inferNames(prefix, tensor_names, shape_and_slices, dtypes.length);
    return dtypes.map((_, i) => ({ shape: sliceShape(shape_and_slices, i) }));
  },
  grad: NO_GRADIENT,
  lower: FILES,
  host: async ({ prefix, tensor_names, shape_and_slices }, { dtypes }, { files }) => {
    const entries = entriesOf(tensor_names, shape_and_slices, dtypes.length);
    const wanted = entries.map((e, i) => ({ ...e, dtype: dtypes[i]! }));
    const tensors = await files.restore(onlyText(prefix, "prefix"), wanted);
    tensors.forEach((t, i) => {
      const { name, dtype } = wanted[i]!;
      if (t.dtype === dtype) return;
      throw invalid(
        `tensor_name = ${name}; expected dtype ${dtypeCppName(dtype)} does not equal original dtype ${dtypeCppName(t.dtype)}`,
      );
    });
    return tensors;
  },
});

/**
 * Shape of a slice that is spelled out: `4 5 0,2:-` of a 4 x 5 tensor is 2 x 5. Unknown where the whole tensor is meant.
 *
 * @see TensorFlow core/util/saved_tensor_slice_util.cc ParseShapeAndSlice
 */
export function sliceShape(slices: Spec, index: number): Shape | null {
  const bytes = slices.value?.data[index] as Uint8Array | undefined;
  const text = bytes === undefined ? "" : decoder.decode(bytes);
  if (text === "") return null;
  const parts = text.split(" ");
  const extents = parts.pop()!.split(":");
  return parts.map((dim, i) => (extents[i] === "-" ? Number(dim) : Number(extents[i]!.split(",")[1])));
}

/** Joins shards of a V2 checkpoint into one. @see TensorFlow core/ops/io_ops.cc "MergeV2Checkpoints" */
export const MergeV2Checkpoints = defineOp("MergeV2Checkpoints", {
  inputs: { checkpoint_prefixes: "string", destination_prefix: "string" },
  outputs: {},
  attrs: {
    delete_old_dirs: attr.bool({ default: true }),
    allow_missing_files: attr.bool({ default: false }),
  },
  stateful: true,
  infer: ({ checkpoint_prefixes, destination_prefix }) => {
    requireRank(checkpoint_prefixes, 1);
    requireRank(destination_prefix, 0);
    return [];
  },
  grad: NO_GRADIENT,
  lower: FILES,
  host: async (
    { checkpoint_prefixes, destination_prefix },
    { delete_old_dirs, allow_missing_files },
    { files },
  ) => {
    if (allow_missing_files) {
      throw new VarscopeError("UNIMPLEMENTED", "allow_missing_files is true, every shard must be there", {
        hint: "save the missing shards, or merge without them",
      });
    }
    const destination = onlyText(destination_prefix, "destination_prefix");
    await files.merge(textsOf(checkpoint_prefixes), destination, delete_old_dirs);
    return [];
  },
});

/**
 * Tells a resource variable not to copy its value for whoever reads it while it is written: savers of partitioned variables put it beside their
 * reads. Here a read is always of the value at its place in the run, so there is nothing to do.
 *
 * @see TensorFlow core/ops/resource_variable_ops.cc "DisableCopyOnRead"
 */
export const DisableCopyOnRead = defineOp("DisableCopyOnRead", {
  inputs: { resource: "resource" },
  outputs: {},
  stateful: true,
  infer: () => [],
  grad: NO_GRADIENT,
  access: { resource: "probe" },
  lower: absent("it computes nothing"),
  host: () => [],
});

const five = (n: Tensor): string => String(Number(n.data[0])).padStart(5, "0");

/** `name-00001-of-00003`. @see TensorFlow core/ops/io_ops.cc "ShardedFilename" */
export const ShardedFilename = defineOp("ShardedFilename", {
  inputs: { basename: "string", shard: "int32", num_shards: "int32" },
  outputs: { filename: "string" },
  infer: (inputs) => {
    for (const x of Object.values(inputs)) requireRank(x, 0);
    return [{ shape: [] }];
  },
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ basename, shard, num_shards }) => [
    tensor(`${textsOf(basename)[0]!}-${five(shard)}-of-${five(num_shards)}`, "string", []),
  ],
});

/** `name-?????-of-00003`. @see TensorFlow core/ops/io_ops.cc "ShardedFilespec" */
export const ShardedFilespec = defineOp("ShardedFilespec", {
  inputs: { basename: "string", num_shards: "int32" },
  outputs: { filename: "string" },
  infer: (inputs) => {
    for (const x of Object.values(inputs)) requireRank(x, 0);
    return [{ shape: [] }];
  },
  grad: NO_GRADIENT,
  lower: TEXT,
  host: ({ basename, num_shards }) => [
    tensor(`${textsOf(basename)[0]!}-?????-of-${five(num_shards)}`, "string", []),
  ],
});

/** `basename` with the shard's number. Named "ShardedFilename". */
export const shardedFilename = (
  g: Graph,
  basename: Input,
  options: { readonly shard: Input; readonly shards: Input; readonly name?: string },
): Output =>
  g.add(ShardedFilename, [basename, options.shard, options.shards], {
    name: options.name ?? "ShardedFilename",
  });
