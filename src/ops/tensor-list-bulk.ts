/**
 * @file Whole tensors to and from lists: stack, concat, gather, and their inverses. Element by element is in tensor-list.ts.
 *
 * @see TensorFlow core/ops/list_ops.cc; core/kernels/list_kernels.h; python/ops/list_ops.py
 */

import {
  type DType,
  dtypeCppName,
  formatShape,
  type Shape,
  type Tensor,
  tensor,
  toNumbers,
} from "../base/index.ts";
import { attr, defineOp, type Graph, type Operation, type Output, type Spec } from "../graph/index.ts";
import {
  checkDType,
  concatenated,
  invalid,
  listFromParts,
  listFromRows,
  listOf,
  makeList,
  resized,
  scattered,
  shapeArgument,
  stacked,
} from "./kernels/tensor-list.ts";
import { variantTensor } from "./kernels/variant.ts";
import {
  agreed,
  element,
  elementAndShape,
  elementOf,
  elementShape,
  listOutput,
  listType,
  onHost,
  readElement,
  rowShape,
  shapeOf,
} from "./list-facts.ts";
import * as pieces from "./pieces.ts";

/** Unknown rows before a shape. */
const rowsOf = (count: number | null, shape: Shape | null): Shape | null =>
  shape === null ? null : [count, ...shape];

/** Elements along a new first axis. */
export const TensorListStack = defineOp("TensorListStack", {
  ...onHost,
  inputs: { input_handle: "variant", element_shape: "int32" },
  outputs: { tensor: "element_dtype" },
  attrs: { element_dtype: attr.type(), num_elements: attr.int({ default: -1 }) },
  infer: ({ input_handle, element_shape }, { element_dtype, num_elements }) => {
    const shape = readElement(input_handle, element_dtype);
    const count = num_elements < 0 ? null : num_elements;
    return [{ shape: rowsOf(count, agreed(shape, shapeOf(element_shape))) }];
  },
  grad: (g, _op, [dtensor]) => {
    const row = dtensor!.shape?.slice(1) ?? null;
    const shape =
      row === null
        ? -1
        : row.length === 0
          ? g.constant([], { dtype: "int32", shape: [0] })
          : row.map((d) => d ?? -1);
    return [g.add("TensorListFromTensor", [dtensor!, shape], { attrs: { shape_type: "int32" } }), null];
  },
  host: ({ input_handle, element_shape }, { element_dtype, num_elements }) => {
    const list = listOf(input_handle);
    checkDType(list, element_dtype);
    if (num_elements !== -1 && list.items.length !== num_elements)
      throw invalid(
        `Operation expected a list with ${num_elements} elements but got a list with ${list.items.length} elements.`,
      );
    return [stacked(list, shapeArgument(element_shape))];
  },
});

/** A list of the rows of a tensor. */
export const TensorListFromTensor = defineOp("TensorListFromTensor", {
  ...onHost,
  inputs: { tensor: "element_dtype", element_shape: "shape_type" },
  outputs: { output_handle: "variant" },
  attrs: elementAndShape,
  fullType: listType,
  infer: ({ tensor: x, element_shape }, { element_dtype }) => {
    const shape = shapeOf(element_shape);
    agreed(rowOf(x), shape);
    return [listOutput(element_dtype, shape)];
  },
  grad: (g, op, [dlist], { element_dtype }) => {
    const x = op.inputs[0]!;
    const num_elements = x.shape?.[0] ?? -1;
    const attrs = { element_dtype, num_elements };
    return [g.add("TensorListStack", [dlist!, rowShape(g, x)], { attrs }), null];
  },
  host: ({ tensor: x, element_shape }) => {
    if (element_shape.shape.length > 1)
      throw invalid(
        `TensorListFromTensor: element_shape must be at most rank 1 but has the shape of ${formatShape(element_shape.shape)}`,
      );
    return [variantTensor(listFromRows(x, shapeArgument(element_shape)))];
  },
});

/** Shape of a row; of a scalar, which fails in the run, none. */
const rowOf = ({ shape }: Spec): Shape | null => (shape?.length === 0 ? null : (shape?.slice(1) ?? null));

/** The elements of some indices along a new first axis. */
export const TensorListGather = defineOp("TensorListGather", {
  ...onHost,
  inputs: { input_handle: "variant", indices: "int32", element_shape: "int32" },
  outputs: { values: "element_dtype" },
  attrs: element,
  infer: ({ input_handle, indices, element_shape }, { element_dtype }) => {
    const row = agreed(readElement(input_handle, element_dtype), shapeOf(element_shape));
    return [{ shape: row === null || indices.shape === null ? null : [...indices.shape, ...row] }];
  },
  grad: (g, op, [dtensor]) => {
    const [list, indices] = op.inputs;
    const shape = elementShape(g, list!);
    const size = g.add("TensorListLength", [list!]);
    const attrs = { element_dtype: dtensor!.dtype };
    const zeros = g.add("TensorListReserve", [shape, size], { attrs });
    return [g.add("TensorListScatterIntoExistingList", [zeros, dtensor!, indices!]), null, null];
  },
  host: ({ input_handle, indices, element_shape }, { element_dtype }) => {
    const list = listOf(input_handle);
    checkDType(list, element_dtype);
    return [stacked(list, shapeArgument(element_shape), toNumbers(indices))];
  },
});

/** Rows to a list at indices; the list is as long as they need, or as `count` says. */
function scatterNew(x: Tensor, indices: Tensor, shape: Shape | null, count: number) {
  const at = toNumbers(indices);
  if (count < -1) throw invalid(`TensorListScatter expects num_elements >= -1, found: ${count}`);
  if (at.some((i) => i < 0)) throw invalid("Indices in TensorListScatter must all be non-negative.");
  if (x.shape.length > 0 && x.shape[0] !== at.length)
    throw invalid(`Invalid number of rows in input tensor. Expected: ${at.length} Actual: ${x.shape[0]}`);
  const high = at.find((i) => count !== -1 && i >= count);
  if (high !== undefined)
    throw invalid(`TensorListScatter: Trying to scatter at index ${high} in list with size ${count}`);
  listFromRows(x, shape);
  const list = makeList(x.dtype, shape, count === -1 ? 0 : count);
  return [variantTensor(scattered(list, x, at))];
}

const gatherBack = (g: Graph, dlist: Output, x: Output, indices: Output): Output =>
  g.add("TensorListGather", [dlist, indices, rowShape(g, x)], { attrs: { element_dtype: x.dtype } });

/** A list with the rows of a tensor at indices. */
export const TensorListScatter = defineOp("TensorListScatter", {
  ...onHost,
  inputs: { tensor: "element_dtype", indices: "int32", element_shape: "shape_type" },
  outputs: { output_handle: "variant" },
  attrs: elementAndShape,
  fullType: listType,
  infer: ({ element_shape }, { element_dtype }) => [listOutput(element_dtype, shapeOf(element_shape))],
  grad: (g, op, [dlist]) => [gatherBack(g, dlist!, op.inputs[0]!, op.inputs[1]!), null, null],
  host: ({ tensor: x, indices, element_shape }) => scatterNew(x, indices, shapeArgument(element_shape), -1),
});

/** The same with a length; -1: as long as the indices need. */
export const TensorListScatterV2 = defineOp("TensorListScatterV2", {
  ...onHost,
  inputs: { tensor: "element_dtype", indices: "int32", element_shape: "shape_type", num_elements: "int32" },
  outputs: { output_handle: "variant" },
  attrs: elementAndShape,
  fullType: listType,
  infer: ({ element_shape }, { element_dtype }) => [listOutput(element_dtype, shapeOf(element_shape))],
  grad: (g, op, [dlist]) => [gatherBack(g, dlist!, op.inputs[0]!, op.inputs[1]!), null, null, null],
  host: ({ tensor: x, indices, element_shape, num_elements }) =>
    scatterNew(x, indices, shapeArgument(element_shape), toNumbers(num_elements)[0]!),
});

/** The list with the rows of a tensor at indices, longer where they need it. */
export const TensorListScatterIntoExistingList = defineOp("TensorListScatterIntoExistingList", {
  ...onHost,
  inputs: { input_handle: "variant", tensor: "element_dtype", indices: "int32" },
  outputs: { output_handle: "variant" },
  attrs: element,
  fullType: listType,
  infer: ({ input_handle, tensor: x }, { element_dtype }) => {
    agreed(elementOf(input_handle), rowOf(x));
    return [listOutput(element_dtype, elementOf(input_handle))];
  },
  grad: (g, op, [dlist]) => {
    const [, x, indices] = op.inputs as [Output, Output, Output];
    const dtensor = gatherBack(g, dlist!, x, indices);
    const zeros = pieces.zerosLike(x);
    return [g.add("TensorListScatterIntoExistingList", [dlist!, zeros, indices]), dtensor, null];
  },
  host: ({ input_handle, tensor: x, indices }) => {
    const list = listOf(input_handle);
    if (list.dtype !== x.dtype)
      throw invalid(
        `Invalid data types; input tensor type: ${dtypeCppName(x.dtype)} list element_type: ${dtypeCppName(list.dtype)}`,
      );
    const at = toNumbers(indices);
    if (at.some((i) => i < 0)) throw invalid("Indices in TensorListScatter must all be non-negative.");
    return [variantTensor(scattered(resized(list, list.items.length), x, at))];
  },
});

const lengthsTensor = (lengths: readonly number[]): Tensor =>
  tensor(lengths.map(BigInt), "int64", [lengths.length]);

function concatSpec(list: Spec, given: Shape | null, dtype: DType) {
  const shape = agreed(readElement(list, dtype), given);
  const known = shape !== null && shape.length > 0;
  return [{ shape: known ? [null, ...shape.slice(1)] : null }, { shape: [null] }];
}

function splitBack(g: Graph, op: Operation, dtensor: Output): Output {
  const inputs = [dtensor, elementShape(g, op.inputs[0]!), op.outputs[1]!];
  return g.add("TensorListSplit", inputs);
}

/** Elements along their first axis, and the length of each. */
export const TensorListConcatV2 = defineOp("TensorListConcatV2", {
  ...onHost,
  inputs: { input_handle: "variant", element_shape: "shape_type", leading_dims: "int64" },
  outputs: { tensor: "element_dtype", lengths: "int64" },
  attrs: elementAndShape,
  infer: ({ input_handle, element_shape }, { element_dtype }) =>
    concatSpec(input_handle, shapeOf(element_shape), element_dtype),
  grad: (g, op, [dtensor]) => [splitBack(g, op, dtensor!), null, null],
  host: ({ input_handle, element_shape, leading_dims }, { element_dtype }) => {
    const list = listOf(input_handle);
    checkDType(list, element_dtype);
    const [joined, lengths] = concatenated(list, shapeArgument(element_shape), toNumbers(leading_dims));
    return [joined, lengthsTensor(lengths)];
  },
});

/** The same of graphs before TensorFlow 1.14: the shape is an attribute. */
export const TensorListConcat = defineOp("TensorListConcat", {
  ...onHost,
  inputs: { input_handle: "variant" },
  outputs: { tensor: "element_dtype", lengths: "int64" },
  attrs: { element_dtype: attr.type(), element_shape: attr.shape({ default: { dims: null } }) },
  infer: ({ input_handle }, { element_dtype, element_shape }) =>
    concatSpec(input_handle, element_shape.dims, element_dtype),
  grad: (g, op, [dtensor]) => [splitBack(g, op, dtensor!)],
  host: ({ input_handle }, { element_dtype, element_shape }) => {
    const list = listOf(input_handle);
    checkDType(list, element_dtype);
    const [joined, lengths] = concatenated(list, element_shape.dims, []);
    return [joined, lengthsTensor(lengths)];
  },
});

/** A list of parts of a tensor along its first axis. */
export const TensorListSplit = defineOp("TensorListSplit", {
  ...onHost,
  inputs: { tensor: "element_dtype", element_shape: "shape_type", lengths: "int64" },
  outputs: { output_handle: "variant" },
  attrs: elementAndShape,
  fullType: listType,
  infer: ({ tensor: x, element_shape }, { element_dtype }) => {
    const row = rowOf(x);
    const shape = shapeOf(element_shape);
    agreed(row === null ? null : [null, ...row], shape);
    return [listOutput(element_dtype, shape)];
  },
  grad: (g, op, [dlist], { element_dtype }) => {
    const [x, , lengths] = op.inputs as [Output, Output, Output];
    const row = rowShape(g, x);
    const shape = g.add("ConcatV2", [[[-1], row], 0], { name: "concat" });
    const parts = g.addOp("TensorListConcatV2", [dlist!, shape, lengths], { attrs: { element_dtype } });
    return [parts.output(0), null, null];
  },
  host: ({ tensor: x, element_shape, lengths }) => {
    if (lengths.shape.length !== 1)
      throw invalid(`Expected lengths to be a vector, received shape: ${formatShape(lengths.shape)}`);
    return [variantTensor(listFromParts(x, shapeArgument(element_shape), toNumbers(lengths)))];
  },
});
