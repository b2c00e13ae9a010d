/** @file Whether values, attributes and nodes are what TensorFlow gave. Start at `difference`. */

import {
  type DType,
  type Element,
  formatShape,
  getElement,
  isComplex,
  isFloat,
  sameShape,
  sizeOf,
  type Tensor,
} from "../../src/base/index.ts";
import type { AttrValue, Operation } from "../../src/graph/index.ts";
import { type NodeJson, readAttrs } from "./golden-json.ts";

/** |a - b| <= tolerance * (1 + |b|). Of float32: some ten rounding steps, since libraries' exp and tanh differ. */
const TOLERANCE: Partial<Record<DType, number>> = {
  float64: 1e-10,
  complex128: 1e-10,
  float32: 1e-5,
  complex64: 1e-5,
  float16: 2e-3,
  bfloat16: 1.6e-2,
};

const close = (a: number, b: number, tolerance: number): boolean =>
  Object.is(a, b) ||
  a === b ||
  (Number.isNaN(a) && Number.isNaN(b)) ||
  Math.abs(a - b) <= tolerance * (1 + Math.abs(b));

function sameElement(a: Element, b: Element, tolerance: number): boolean {
  if (typeof a === "number") return close(a, b as number, tolerance);
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array) === 0;
  if (typeof a !== "object") return a === b;
  const [re, im] = b as readonly [number, number];
  return close(a[0], re, tolerance) && close(a[1], im, tolerance);
}

const show = (e: Element): string => (e instanceof Uint8Array ? new TextDecoder().decode(e) : String(e));

/** The first difference of two tensors in words, or null. Floats may differ by `tolerance`, by default that of the dtype. */
export function difference(got: Tensor, want: Tensor, tolerance?: number): string | null {
  if (got.dtype !== want.dtype) return `dtype is ${got.dtype}, TensorFlow's ${want.dtype}`;
  if (!sameShape(got.shape, want.shape))
    return `shape is ${formatShape(got.shape)}, TensorFlow's ${formatShape(want.shape)}`;
  const inexact = isFloat(want.dtype) || isComplex(want.dtype);
  const allowed = inexact ? (tolerance ?? TOLERANCE[want.dtype] ?? 0) : 0;
  for (let i = 0; i < sizeOf(want.shape); i++) {
    const a = getElement(got, i);
    const b = getElement(want, i);
    if (!sameElement(a, b, allowed)) return `element ${i} is ${show(a)}, TensorFlow's ${show(b)}`;
  }
  return null;
}

const isTensor = (v: unknown): v is Tensor =>
  typeof v === "object" && v !== null && "dtype" in v && "data" in v;

export function sameAttr(a: AttrValue | undefined, b: AttrValue | undefined): boolean {
  if (isTensor(a) && isTensor(b)) return difference(a, b) === null;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((v, i) => sameAttr(v, b[i]));
  if (typeof a === "number" && typeof b === "number")
    return Math.fround(a) === Math.fround(b) || Object.is(a, b);
  if (typeof a === "bigint" || typeof b === "bigint") return String(a) === String(b);
  return JSON.stringify(a) === JSON.stringify(b);
}

const showAttr = (v: AttrValue | undefined): string =>
  isTensor(v)
    ? `${v.dtype}${formatShape(v.shape)} [${[...v.data].slice(0, 8)}]`
    : (JSON.stringify(v) ?? "missing");

const ofNode = (op: Operation): string[] => [
  ...op.inputs.map((x) => (x.index === 0 ? x.op.name : x.name)),
  ...op.controlInputs.map((x) => `^${x.name}`),
];

/** The first difference of an operation from a NodeDef, or null. */
export function nodeDifference(op: Operation, want: NodeJson): string | null {
  const [name, type, inputs, attrs] = want;
  if (op.name !== name || op.type !== type)
    return `node is ${op.type} ${op.name}, TensorFlow's ${type} ${name}`;
  if (ofNode(op).join() !== inputs.join()) return `${name} reads [${ofNode(op)}], TensorFlow's [${inputs}]`;
  const wanted = readAttrs(attrs);
  for (const key of new Set([...Object.keys(wanted), ...Object.keys(op.attrs)])) {
    if (!sameAttr(op.attrs[key], wanted[key])) {
      return `${name} has ${key} = ${showAttr(op.attrs[key])}, TensorFlow's ${showAttr(wanted[key])}`;
    }
  }
  return null;
}
