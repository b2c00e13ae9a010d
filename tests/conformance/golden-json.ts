/** @file The JSON of op cases and their goldens: types, and tensors and attributes read from it. Start at `CaseGolden`. */

import {
  allocate,
  type DType,
  type Element,
  fromData,
  type Shape,
  setElement,
  sizeOf,
  type Tensor,
} from "../../src/base/index.ts";
import type { Attrs, AttrValue } from "../../src/graph/index.ts";

export interface TensorJson {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** flat; floats beyond JSON and integers beyond 2^53 are text, complex numbers pairs, strings text or {"hex"} */
  readonly values: readonly unknown[];
}

/** An op that makes an input or reads an output; its operands are Consts unless they say otherwise. */
export interface MadeCase {
  readonly made: string;
  readonly inputs?: readonly Many<OperandCase>[];
  readonly attrs?: Readonly<Record<string, unknown>>;
  readonly output?: number;
}

/** An operand of such an op: made by another, an output of the node behind flat input `of`, output `out` of the case's op, or a Const. */
export type OperandCase =
  | MadeCase
  | { readonly of: number; readonly output?: number }
  | { readonly out: number }
  | { readonly dtype: DType; readonly values: unknown; readonly shape?: readonly number[] };

/** An input as a case states it: nested `values`, or `fill` and the rest. */
export interface InputCase {
  readonly made?: string;
  readonly of?: number;
  readonly dtype: DType;
  /** the input is a resource variable; "empty": one without a value */
  readonly resource?: true | "empty";
  /** what the handle says of the variable's shape; by default that of the value */
  readonly handleShape?: Shape | null;
  /** the input is a ref variable */
  readonly ref?: true;
}

export type Many<X> = X | readonly Many<X>[];

/** One case of `src/ops/<family>.cases.json`. */
export interface OpCase {
  readonly claim: string;
  readonly inputs?: readonly Many<InputCase>[];
  readonly attrs?: Readonly<Record<string, unknown>>;
  readonly const?: readonly number[];
  readonly then?: readonly MadeCase[];
  readonly shapes?: readonly (Shape | null)[];
  readonly smooth?: boolean;
  readonly wasm?: false;
  readonly tolerance?: number;
  readonly gradTolerance?: number;
  readonly error?: string;
}

/** [name, type, inputs, attrs] */
export type NodeJson = readonly [string, string, readonly string[], Readonly<Record<string, unknown>>];

/** A dense gradient, or rows at indices. */
export type GradJson = TensorJson | { readonly values: TensorJson; readonly indices: TensorJson };

/** What TensorFlow made of a case. */
export interface CaseGolden {
  readonly claim: string;
  /** null: another op makes it */
  readonly inputs: readonly Many<TensorJson | null>[];
  readonly node: NodeJson;
  readonly shapes: readonly (Shape | null)[];
  readonly outputs?: readonly (TensorJson | null)[];
  /** outputs of the ops that read the case's op */
  readonly then?: readonly TensorJson[];
  /** variables after the run, by flat input */
  readonly after?: Readonly<Record<string, TensorJson>>;
  readonly noGradient?: true;
  readonly gradYs?: readonly number[];
  readonly dys?: readonly TensorJson[];
  readonly grads?: readonly (GradJson | null)[];
  readonly gradNodes?: readonly NodeJson[];
  readonly gradNames?: readonly (string | null)[];
  readonly error?: { readonly phase: "build" | "run"; readonly code: string; readonly message: string };
}

const FLOATS: Record<string, number> = {
  nan: Number.NaN,
  inf: Number.POSITIVE_INFINITY,
  "-inf": Number.NEGATIVE_INFINITY,
};

const toFloat = (v: unknown): number => (typeof v === "string" ? FLOATS[v]! : (v as number));

const hexBytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));

function toElement(v: unknown, dtype: DType): Element {
  if (dtype === "string")
    return typeof v === "string" ? new TextEncoder().encode(v) : hexBytes((v as { hex: string }).hex);
  if (dtype === "int64" || dtype === "uint64") return BigInt(v as string | number);
  if (dtype === "complex64" || dtype === "complex128") {
    const [re, im] = v as [unknown, unknown];
    return [toFloat(re), toFloat(im)];
  }
  return dtype === "bool" ? (v as boolean) : toFloat(v);
}

/** The tensor of its JSON. */
export function readTensor(json: TensorJson): Tensor {
  const t = fromData(json.dtype, json.shape, allocate(json.dtype, sizeOf(json.shape)));
  for (const [i, v] of json.values.entries()) setElement(t, i, toElement(v, json.dtype));
  return t;
}

const isTensorJson = (v: object): v is TensorJson => "dtype" in v && "values" in v;

function readAttr(v: unknown): AttrValue {
  if (Array.isArray(v)) return v.map(readAttr) as AttrValue;
  if (typeof v !== "object" || v === null) return v as AttrValue;
  if ("tensor" in v) return readTensor(v.tensor as TensorJson);
  if ("hex" in v) return hexBytes(v.hex as string);
  return isTensorJson(v) ? readTensor(v) : (v as AttrValue);
}

/** Attribute values of their JSON. */
export const readAttrs = (json: Readonly<Record<string, unknown>>): Attrs =>
  Object.fromEntries(Object.entries(json).map(([k, v]) => [k, readAttr(v)]));

/** All leaves of nested lists, in order. */
export function flatten<X>(items: readonly Many<X>[]): X[] {
  return items.flatMap((x) => (Array.isArray(x) ? flatten(x as readonly Many<X>[]) : [x as X]));
}

/** The nesting of `like` with other leaves. */
export function regroup<X>(like: readonly Many<unknown>[], leaves: Iterator<X>): Many<X>[] {
  return like.map((x) => (Array.isArray(x) ? regroup(x, leaves) : leaves.next().value));
}
