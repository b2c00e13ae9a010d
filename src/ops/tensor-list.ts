/**
 * @file Lists of tensors, element by element: making them, pushing, popping, reading, setting. A list is a variant and a value: nothing
 * changes one. Loops of TensorFlow 2 keep here what they gather and what their gradients need. Whole tensors to and from lists are in
 * tensor-list-bulk.ts.
 *
 * @see TensorFlow core/ops/list_ops.cc; core/kernels/list_kernels.cc; python/ops/list_ops.py
 */

import { dtypeCppName, formatShape, type Shape, type Tensor, tensor, toNumbers } from "../base/index.ts";
import { absent, attr, defineOp, stopsGradients } from "../graph/index.ts";
import { splitTensor } from "./kernels/join.ts";
import {
  checkDType,
  invalid,
  itemAt,
  listOf,
  makeList,
  popped,
  pushed,
  resized,
  shapeArgument,
  withItem,
} from "./kernels/tensor-list.ts";
import { type TensorList, variantsTensor, variantTensor } from "./kernels/variant.ts";
import { vectorEntries, vectorWith } from "./kernels/vector.ts";
import {
  agreed,
  element,
  elementAndShape,
  elementOf,
  elementShape,
  indexType,
  listOutput,
  listType,
  onHost,
  readElement,
  shapeOf,
  stackElement,
} from "./list-facts.ts";
import * as pieces from "./pieces.ts";

const int = (t: Tensor): number => toNumbers(t)[0]!;
const shapeTensor = (shape: Shape | null, dtype: "int32" | "int64"): Tensor =>
  shape === null
    ? tensor(-1, dtype, [])
    : tensor(
        shape.map((d) => d ?? -1),
        dtype,
        [shape.length],
      );

/** A list without elements. */
export const EmptyTensorList = defineOp("EmptyTensorList", {
  ...onHost,
  inputs: { element_shape: "shape_type", max_num_elements: "int32" },
  outputs: { handle: "variant" },
  attrs: elementAndShape,
  fullType: listType,
  infer: ({ element_shape }, { element_dtype }) => [listOutput(element_dtype, shapeOf(element_shape))],
  grad: absent("TensorFlow registers none"),
  host: ({ element_shape, max_num_elements }, { element_dtype }) => {
    if (max_num_elements.shape.length !== 0)
      throw invalid(
        `max_num_elements expected to be a scalar but got shape: ${formatShape(max_num_elements.shape)}`,
      );
    const shape = shapeArgument(element_shape);
    return [variantTensor(makeList(element_dtype, shape, 0, int(max_num_elements)))];
  },
});

/** A list of so many elements, none of which is set. */
export const TensorListReserve = defineOp("TensorListReserve", {
  ...onHost,
  inputs: { element_shape: "shape_type", num_elements: "int32" },
  outputs: { handle: "variant" },
  attrs: elementAndShape,
  fullType: listType,
  infer: ({ element_shape }, { element_dtype }) => [listOutput(element_dtype, shapeOf(element_shape))],
  grad: absent("TensorFlow registers none"),
  host: ({ element_shape, num_elements }, { element_dtype }) => {
    const count = int(num_elements);
    if (count < 0)
      throw invalid(`The num_elements to reserve must be a non negative number, but got ${count}`);
    return [variantTensor(makeList(element_dtype, shapeArgument(element_shape), count))];
  },
});

/** The list and one more element. */
export const TensorListPushBack = defineOp("TensorListPushBack", {
  ...onHost,
  inputs: { input_handle: "variant", tensor: "element_dtype" },
  outputs: { output_handle: "variant" },
  attrs: element,
  fullType: listType,
  infer: ({ input_handle }, { element_dtype }) => [
    listOutput(element_dtype, stackElement(input_handle, element_dtype, "push to")),
  ],
  grad: (g, op, [dlist], { element_dtype }) =>
    g.addOp("TensorListPopBack", [dlist!, pieces.shape(op.inputs[1]!)], { attrs: { element_dtype } }).outputs,
  host: ({ input_handle, tensor: item }) => {
    const list = listOf(input_handle);
    checkDType(list, item.dtype);
    if (list.max !== -1 && list.items.length >= list.max)
      throw invalid(
        `Tried to push item into a full list list size: ${list.items.length} max_num_elements: ${list.max}`,
      );
    return [variantTensor(pushed(list, item))];
  },
});

/** The list without its last element, and that element. */
export const TensorListPopBack = defineOp("TensorListPopBack", {
  ...onHost,
  inputs: { input_handle: "variant", element_shape: "int32" },
  outputs: { output_handle: "variant", tensor: "element_dtype" },
  attrs: element,
  infer: ({ input_handle }, { element_dtype }) => {
    const shape = stackElement(input_handle, element_dtype, "read from");
    return [listOutput(element_dtype, shape), { shape }];
  },
  grad: (g, _op, [dlist, delement]) => [g.add("TensorListPushBack", [dlist!, delement!]), null],
  host: ({ input_handle, element_shape }, { element_dtype }) => {
    const list = listOf(input_handle);
    checkDType(list, element_dtype);
    const [rest, item] = popped(list, shapeArgument(element_shape));
    return [variantTensor(rest), item];
  },
});

/** One more element for each list of a batch: the rows of a tensor. */
export const TensorListPushBackBatch = defineOp("TensorListPushBackBatch", {
  ...onHost,
  inputs: { input_handles: "variant", tensor: "element_dtype" },
  outputs: { output_handles: "variant" },
  attrs: element,
  fullType: listType,
  infer: ({ input_handles }, { element_dtype }) => {
    const shape = stackElement(input_handles, element_dtype, "push to");
    return [{ shape: input_handles.shape, handle: { dtype: element_dtype, shape } }];
  },
  grad: stopsGradients,
  host: ({ input_handles, tensor: rows }) => {
    const count = input_handles.data.length;
    if (rows.shape[0] !== count)
      throw invalid(`Expected tensor.shape[0] == input_handles.size, but saw ${rows.shape[0]} vs. ${count}`);
    const shape = rows.shape.slice(1);
    const lists = splitTensor(rows, new Array<number>(count).fill(1), 0).map((row, i) =>
      pushed(listOf(input_handles, i), { ...row, shape }, ` at index ${i}`),
    );
    return [variantsTensor(lists, input_handles.shape)];
  },
});

/** Number of elements. */
export const TensorListLength = defineOp("TensorListLength", {
  ...onHost,
  inputs: { input_handle: "variant" },
  outputs: { length: "int32" },
  infer: () => [{ shape: [] }],
  grad: stopsGradients,
  host: ({ input_handle }) => [tensor(listOf(input_handle).items.length, "int32", [])],
});

/** The shape that all elements have, as far as the list knows it; -1 where it knows nothing. */
export const TensorListElementShape = defineOp("TensorListElementShape", {
  ...onHost,
  inputs: { input_handle: "variant" },
  outputs: { element_shape: "shape_type" },
  attrs: { shape_type: indexType },
  infer: ({ input_handle }) => {
    const shape = input_handle.handle?.shape ?? null;
    return [{ shape: shape === null ? null : [shape.length] }];
  },
  grad: stopsGradients,
  host: ({ input_handle }, { shape_type }) => [
    shapeTensor(listOf(input_handle).shape, shape_type as "int32"),
  ],
});

/** Element `index`; zeros if it was never set. */
export const TensorListGetItem = defineOp("TensorListGetItem", {
  ...onHost,
  inputs: { input_handle: "variant", index: "int32", element_shape: "Tshape" },
  outputs: { item: "element_dtype" },
  attrs: { element_dtype: attr.type(), Tshape: attr.typeOr("int32", "int32", "int64") },
  infer: ({ input_handle, element_shape }, { element_dtype }) => {
    return [{ shape: agreed(readElement(input_handle, element_dtype), shapeOf(element_shape)) }];
  },
  grad: (g, op, [ditem]) => {
    const [list, index] = op.inputs;
    const size = g.add("TensorListLength", [list!]);
    const zeros = g.add("TensorListReserve", [elementShape(g, list!), size], {
      attrs: { element_dtype: ditem!.dtype },
    });
    return [g.add("TensorListSetItem", [zeros, index!, ditem!]), null, null];
  },
  host: ({ input_handle, index, element_shape }, { element_dtype }) => {
    const list = listOf(input_handle);
    checkDType(list, element_dtype);
    return [itemAt(list, int(index), shapeArgument(element_shape))];
  },
});

/** The list with another element at `index`. */
export const TensorListSetItem = defineOp("TensorListSetItem", {
  ...onHost,
  inputs: { input_handle: "variant", index: "int32", item: "element_dtype" },
  outputs: { output_handle: "variant" },
  attrs: { element_dtype: attr.type(), resize_if_index_out_of_bounds: attr.bool({ default: false }) },
  fullType: listType,
  infer: ({ input_handle, item }, { element_dtype }) => {
    agreed(item.shape, elementOf(input_handle));
    return [listOutput(element_dtype, elementOf(input_handle))];
  },
  grad: (g, op, [dlist], { element_dtype, resize_if_index_out_of_bounds }) => {
    const [list, index, item] = op.inputs;
    const cleared = g.add("TensorListSetItem", [dlist!, index!, pieces.zerosLike(item!)]);
    const shape = pieces.shape(item!);
    const ditem = g.add("TensorListGetItem", [dlist!, index!, shape], { attrs: { element_dtype } });
    if (!resize_if_index_out_of_bounds) return [cleared, null, ditem];
    const size = g.add("TensorListLength", [list!]);
    return [g.add("TensorListResize", [cleared, size]), null, ditem];
  },
  host: ({ input_handle, index, item }, { resize_if_index_out_of_bounds }) => {
    const list = listOf(input_handle);
    checkDType(list, item.dtype);
    return [variantTensor(withItem(list, int(index), item, resize_if_index_out_of_bounds))];
  },
});

/** The list with another length: cut, or with elements that are not set. */
export const TensorListResize = defineOp("TensorListResize", {
  ...onHost,
  inputs: { input_handle: "variant", size: "int32" },
  outputs: { output_handle: "variant" },
  infer: ({ input_handle }) => [{ shape: [], handle: input_handle.handle }],
  grad: (g, op, [dlist]) => {
    const size = g.add("TensorListLength", [op.inputs[0]!]);
    return [g.add("TensorListResize", [dlist!, size]), null];
  },
  host: ({ input_handle, size }) => {
    const count = int(size);
    if (count < 0) throw invalid(`TensorListSlice expects size to be non-negative. Got: ${count}`);
    return [variantTensor(resized(listOf(input_handle), count))];
  },
});

function joined(a: TensorList, b: TensorList): TensorList {
  const start = a.items.length;
  let { items } = resized(a, start + b.items.length);
  for (const [i, t] of vectorEntries(b.items)) items = vectorWith(items, start + i, t);
  return { ...a, items };
}

/** The elements of two lists as one list; of two batches of lists, pair by pair. */
export const TensorListConcatLists = defineOp("TensorListConcatLists", {
  ...onHost,
  inputs: { input_a: "variant", input_b: "variant" },
  outputs: { output: "variant" },
  attrs: element,
  fullType: listType,
  infer: ({ input_a, input_b }, { element_dtype }) => {
    for (const [name, { handle }] of Object.entries({ input_a, input_b })) {
      if (handle !== null && handle.dtype !== element_dtype)
        throw invalid(
          `${name}.type != element_dtype: ${dtypeCppName(handle.dtype)} vs. ${dtypeCppName(element_dtype)}`,
        );
    }
    const shape = agreed(elementOf(input_a), elementOf(input_b));
    return [{ shape: agreed(input_a.shape, input_b.shape), handle: { dtype: element_dtype, shape } }];
  },
  grad: stopsGradients,
  host: ({ input_a, input_b }, { element_dtype }) => {
    if (formatShape(input_a.shape) !== formatShape(input_b.shape))
      throw invalid(
        `Incompatible input TensorList tensor shapes: ${formatShape(input_a.shape)} vs. ${formatShape(input_b.shape)}`,
      );
    const lists = Array.from({ length: input_a.data.length }, (_, i) => {
      const [a, b] = [listOf(input_a, i), listOf(input_b, i)];
      for (const [name, { dtype }] of Object.entries({ input_a: a, input_b: b })) {
        if (dtype !== element_dtype)
          throw invalid(
            `${name}[${i}].dtype != element_dtype.  Saw: ${dtypeCppName(dtype)} vs. ${dtypeCppName(element_dtype)}`,
          );
      }
      if (formatShape(a.shape) !== formatShape(b.shape))
        throw invalid(
          `input_a and input_b TensorList element shapes are not identical at index ${i}.  Saw ${formatShape(a.shape)} vs. ${formatShape(b.shape)}`,
        );
      return joined(a, b);
    });
    return [variantsTensor(lists, input_a.shape)];
  },
});
