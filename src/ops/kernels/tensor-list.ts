/**
 * @file Lists of tensors as TensorList ops work on them. A list is a value: each function gives a new one, which shares its tensors with
 * the old. Start at `makeList`.
 *
 * @see TensorFlow core/kernels/list_kernels.cc, list_kernels.h
 */

import {
  type DType,
  dtypeCppName,
  formatShape,
  handleOf,
  isCompatible,
  isStatic,
  mergeShapes,
  reshaped,
  type Shape,
  sizeOf,
  type Tensor,
  toNumbers,
  VarscopeError,
} from "../../base/index.ts";
import { concatTensors, copyElements, splitTensor } from "./join.ts";
import { blank, describeVariant, type TensorList, type Variant } from "./variant.ts";
import { emptyVector, vectorAt, vectorEntries, vectorOf, vectorResized, vectorWith } from "./vector.ts";

export const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** The list behind element `index` of a variant tensor. @throws VarscopeError INVALID_ARGUMENT - it is something else */
export function listOf(t: Tensor, index = 0): TensorList {
  const v = handleOf<Variant>(t, index);
  if (v.kind !== "list") throw invalid(`Input handle is not a list. Saw: '${describeVariant(v)}'`);
  return v;
}

/** A list of `length` elements that are not set. */
export const makeList = (dtype: DType, shape: Shape | null, length: number, max = -1): TensorList => ({
  kind: "list",
  dtype,
  shape,
  max,
  items: emptyVector(length),
});

/** A shape argument: -1 is no shape at all, -1 in a vector an unknown dim. */
export function shapeArgument(t: Tensor): Shape | null {
  const dims = toNumbers(t);
  if (t.shape.length === 0) {
    if (dims[0] === -1) return null;
    throw invalid("The only valid scalar shape tensor is the fully unknown shape specified as -1.");
  }
  if (t.shape.length > 1) throw invalid(`Shape must be at most rank 1 but is rank ${t.shape.length}`);
  const bad = dims.find((d) => d < -1);
  if (bad !== undefined) throw invalid(`Dimension ${bad} must be >= -1`);
  return dims.map((d) => (d < 0 ? null : d));
}

/** @throws VarscopeError INVALID_ARGUMENT - the op's dtype is not the list's */
export function checkDType(list: TensorList, dtype: DType): void {
  if (list.dtype !== dtype)
    throw invalid(
      `Invalid data types; op elements ${dtypeCppName(dtype)} but list elements ${dtypeCppName(list.dtype)}`,
    );
}

/** @throws VarscopeError INVALID_ARGUMENT - in the words of PartialTensorShape::MergeWith */
export function merged(a: Shape | null, b: Shape | null): Shape | null {
  if (isCompatible(a, b)) return mergeShapes(a, b);
  throw invalid(
    a!.length === b!.length
      ? `PartialTensorShape: Incompatible shapes during merge: ${formatShape(a)} vs. ${formatShape(b)}`
      : `PartialTensorShape: Incompatible ranks during merge: ${a!.length} vs. ${b!.length}`,
  );
}

const withShapes = (shape: Shape | null, tensors: Iterable<Tensor>): Shape | null => {
  let out = shape;
  for (const t of tensors) out = merged(out, t.shape);
  return out;
};

function* itemsOf(list: TensorList): Generator<Tensor> {
  for (const [, t] of vectorEntries(list.items)) yield t;
}

const isWithin = (list: TensorList, index: number): boolean => index >= 0 && index < list.items.length;

/** Element `index`; zeros where it was never set and a shape is known. */
export function itemAt(list: TensorList, index: number, asked: Shape | null): Tensor {
  if (!isWithin(list, index))
    throw invalid(`Trying to access element ${index} in a list with ${list.items.length} elements.`);
  const item = vectorAt(list.items, index);
  if (item !== undefined) return item;
  const known = merged(asked, list.shape);
  const shape = isStatic(known) ? known : withShapes(known, itemsOf(list));
  if (isStatic(shape)) return blank(list.dtype, shape);
  throw invalid(
    `Trying to read an uninitialized tensor but element_shape is not fully defined: ${formatShape(shape)} and no list element is set.`,
  );
}

/** The list with another element; longer, where `grow` says so. */
export function withItem(list: TensorList, index: number, item: Tensor, grow = false): TensorList {
  if (index < 0 || (!grow && !isWithin(list, index)))
    throw invalid(`Trying to modify element ${index} in a list with ${list.items.length} elements.`);
  if (!isCompatible(list.shape, item.shape))
    throw invalid(
      `Tried to set a tensor with incompatible shape at a list index. Item element shape: ${formatShape(item.shape)} list shape: ${formatShape(list.shape)}`,
    );
  return placed(list, index, item);
}

const placed = (list: TensorList, index: number, item: Tensor): TensorList => {
  const items = index < list.items.length ? list.items : vectorResized(list.items, index + 1);
  return { ...list, items: vectorWith(items, index, item) };
};

/** The list and one more element. @param where - for messages */
export function pushed(list: TensorList, item: Tensor, where = ""): TensorList {
  if (!isCompatible(list.shape, item.shape))
    throw invalid(
      `Tried to append a tensor with incompatible shape to a list${where}. Op element shape: ${formatShape(item.shape)} list shape: ${formatShape(list.shape)}`,
    );
  return placed(list, list.items.length, item);
}

/** The list without its last element, and that element. */
export function popped(list: TensorList, asked: Shape | null): [TensorList, Tensor] {
  const last = list.items.length - 1;
  if (last < 0) throw invalid("Trying to pop from an empty list.");
  const rest = resized(list, last);
  const item = vectorAt(list.items, last);
  if (item !== undefined) return [rest, item];
  const shape = merged(asked, list.shape);
  if (isStatic(shape)) return [rest, blank(list.dtype, shape)];
  throw invalid(
    `Trying to read an uninitialized tensor but element_shape is not fully defined.${formatShape(shape)}`,
  );
}

/** The list with `length` elements: the first of them, and new ones that are not set. */
export const resized = (list: TensorList, length: number): TensorList => ({
  ...list,
  items: vectorResized(list.items, length),
});

/** All elements along a new first axis; `only` some of them, by index. */
export function stacked(list: TensorList, asked: Shape | null, only?: readonly number[]): Tensor {
  const count = only?.length ?? list.items.length;
  const found = only === undefined ? [...vectorEntries(list.items)] : entriesAt(list, only);
  const shape = withShapes(
    merged(asked, list.shape),
    found.map(([, t]) => t),
  );
  if (!isStatic(shape)) throw noShape(only === undefined ? "stack" : "gather", count, shape);
  const out = blank(list.dtype, [count, ...shape]);
  const size = sizeOf(shape);
  for (const [i, t] of found) copyElements(t, 0, out, i * size, size);
  return out;
}

function entriesAt(list: TensorList, indices: readonly number[]): [number, Tensor][] {
  return indices.flatMap((index, i): [number, Tensor][] => {
    if (!isWithin(list, index))
      throw invalid(`Trying to gather element ${index} in a list with ${list.items.length} elements.`);
    const t = vectorAt(list.items, index);
    return t === undefined ? [] : [[i, t]];
  });
}

function noShape(verb: "stack" | "gather", count: number, shape: Shape | null): VarscopeError {
  const text = formatShape(shape);
  if (verb === "gather")
    return invalid(
      count === 0
        ? `Tried to gather 0-elements from a list with non-fully-defined shape: ${text}`
        : `Tried to gather uninitialized tensors from a list with non-fully-defined element_shape: ${text}`,
    );
  return invalid(
    count === 0
      ? `Tried to stack elements of an empty list with non-fully-defined element_shape: ${text}`
      : `Tried to stack list which only contains uninitialized tensors and has a non-fully-defined element_shape: ${text}`,
  );
}

/** More elements are not joined: their lengths alone would fill the memory. */
const MAX_PARTS = 1 << 26;

/** @throws VarscopeError RESOURCE_EXHAUSTED - more elements to join than any program has */
export function checkParts(count: number): void {
  if (count > MAX_PARTS)
    throw new VarscopeError("RESOURCE_EXHAUSTED", `${count} elements to concat, ${MAX_PARTS} are the most`);
}

/** All elements along their first axis, and the length of each. @param leading - lengths of those that were never set */
export function concatenated(
  list: TensorList,
  asked: Shape | null,
  leading: readonly number[],
): [Tensor, number[]] {
  const shape = merged(asked, list.shape);
  if (shape?.length === 0)
    throw invalid("Concat requires elements to be at least vectors, found scalars instead.");
  const count = list.items.length;
  checkParts(count);
  const { first, rest } = concatShape(list, shape, count);
  const lengths = Array.from({ length: count }, (_, i) => {
    const length = vectorAt(list.items, i)?.shape[0] ?? leading[i] ?? first;
    if (length !== null) return length;
    throw invalid(
      `List contains uninitialized tensor at index ${i} but leading_dims has only ${leading.length} elements.`,
    );
  });
  const parts = lengths.map((n, i) => vectorAt(list.items, i) ?? blank(list.dtype, [n, ...rest]));
  return [count === 0 ? blank(list.dtype, [0, ...rest]) : concatTensors(parts, 0), lengths];
}

/** The first dim, where it is the same for all elements, and the other dims. */
function concatShape(
  list: TensorList,
  shape: Shape | null,
  count: number,
): { readonly first: number | null; readonly rest: readonly number[] } {
  let rest = shape?.slice(1) ?? null;
  const given = shape?.[0] ?? null;
  const firsts = new Set<number>();
  for (const [i, t] of vectorEntries(list.items)) {
    if (t.shape.length === 0)
      throw invalid(`Concat saw a scalar shape at index ${i} but requires at least vectors.`);
    if (given !== null && given !== t.shape[0])
      throw invalid(
        `First entry of element_shape input does not match the first dim of list element at index: ${i} Expected: ${given} Actual: ${t.shape[0]}`,
      );
    firsts.add(t.shape[0]!);
    rest = merged(rest, t.shape.slice(1)) as number[] | null;
  }
  if (isStatic(rest)) return { first: given ?? (firsts.size === 1 ? [...firsts][0]! : null), rest };
  throw invalid(
    count === 0
      ? `All except the first dimension must be fully defined when concating an empty tensor list. element_shape: ${formatShape(rest)}`
      : `Trying to concat list with only uninitialized tensors but element_shape_except_first_dim is not fully defined: ${formatShape(rest)}`,
  );
}

/** @throws VarscopeError INVALID_ARGUMENT - a scalar has no rows */
function checkRows(t: Tensor): void {
  if (t.shape.length === 0)
    throw invalid(`Tensor must be at least a vector, but saw shape: ${formatShape(t.shape)}`);
}

/** A list of the rows of a tensor. */
export function listFromRows(t: Tensor, shape: Shape | null): TensorList {
  const rows = rowsOf(t, shape);
  return { ...makeList(t.dtype, shape, 0), items: vectorOf(rows) };
}

function rowsOf(t: Tensor, shape: Shape | null): Tensor[] {
  checkRows(t);
  const row = t.shape.slice(1);
  if (!isCompatible(shape, row))
    throw invalid(
      `Specified a list with shape ${formatShape(shape)} from a tensor with shape ${formatShape(row)}`,
    );
  return splitTensor(t, new Array<number>(t.shape[0]!).fill(1), 0).map((part) => reshaped(part, row));
}

/** A list with the rows of a tensor put at indices of `onto`. */
export function scattered(onto: TensorList, t: Tensor, indices: readonly number[]): TensorList {
  if (t.shape.length > 0 && t.shape[0] !== indices.length)
    throw invalid(`Expected len(indices) == tensor.shape[0], but saw: ${indices.length} vs. ${t.shape[0]}`);
  let list = onto;
  for (const [i, row] of rowsOf(t, null).entries()) list = placed(list, indices[i]!, row);
  return list;
}

/** A list of parts of a tensor along its first axis. */
export function listFromParts(t: Tensor, shape: Shape | null, lengths: readonly number[]): TensorList {
  checkRows(t);
  const known = shape === null ? null : [null, ...shape.slice(1)];
  if (!isCompatible(known, t.shape))
    throw invalid(
      `tensor shape ${formatShape(t.shape)} is not compatible with element_shape ${formatShape(known)}`,
    );
  let used = 0;
  for (const n of lengths) {
    if (n < 0) throw invalid(`Invalid value in lengths: ${n}`);
    if (used + n > t.shape[0]!)
      throw invalid(`Attempting to slice [${used}, ${used + n}] from tensor with length ${t.shape[0]}`);
    used += n;
  }
  if (used !== t.shape[0])
    throw invalid(`Unused values in tensor. Length of tensor: ${t.shape[0]} Values used: ${used}`);
  return { ...makeList(t.dtype, shape, 0), items: vectorOf(splitTensor(t, lengths, 0)) };
}
