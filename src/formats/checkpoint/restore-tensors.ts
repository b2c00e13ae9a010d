/**
 * @file What the ops of savers read and write: tensors by key and slice, of a V2 checkpoint or, where there is none, of V1 files.
 *
 * @see TensorFlow core/kernels/save_restore_v2_ops.cc "RestoreV2"; core/kernels/save_op.cc "SaveSlices"
 */

import { diskFiles } from "#platform";
import {
  copyRegion,
  formatShape,
  isComplex,
  isVarscopeError,
  sizeOf,
  type Tensor,
  VarscopeError,
  wholeBox,
  zeros,
} from "../../base/index.ts";
import { hasMatch } from "../checkpoint-v1/files.ts";
import { openV1Collection } from "../checkpoint-v1/open.ts";
import { writeV1Collection } from "../checkpoint-v1/save.ts";
import { variableOf, type WritableVariable } from "../collection/index.ts";
import { openCheckpoint } from "./open.ts";
import type { NamedTensor } from "./save.ts";
import { boxOfSlice, parseSliceSpec } from "./slice.ts";

/** A tensor to read: its key and, of a part, `'10 4 0,4:0,4'`. */
export interface WantedTensor {
  readonly name: string;
  readonly slice: string;
}

/**
 * Tensors of the checkpoint `prefix`: of format V2, or of V1 by file or pattern.
 *
 * @throws VarscopeError NOT_FOUND - no checkpoint, or no such key; INVALID_ARGUMENT - a slice of another shape; DATA_LOSS - damaged
 */
export async function restoreTensors(prefix: string, wanted: readonly WantedTensor[]): Promise<Tensor[]> {
  let checkpoint: Awaited<ReturnType<typeof openCheckpoint>>;
  try {
    checkpoint = await openCheckpoint(prefix);
  } catch (e) {
    const isV1 =
      isVarscopeError(e, "UNIMPLEMENTED") ||
      (isVarscopeError(e, "NOT_FOUND") && (await hasMatch(prefix, diskFiles)));
    if (isV1) return restoreV1(prefix, wanted);
    throw e;
  }
  try {
    return await Promise.all(
      wanted.map((w) => (w.slice === "" ? checkpoint.read(w.name) : checkpoint.readSlice(w.name, w.slice))),
    );
  } finally {
    await checkpoint.close();
  }
}

async function restoreV1(prefix: string, wanted: readonly WantedTensor[]): Promise<Tensor[]> {
  const collection = await openV1Collection(prefix);
  const shapes = new Map(collection.variables.map((v) => [v.name, v.shape as readonly number[]]));
  try {
    return await Promise.all(
      wanted.map(async ({ name, slice }) => {
        const shape = shapes.get(name);
        if (shape === undefined)
          throw new VarscopeError(
            "NOT_FOUND",
            `Tensor name "${name}" not found in checkpoint files ${prefix}`,
            { at: prefix },
          );
        if (slice === "") return collection.read(name);
        const spec = parseSliceSpec(slice);
        if (formatShape(spec.fullShape) === formatShape(shape))
          return collection.readBox(name, boxOfSlice(shape, spec.slice));
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `shape in shape_and_slice spec ${formatShape(spec.fullShape)} does not match the shape stored in checkpoint: ${formatShape(shape)}`,
          { at: name },
        );
      }),
    );
  } finally {
    await collection.close();
  }
}

/**
 * Writes one V1 file of tensors and of parts, as SaveSlices does.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a name twice; UNIMPLEMENTED - a dtype that V1 has no place for
 */
export async function saveV1Tensors(file: string, tensors: Iterable<NamedTensor>): Promise<void> {
  const byName = new Map<string, NamedTensor[]>();
  for (const t of tensors) byName.set(t.name, [...(byName.get(t.name) ?? []), t]);
  const variables = [...byName].map(([name, parts]) => v1Variable(name, parts));
  const { left } = await writeV1Collection(file, { variables });
  if (left.length > 0)
    throw new VarscopeError("UNIMPLEMENTED", left[0]!.why, { at: `${file}: ${left[0]!.what}` });
}

/** Memory that gaps between the parts of a variable may take, as a multiple of the parts; and what is always granted. */
const MOST_GAPS = 16;
const FEW = 1 << 20;

function v1Variable(name: string, given: readonly NamedTensor[]): WritableVariable {
  const [first] = given as [NamedTensor];
  const { dtype } = first.tensor;
  if ((first.slice ?? "") === "") {
    if (given.length === 1) return variableOf(name, first.tensor);
    throw new VarscopeError("INVALID_ARGUMENT", `Adding duplicate key: ${name}`);
  }
  const shape = parseSliceSpec(first.slice!).fullShape;
  const parts = given.map(({ slice = "" }) => boxOfSlice(shape, parseSliceSpec(slice).slice));
  if (given.length === 1) return { ...variableOf(name, first.tensor), shape, parts };
  // Parts of one file need not make up the whole; what lies between is not written.
  const held = given.reduce((n, { tensor }) => n + tensor.data.length, 0);
  if (sizeOf(shape) > MOST_GAPS * held + FEW) {
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `${held} of the ${sizeOf(shape)} values of a variable in one V1 file`,
      {
        at: name,
        hint: "save V2, or each part in a file of its own",
      },
    );
  }
  const whole = zeros(dtype, shape);
  given.forEach(({ tensor }, i) => {
    const box = parts[i]!;
    copyRegion(tensor.data, box, whole.data, wholeBox(shape), box, isComplex(dtype) ? 2 : 1);
  });
  return { ...variableOf(name, whole), parts };
}
