/**
 * @file Ops that save and restore as graphs of before TensorFlow 0.12 do: files of format V1. The restoring ones read V2 too. The files are the
 * session's, through `HostContext.files`.
 *
 * @see TensorFlow core/ops/io_ops.cc, core/kernels/save_op.cc, restore_op.cc
 */

import { type Tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, type CheckpointFiles, defineOp, type Spec } from "../graph/index.ts";
import { sliceShape } from "./checkpoint.ts";

const FILES = absent("it touches files");
const NO_GRADIENT = absent("TensorFlow registers none");

const decoder = new TextDecoder();
const textsOf = (t: Tensor): string[] => (t.data as readonly Uint8Array[]).map((b) => decoder.decode(b));
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

function inferSave(filename: Spec, lists: readonly Spec[], count: number): [] {
  const ranks: [Spec, number][] = [[filename, 0], ...lists.map((x): [Spec, number] => [x, 1])];
  for (const [{ shape }, rank] of ranks)
    if (shape !== null && shape.length !== rank)
      throw invalid(`Shape must be rank ${rank} but is rank ${shape.length}`);
  for (const { shape } of lists) {
    const length = shape?.[0] ?? null;
    if (length !== null && length !== count) throw invalid(`Dimension must be ${count} but is ${length}`);
  }
  return [];
}

async function saveAll(
  files: CheckpointFiles,
  filename: Tensor,
  names: Tensor,
  slices: readonly string[],
  data: readonly Tensor[],
): Promise<[]> {
  const keys = textsOf(names);
  if (keys.length !== data.length || slices.length !== data.length)
    throw invalid(`${keys.length} names and ${slices.length} slices for ${data.length} tensors`);
  const tensors = data.map((tensor, i) => ({ name: keys[i]!, slice: slices[i]!, tensor }));
  await files.saveV1(textsOf(filename)[0]!, tensors);
  return [];
}

/** Writes tensors to a V1 file. @see TensorFlow core/ops/io_ops.cc "Save" */
export const Save = defineOp("Save", {
  inputs: { filename: "string", tensor_names: "string", data: "[T]" },
  outputs: {},
  attrs: { T: attr.types({ min: 1 }) },
  stateful: true,
  infer: ({ filename, tensor_names }, { T }) => inferSave(filename, [tensor_names], T.length),
  grad: NO_GRADIENT,
  lower: FILES,
  host: ({ filename, tensor_names, data }, _, { files }) =>
    saveAll(
      files,
      filename,
      tensor_names,
      data.map(() => ""),
      data,
    ),
});

/** Writes tensors, or parts of some, to a V1 file. @see TensorFlow core/ops/io_ops.cc "SaveSlices" */
export const SaveSlices = defineOp("SaveSlices", {
  inputs: { filename: "string", tensor_names: "string", shapes_and_slices: "string", data: "[T]" },
  outputs: {},
  attrs: { T: attr.types({ min: 1 }) },
  stateful: true,
  infer: ({ filename, tensor_names, shapes_and_slices }, { T }) =>
    inferSave(filename, [tensor_names, shapes_and_slices], T.length),
  grad: NO_GRADIENT,
  lower: FILES,
  host: ({ filename, tensor_names, shapes_and_slices, data }, _, { files }) =>
    saveAll(files, filename, tensor_names, textsOf(shapes_and_slices), data),
});

const restoreAttrs = { dt: attr.type(), preferred_shard: attr.int({ default: -1 }) };

function inferScalars(...inputs: readonly Spec[]): void {
  for (const { shape } of inputs)
    if (shape !== null && shape.length !== 0)
      throw invalid(`Shape must be rank 0 but is rank ${shape.length}`);
}

/** Reads one tensor of the files that a pattern fits. @see TensorFlow core/ops/io_ops.cc "Restore" */
export const Restore = defineOp("Restore", {
  inputs: { file_pattern: "string", tensor_name: "string" },
  outputs: { tensor: "dt" },
  attrs: restoreAttrs,
  stateful: true,
  infer: ({ file_pattern, tensor_name }) => {
    inferScalars(file_pattern, tensor_name);
    return [{ shape: null }];
  },
  grad: NO_GRADIENT,
  lower: FILES,
  host: ({ file_pattern, tensor_name }, { dt }, { files }) =>
    files.restore(textsOf(file_pattern)[0]!, [{ name: textsOf(tensor_name)[0]!, slice: "", dtype: dt }]),
});

/** Reads a part of one tensor. @see TensorFlow core/ops/io_ops.cc "RestoreSlice" */
export const RestoreSlice = defineOp("RestoreSlice", {
  inputs: { file_pattern: "string", tensor_name: "string", shape_and_slice: "string" },
  outputs: { tensor: "dt" },
  attrs: restoreAttrs,
  stateful: true,
  infer: ({ file_pattern, tensor_name, shape_and_slice }) => {
    inferScalars(file_pattern, tensor_name, shape_and_slice);
    return [{ shape: sliceShape(shape_and_slice, 0) }];
  },
  grad: NO_GRADIENT,
  lower: FILES,
  host: ({ file_pattern, tensor_name, shape_and_slice }, { dt }, { files }) =>
    files.restore(textsOf(file_pattern)[0]!, [
      { name: textsOf(tensor_name)[0]!, slice: textsOf(shape_and_slice)[0]!, dtype: dt },
    ]),
});
