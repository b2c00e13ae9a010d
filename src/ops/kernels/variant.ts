/**
 * @file What a variant can hold: a list of tensors, or an optional tuple of them. Values, never changed; their sum and their zeros, which
 * AddN and ZerosLike ask for. Start at `Variant`.
 */

import {
  type DType,
  dtypeCppName,
  formatShape,
  handleOf,
  handleTensor,
  isCompatible,
  mergeShapes,
  type Shape,
  type Tensor,
  type TensorData,
  VarscopeError,
  zeros,
} from "../../base/index.ts";
import { type Vector, vectorAt, vectorEntries, vectorWith } from "./vector.ts";

/** @see TensorFlow core/kernels/tensor_list.h "TensorList" */
export interface TensorList {
  readonly kind: "list";
  readonly dtype: DType;
  /** what every element's shape agrees with */
  readonly shape: Shape | null;
  /** most elements that pushing allows; -1: any */
  readonly max: number;
  /** empty places are elements that were never set */
  readonly items: Vector<Tensor>;
}

/** @see TensorFlow core/kernels/data/optional_ops.h "OptionalVariant" */
export interface Optional {
  readonly kind: "optional";
  /** null: it has no value */
  readonly values: readonly Tensor[] | null;
}

/** The element of a list of variants that was never set. */
interface Empty {
  readonly kind: "empty";
}

export type Variant = TensorList | Optional | Empty;

export const EMPTY: Empty = { kind: "empty" };

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** TensorFlow's name of what a variant holds. */
const TYPE_NAMES = {
  list: "tensorflow::TensorList",
  optional: "tensorflow::data::Optional",
  empty: "",
} as const satisfies Record<Variant["kind"], string>;

/** A variant in words, for messages. */
export function describeVariant(v: Variant): string {
  const type = `type: ${TYPE_NAMES[v.kind]}`;
  if (v.kind !== "optional") return `Variant<${type}>`;
  const what = v.values === null ? "None" : `<${v.values.map((t) => dtypeCppName(t.dtype))}>`;
  return `Variant<${type} value: OptionalVariant<${what}>>`;
}

/** A scalar variant tensor. */
export const variantTensor = (v: Variant): Tensor => handleTensor("variant", v);

/** A variant tensor of several elements. */
export const variantsTensor = (vs: readonly Variant[], shape: readonly number[]): Tensor => ({
  dtype: "variant",
  shape,
  data: vs as unknown as TensorData,
});

/** Zeros, or empty variants, of a shape. */
export function blank(dtype: DType, shape: readonly number[]): Tensor {
  if (dtype !== "variant") return zeros(dtype, shape);
  return variantsTensor(new Array<Variant>(shape.reduce((n, d) => n * d, 1)).fill(EMPTY), shape);
}

const variantsOf = (t: Tensor): Variant[] =>
  Array.from({ length: t.data.length }, (_, i) => handleOf<Variant>(t, i));

/** A tensor of zeros like `t`; of a list, a list of zeros. */
export function zerosLike(t: Tensor): Tensor {
  if (t.dtype !== "variant") return zeros(t.dtype, t.shape);
  return variantsTensor(variantsOf(t).map(zerosOf), t.shape);
}

function zerosOf(v: Variant): Variant {
  if (v.kind === "empty") return v;
  if (v.kind === "optional") return { ...v, values: v.values?.map(zerosLike) ?? null };
  let { items } = v;
  for (const [i, t] of vectorEntries(items)) items = vectorWith(items, i, zerosLike(t));
  return { ...v, max: -1, items };
}

type Add = (a: Tensor, b: Tensor) => Tensor;

/**
 * Sum of two variant tensors element by element, of lists item by item; `add` sums plain tensors.
 * @throws VarscopeError INVALID_ARGUMENT - lists of other lengths, dtypes or shapes; INTERNAL - a list and an optional
 */
export function addVariants(a: Tensor, b: Tensor, add: Add): Tensor {
  const right = variantsOf(b);
  const sums = variantsOf(a).map((x, i) => sumOf(x, right[i]!, add));
  return variantsTensor(sums, a.shape);
}

function sumOf(a: Variant, b: Variant, add: Add): Variant {
  const sum: Add = (x, y) => (x.dtype === "variant" ? addVariants(x, y, add) : add(x, y));
  if (a.kind === "list" && b.kind === "list") return sumOfLists(a, b, sum);
  if (a.kind === "optional" && b.kind === "optional") return sumOfOptionals(a, b, sum);
  throw new VarscopeError(
    "INTERNAL",
    `BinaryOpVariants: Variants a and b have different type ids.  Type names: '${TYPE_NAMES[a.kind]}' vs. '${TYPE_NAMES[b.kind]}'`,
  );
}

function sumOfLists(a: TensorList, b: TensorList, sum: Add): TensorList {
  if (a.dtype !== b.dtype)
    throw invalid(
      `Trying to add two lists of tensors of different dtypes. One is ${dtypeCppName(a.dtype)} and the other is ${dtypeCppName(b.dtype)}`,
    );
  if (!isCompatible(a.shape, b.shape))
    throw invalid(
      `Trying to add two lists of tensors with incompatible element shapes. One is ${formatShape(a.shape)} and the other is ${formatShape(b.shape)}`,
    );
  if (a.items.length !== b.items.length)
    throw invalid(
      `Trying to add two lists of tensors with different lengths. One is ${a.items.length} and the other is ${b.items.length}`,
    );
  let { items } = a;
  for (const [i, y] of vectorEntries(b.items)) {
    const x = vectorAt(a.items, i);
    if (x !== undefined && !isCompatible(x.shape, y.shape))
      throw invalid(
        `Trying to add two tensors with incompatible element shapes. One is ${formatShape(x.shape)} and the other is ${formatShape(y.shape)}`,
      );
    items = vectorWith(items, i, x === undefined ? y : sum(x, y));
  }
  return { ...a, shape: mergeShapes(a.shape, b.shape), max: -1, items };
}

function sumOfOptionals(a: Optional, b: Optional, sum: Add): Optional {
  if ((a.values === null) !== (b.values === null))
    throw invalid("Cannot add optionals because one has a value and the other doesn't.");
  if (a.values?.length !== b.values?.length)
    throw invalid(
      `Cannot add optionals because they have different numbers of components. One has ${a.values?.length} and the other has ${b.values?.length}.`,
    );
  return { ...a, values: a.values?.map((x, i) => sum(x, b.values![i]!)) ?? null };
}
