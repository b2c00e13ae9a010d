/**
 * @file Arrays of tensors behind a handle, as TensorFlow 1's loops fill and read them. The handle stands for an object of one run; the flow, a
 * number that each op takes and gives, says what comes after what. The builder `tensorArray` is in tensor-array-api.ts.
 *
 * @see TensorFlow core/ops/data_flow_ops.cc; core/kernels/tensor_array_ops.cc; python/ops/tensor_array_grad.py
 */

import {
  type DType,
  dtypeCppName,
  formatShape,
  handleOf,
  handleTensor,
  isCompatible,
  isStatic,
  reshaped,
  type Shape,
  sameShape,
  scalar,
  type Tensor,
  tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import { absent, attr, defineOp, type HandleSpec, type Spec, stopsGradients } from "../graph/index.ts";
import { concatTensors, splitTensor } from "./kernels/join.ts";
import { TensorArray } from "./kernels/tensor-array.ts";
import { checkParts } from "./kernels/tensor-list.ts";
import { blank } from "./kernels/variant.ts";
import { agreed } from "./list-facts.ts";
import * as grads from "./tensor-array-grad.ts";

const onHost = { lower: absent("what it works on is an object of the run, not a tensor") };
const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const anyShape = attr.shape({ default: { dims: null } });

const FLOW = scalar(0, "float32");
const arrayOf = (handle: Tensor): TensorArray => handleOf<TensorArray>(handle);

/** The array, if it holds this dtype. */
function arrayOfType(handle: Tensor, dtype: DType, what: string): TensorArray {
  const found = arrayOf(handle);
  if (found.dtype === dtype) return found;
  throw invalid(
    `TensorArray dtype is ${dtypeCppName(found.dtype)} but Op ${what} dtype ${dtypeCppName(dtype)}.`,
  );
}

const writable = (handle: Tensor, value: Tensor): TensorArray =>
  arrayOfType(handle, value.dtype, "is trying to write");
const readable = (handle: Tensor, dtype: DType): TensorArray => arrayOfType(handle, dtype, "requested");

function needRank(x: Spec, rank: number): void {
  if (x.shape !== null && x.shape.length !== rank)
    throw invalid(`Shape must be rank ${rank} but is rank ${x.shape.length}`);
}

const handleOutput = (known: HandleSpec | null) => ({ shape: [2], handle: known });
const elementOf = (x: Spec): Shape | null => x.handle?.shape ?? null;

/** A new array, every time it runs. */
export const TensorArrayV3 = defineOp("TensorArrayV3", {
  ...onHost,
  inputs: { size: "int32" },
  outputs: { handle: "resource", flow: "float32" },
  attrs: {
    dtype: attr.type(),
    element_shape: anyShape,
    dynamic_size: attr.bool({ default: false }),
    clear_after_read: attr.bool({ default: true }),
    identical_element_shapes: attr.bool({ default: false }),
    tensor_array_name: attr.string({ default: "" }),
  },
  stateful: true,
  infer: ({ size }, { dtype, element_shape: { dims }, identical_element_shapes }) => {
    needRank(size, 0);
    const known = dims !== null || identical_element_shapes;
    return [handleOutput(known ? { dtype, shape: dims } : null), { shape: [] }];
  },
  grad: stopsGradients,
  host: ({ size }, attrs, { op }) => {
    const count = toNumbers(size)[0]!;
    if (count < 0) throw invalid("Size should be >= 0.");
    const made = new TensorArray({
      name: `${attrs.tensor_array_name || op.name}_0`,
      dtype: attrs.dtype,
      size: count,
      shape: attrs.element_shape.dims,
      dynamic: attrs.dynamic_size,
      clearAfterRead: attrs.clear_after_read,
      identicalShapes: attrs.identical_element_shapes,
    });
    return [handleTensor("resource", made), FLOW];
  },
});

/** Element `index` := value. */
export const TensorArrayWriteV3 = defineOp("TensorArrayWriteV3", {
  ...onHost,
  inputs: { handle: "resource", index: "int32", value: "T", flow_in: "float32" },
  outputs: { flow_out: "float32" },
  attrs: { T: attr.type() },
  stateful: true,
  infer: ({ handle: array, index, value, flow_in }) => {
    needRank(index, 0);
    needRank(flow_in, 0);
    agreed(elementOf(array), value.shape);
    return [{ shape: [] }];
  },
  grad: grads.writeGrad,
  host: ({ handle, index, value, flow_in }) => {
    writable(handle, value).write(toNumbers(index)[0]!, value);
    return [flow_in];
  },
});

/** Element `index`. */
export const TensorArrayReadV3 = defineOp("TensorArrayReadV3", {
  ...onHost,
  inputs: { handle: "resource", index: "int32", flow_in: "float32" },
  outputs: { value: "dtype" },
  attrs: { dtype: attr.type() },
  stateful: true,
  infer: ({ handle: array, index, flow_in }) => {
    needRank(index, 0);
    needRank(flow_in, 0);
    return [{ shape: elementOf(array) }];
  },
  grad: grads.readGrad,
  host: ({ handle, index }, { dtype }) => [readable(handle, dtype).read(toNumbers(index)[0]!)],
});

const unknownSize = (what: string, shape: Shape | null, verb: string): VarscopeError =>
  new VarscopeError(
    "UNIMPLEMENTED",
    `TensorArray has size zero, but ${what} ${formatShape(shape)} is not fully defined. Currently only static shapes are supported when ${verb} zero-size TensorArrays.`,
  );

/** Elements at indices, along a new first axis. */
export const TensorArrayGatherV3 = defineOp("TensorArrayGatherV3", {
  ...onHost,
  inputs: { handle: "resource", indices: "int32", flow_in: "float32" },
  outputs: { value: "dtype" },
  attrs: { dtype: attr.type(), element_shape: anyShape },
  stateful: true,
  infer: ({ handle: array, indices, flow_in }, { element_shape }) => {
    needRank(indices, 1);
    needRank(flow_in, 0);
    const { shape: dims } = array.handle ?? { shape: element_shape.dims };
    return [{ shape: dims === null ? null : [indices.shape?.[0] ?? null, ...dims] }];
  },
  grad: grads.gatherGrad,
  host: ({ handle, indices }, { dtype, element_shape: { dims } }) => {
    const source = readable(handle, dtype);
    source.learnShape(dims);
    const at = toNumbers(indices);
    if (at.length === 0) {
      if (!isStatic(dims)) throw unknownSize("element shape", dims, "packing");
      return [blank(dtype, [0, ...dims])];
    }
    const values = at.map((i) => source.read(i));
    const first = values[0]!.shape;
    if (!isCompatible(dims, first))
      throw invalid(
        `TensorArray was passed element_shape ${formatShape(dims)} which does not match the Tensor at index 0: ${formatShape(first)}`,
      );
    for (const [i, v] of values.entries()) {
      if (!sameShape(first, v.shape))
        throw invalid(
          `TensorArray has inconsistent shapes.  Index 0 has shape: ${formatShape(first)} but index ${i} has shape: ${formatShape(v.shape)}`,
        );
    }
    return [
      concatTensors(
        values.map((v) => reshaped(v, [1, ...v.shape])),
        0,
      ),
    ];
  },
});

/** Rows of a tensor to elements at indices. */
export const TensorArrayScatterV3 = defineOp("TensorArrayScatterV3", {
  ...onHost,
  inputs: { handle: "resource", indices: "int32", value: "T", flow_in: "float32" },
  outputs: { flow_out: "float32" },
  attrs: { T: attr.type() },
  stateful: true,
  infer: ({ handle: array, indices, value, flow_in }) => {
    needRank(indices, 1);
    needRank(flow_in, 0);
    const [count, rows] = [indices.shape?.[0] ?? null, value.shape?.[0] ?? null];
    if (value.shape?.length === 0) throw invalid("Shape must be at least rank 1 but is rank 0");
    if (count !== null && rows !== null && count !== rows)
      throw invalid(`Dimensions must be equal, but are ${rows} and ${count}`);
    agreed(elementOf(array), value.shape?.slice(1) ?? null);
    return [{ shape: [] }];
  },
  grad: grads.scatterGrad,
  host: ({ handle, indices, value, flow_in }) => {
    const target = writable(handle, value);
    const at = toNumbers(indices);
    const last = Math.max(-1, ...at);
    if (!target.isDynamic && last >= target.size)
      throw invalid(`Max scatter index must be < array size (${last} vs. ${target.size})`);
    const rows = splitTensor(value, new Array<number>(value.shape[0]!).fill(1), 0);
    for (const [i, row] of rows.entries()) target.write(at[i]!, reshaped(row, value.shape.slice(1)));
    return [flow_in];
  },
});

/** All elements along their first axis, and the length of each. */
export const TensorArrayConcatV3 = defineOp("TensorArrayConcatV3", {
  ...onHost,
  inputs: { handle: "resource", flow_in: "float32" },
  outputs: { value: "dtype", lengths: "int64" },
  attrs: { dtype: attr.type(), element_shape_except0: anyShape },
  stateful: true,
  infer: ({ flow_in }) => {
    needRank(flow_in, 0);
    return [{ shape: null }, { shape: [null] }];
  },
  grad: grads.concatGrad,
  host: ({ handle }, { dtype, element_shape_except0: { dims } }) => {
    const source = readable(handle, dtype);
    source.checkOpen();
    checkParts(source.size);
    if (source.size === 0) {
      if (!isStatic(dims)) throw unknownSize("element_shape_except0", dims, "concatenating");
      return [blank(dtype, [0, ...dims]), tensor([], "int64", [0])];
    }
    const values = Array.from({ length: source.size }, (_, i) => source.read(i));
    for (const [i, v] of values.entries()) checkPart(i, v.shape, values[0]!.shape, dims);
    const lengths = values.map((v) => BigInt(v.shape[0]!));
    return [concatTensors(values, 0), tensor(lengths, "int64", [lengths.length])];
  },
});

function checkPart(index: number, shape: Shape, first: Shape, known: Shape | null): void {
  if (shape.length === 0)
    throw invalid(
      `Concat saw a scalar shape at index ${index} but requires at least vectors.  Did you mean to call pack?`,
    );
  const rest = formatShape(shape.slice(1));
  if (!isCompatible(known, shape.slice(1)))
    throw invalid(
      `TensorArray was passed element_shape_except0 ${formatShape(known)} but index ${index} has (excepting dimension 0) shape: ${rest} which does not match.`,
    );
  if (rest !== formatShape(first.slice(1)))
    throw invalid(
      `TensorArray has inconsistent shapes.  Index 0 has (excepting dimension 0) shape: ${formatShape(first.slice(1))} but index ${index} has (excepting dimension 0) shape: ${rest}`,
    );
}

/** Parts of a tensor along its first axis to elements 0, 1, ... */
export const TensorArraySplitV3 = defineOp("TensorArraySplitV3", {
  ...onHost,
  inputs: { handle: "resource", value: "T", lengths: "int64", flow_in: "float32" },
  outputs: { flow_out: "float32" },
  attrs: { T: attr.type() },
  stateful: true,
  infer: ({ lengths, flow_in }) => {
    needRank(lengths, 1);
    needRank(flow_in, 0);
    return [{ shape: [] }];
  },
  grad: grads.splitGrad,
  host: ({ handle, value, lengths, flow_in }) => {
    const target = writable(handle, value);
    const sizes = toNumbers(lengths);
    if (value.shape.length === 0)
      throw invalid(
        `Expected value to be at least a vector, but received shape: ${formatShape(value.shape)}`,
      );
    const sum = sizes.reduce((a, b) => a + b, 0);
    if (sum !== value.shape[0] || sizes.some((n) => n < 0))
      throw invalid(
        `Expected sum of lengths to be equal to values.shape[0], but sum of lengths is ${sum} and value's shape is: ${formatShape(value.shape)}`,
      );
    if (target.isDynamic ? target.size > sizes.length : target.size !== sizes.length)
      throw invalid(
        `TensorArray's size is not equal to the size of lengths (${target.size} vs. ${sizes.length}), and the TensorArray is not marked as dynamically resizeable`,
      );
    for (const [i, part] of splitTensor(value, sizes, 0).entries()) target.write(i, part);
    return [flow_in];
  },
});

/** Number of elements. */
export const TensorArraySizeV3 = defineOp("TensorArraySizeV3", {
  ...onHost,
  inputs: { handle: "resource", flow_in: "float32" },
  outputs: { size: "int32" },
  stateful: true,
  infer: ({ flow_in }) => {
    needRank(flow_in, 0);
    return [{ shape: [] }];
  },
  grad: stopsGradients,
  host: ({ handle }) => {
    const found = arrayOf(handle);
    found.checkOpen();
    return [scalar(found.size, "int32")];
  },
});

/** Lets all elements go. */
export const TensorArrayCloseV3 = defineOp("TensorArrayCloseV3", {
  ...onHost,
  inputs: { handle: "resource" },
  outputs: {},
  stateful: true,
  infer: () => [],
  grad: stopsGradients,
  host: ({ handle }) => {
    arrayOf(handle).close();
    return [];
  },
});

/** The array where one call of `gradients` gathers the gradients of an array's elements. */
export const TensorArrayGradV3 = defineOp("TensorArrayGradV3", {
  ...onHost,
  inputs: { handle: "resource", flow_in: "float32" },
  outputs: { grad_handle: "resource", flow_out: "float32" },
  attrs: { source: attr.string() },
  stateful: true,
  infer: ({ handle: array }) => [handleOutput(array.handle), { shape: [] }],
  grad: stopsGradients,
  host: ({ handle, flow_in }, { source }) => [
    handleTensor("resource", arrayOf(handle).gradient(source)),
    flow_in,
  ],
});

/** The same with more axes before those of an element. */
export const TensorArrayGradWithShape = defineOp("TensorArrayGradWithShape", {
  ...onHost,
  inputs: { handle: "resource", flow_in: "float32", shape_to_prepend: "int32" },
  outputs: { grad_handle: "resource", flow_out: "float32" },
  attrs: { source: attr.string() },
  stateful: true,
  infer: ({ handle: array, shape_to_prepend }) => {
    const [known, more] = [array.handle, shape_to_prepend.shape?.[0] ?? null];
    if (known === null) return [handleOutput(null), { shape: [] }];
    const shape =
      known.shape === null || more === null ? null : [...new Array<null>(more).fill(null), ...known.shape];
    return [handleOutput({ ...known, shape }), { shape: [] }];
  },
  grad: stopsGradients,
  host: ({ handle, flow_in, shape_to_prepend }, { source }) => [
    handleTensor("resource", arrayOf(handle).gradient(source, toNumbers(shape_to_prepend))),
    flow_in,
  ],
});
