/** @file What TensorList ops share: attributes, shapes from a list's handle, and small ops of their gradients. Start at `elementOf`. */

import {
  type DType,
  dtypeCppName,
  formatShape,
  isVarscopeError,
  mergeShapes,
  type Shape,
} from "../base/index.ts";
import { absent, attr, type Graph, type Output, type Spec } from "../graph/index.ts";
import { arrayOf } from "./full-types.ts";
import { invalid } from "./kernels/tensor-list.ts";
import * as pieces from "./pieces.ts";

export const indexType = attr.type("int32", "int64");
export const element = { element_dtype: attr.type() };
export const elementAndShape = { element_dtype: attr.type(), shape_type: indexType };
export const listType = ({ element_dtype }: { readonly element_dtype: DType }) => arrayOf(element_dtype);

/** Aspects of every op on lists. */
export const onHost = { lower: absent("a list of tensors is no tensor: it stays on the host") };

/** A scalar list of such elements. */
export const listOutput = (dtype: DType, shape: Shape | null) => ({
  shape: [],
  handle: { dtype, shape },
});

/** What is known of the elements of a list; nothing where it comes from elsewhere. */
export const elementOf = (list: Spec): Shape | null => list.handle?.shape ?? null;

/** The same for an op that reads elements. @throws VarscopeError INVALID_ARGUMENT - their dtype is another */
export function readElement(list: Spec, dtype: DType): Shape | null {
  const known = list.handle?.dtype ?? dtype;
  if (known !== dtype)
    throw invalid(
      `Expected list with element dtype ${dtypeCppName(dtype)} but got list with element dtype ${dtypeCppName(known)}`,
    );
  return elementOf(list);
}

/** The same for an op that takes the list as a stack. @param action - "push to", "read from" */
export function stackElement(list: Spec, dtype: DType, action: string): Shape | null {
  const known = list.handle?.dtype ?? dtype;
  if (known !== dtype)
    throw invalid(
      `Trying to ${action} list with wrong element dtype. List has type ${dtypeCppName(known)} but trying to push element with type ${dtypeCppName(dtype)}`,
    );
  return elementOf(list);
}

/** A shape argument, as far as it is known; the scalar -1 says nothing. @throws VarscopeError INVALID_ARGUMENT - another scalar */
export function shapeOf({ dtype, shape, value, partial }: Spec): Shape | null {
  if (shape === null || shape.length > 1) return null;
  if (shape.length === 1)
    return partial ?? (shape[0] === null ? null : new Array<null>(shape[0]!).fill(null));
  // TensorFlow refuses to build with a scalar that is not known yet. It comes up in loops that run, where shapes of arguments are known.
  if (value === null) return null;
  const only = Number(value.data[0]);
  if (only === -1) return null;
  throw invalid(
    `Received an invalid shape scalar with a static value that is not '-1': Tensor<type: ${dtype} shape: [] values: ${only}>`,
  );
}

/** What two sources say of a shape. @throws VarscopeError INVALID_ARGUMENT - they contradict each other */
export function agreed(a: Shape | null, b: Shape | null): Shape | null {
  try {
    return mergeShapes(a, b);
  } catch (e) {
    if (!isVarscopeError(e) || a === null || b === null) throw e;
    const at = a.findIndex((d, i) => d !== null && b[i] !== null && d !== b[i]);
    const what =
      a.length === b.length
        ? `Dimension ${at} in both shapes must be equal, but are ${a[at]} and ${b[at]}. Shapes are ${formatShape(a)} and ${formatShape(b)}.`
        : `Shapes must be equal rank, but are ${a.length} and ${b.length}`;
    throw invalid(what);
  }
}

/** Shape of a tensor's rows, as Python's list gradients take it: "Slice" of "Shape". */
export const rowShape = (g: Graph, x: Output): Output =>
  g.add("Slice", [pieces.shape(x), [1], [-1]], { attrs: { Index: "int32" } });

/** Shape of a list's elements, int32. */
export const elementShape = (g: Graph, list: Output): Output =>
  g.add("TensorListElementShape", [list], { attrs: { shape_type: "int32" } });
