/** @file Parts of a partitioned tensor: the spec '10 4 0,4:0,4', and the index key of a part. Start at `parseSliceSpec`. */

import { type Box, VarscopeError } from "../../base/index.ts";

/** One dimension of a part; a null length is the whole dimension. */
export interface Extent {
  readonly start: number;
  readonly length: number | null;
}

/** A part of a tensor: an extent for each dimension. */
export type TensorSlice = readonly Extent[];

export interface SliceSpec {
  /** shape of the whole tensor */
  readonly fullShape: readonly number[];
  readonly slice: TensorSlice;
}

const bad = (what: string, spec: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, {
    at: `slice spec "${spec}"`,
    hint: "write the full shape, then start,length or - for each dimension: '10 4 0,4:-'",
  });

/**
 * `'10 4 0,4:-'`: rows 0 to 3 of a [10, 4] tensor.
 *
 * @throws VarscopeError INVALID_ARGUMENT - not of that form, or outside the shape
 * @see TensorFlow core/util/saved_tensor_slice_util.cc ParseShapeAndSlice
 */
export function parseSliceSpec(spec: string): SliceSpec {
  const words = spec.split(" ");
  const parts = words.pop()!.split(":");
  if (words.length === 0) throw bad("a shape and a slice are wanted", spec);
  const fullShape = words.map((word) => {
    if (!/^\d{1,15}$/.test(word)) throw bad(`"${word}" is not a dimension`, spec);
    return Number(word);
  });
  if (parts.length !== fullShape.length) {
    throw bad(`${parts.length} extents for a tensor of rank ${fullShape.length}`, spec);
  }
  const slice = parts.map((part, axis): Extent => {
    if (part === "-") return { start: 0, length: null };
    const match = /^(\d{1,15}),(\d{1,15})$/.exec(part);
    if (match === null) throw bad(`"${part}" is not an extent`, spec);
    const extent = { start: Number(match[1]), length: Number(match[2]) };
    if (extent.length === 0) throw bad(`extent "${part}" is empty`, spec);
    if (extent.start + extent.length > fullShape[axis]!) {
      throw bad(`extent "${part}" leaves the ${fullShape[axis]} of axis ${axis}`, spec);
    }
    return extent;
  });
  return { fullShape, slice };
}

/** `'10 4 0,4:-'` of a shape and a slice. */
export const formatSliceSpec = ({ fullShape, slice }: SliceSpec): string =>
  `${[...fullShape, ""].join(" ")}${slice
    .map(({ start, length }) => (length === null ? "-" : `${start},${length}`))
    .join(":")}`;

/** Shape of the part `slice` of a tensor of shape `fullShape`. */
export const sliceShape = (fullShape: readonly number[], slice: TensorSlice): number[] =>
  slice.map(({ length }, axis) => length ?? fullShape[axis]!);

/** The box of a part. */
export const boxOfSlice = (shape: readonly number[], slice: TensorSlice): Box => ({
  start: slice.map((extent) => extent.start),
  size: sliceShape(shape, slice),
});

/** Whether the part is the whole. */
export const isWhole = (fullShape: readonly number[], slice: TensorSlice): boolean =>
  slice.every(({ start, length }, axis) => length === null || (start === 0 && length === fullShape[axis]));

const ENCODER = new TextEncoder();

/**
 * Key of a part in the index: 0, the name, then rank, starts and lengths, in an encoding that sorts as the values do.
 *
 * @see TensorFlow core/util/saved_tensor_slice_util.cc EncodeTensorNameSlice, core/lib/strings/ordered_code.cc
 */
export function sliceKey(name: string, slice: TensorSlice): Uint8Array {
  const out: number[] = [];
  pushOrdered(out, 0);
  for (const byte of ENCODER.encode(name)) {
    if (byte === 0) out.push(0, 0xff);
    else if (byte === 0xff) out.push(0xff, 0);
    else out.push(byte);
  }
  out.push(0, 1);
  pushOrdered(out, slice.length);
  for (const { start, length } of slice) {
    pushSignedOrdered(out, start);
    pushSignedOrdered(out, length ?? -1);
  }
  return Uint8Array.from(out);
}

/** A non-negative number: the count of its bytes, then the bytes, greatest first. */
function pushOrdered(out: number[], value: number): void {
  const bytes = bigEndian(value);
  out.push(bytes.length, ...bytes);
}

/**
 * A signed number: its greatest byte begins with as many ones as there are bytes, so that longer is greater; for a negative
 * one all bits are turned round.
 */
function pushSignedOrdered(out: number[], value: number): void {
  const magnitude = value < 0 ? -1 - value : value;
  let length = 1;
  while (magnitude >= 2 ** (7 * length - 1)) length++; // a length of n bytes holds 7n - 1 bits and the sign
  const bytes = bigEndian(magnitude);
  while (bytes.length < length) bytes.unshift(0);
  const header = 0xffff & ~(0xffff >>> length); // `length` ones from the left
  bytes[0]! ^= header >>> 8;
  if (length > 1) bytes[1]! ^= header & 0xff;
  for (const byte of bytes) out.push(value < 0 ? byte ^ 0xff : byte);
}

function bigEndian(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return bytes;
}
