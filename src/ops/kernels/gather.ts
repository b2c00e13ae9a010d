/** @file Reading and writing at index tuples. Start at `gatherAlong`; rows of the first axis alone are in accumulate.ts. */

import {
  type Element,
  getElement,
  setElement,
  sizeOf,
  type Tensor,
  VarscopeError,
  zeros,
} from "../../base/index.ts";
import { copyOf, rowsOf } from "./accumulate.ts";
import { pick } from "./pick.ts";

/**
 * result[b, o, i, r] = params[b, o, indices[b, i], r]: `batchDims` axes b in common, the axes o up to `axis`, the rest r.
 * @throws VarscopeError INVALID_ARGUMENT - an index outside
 */
export function gatherAlong(params: Tensor, indices: Tensor, axis: number, batchDims: number): Tensor {
  const dims = params.shape;
  const limit = dims[axis]!;
  const [batch, outer, inner] = [dims.slice(0, batchDims), dims.slice(batchDims, axis), dims.slice(axis + 1)];
  const shape = [...dims.slice(0, axis), ...indices.shape.slice(batchDims), ...inner];
  const rows = rowsOf(indices, limit);
  const [nb, no, ni] = [sizeOf(batch), sizeOf(outer), sizeOf(inner)];
  const each = rows.length / Math.max(1, nb);
  const sources = new Int32Array(sizeOf(shape));
  let at = 0;
  for (let b = 0; b < nb; b++) {
    for (let o = 0; o < no; o++) {
      for (let i = 0; i < each; i++) {
        const base = ((b * no + o) * limit + rows[b * each + i]!) * ni;
        for (let r = 0; r < ni; r++) sources[at++] = base + r;
      }
    }
  }
  return pick(params, shape, sources);
}

/** Flat position of each index tuple among the leading dims; -1 where it is outside and `ignore` allows that. */
function tuplePlaces(indices: Tensor, dims: readonly number[], ignore: boolean): Int32Array {
  const depth = indices.shape.at(-1)!;
  const outer = indices.shape.slice(0, -1);
  const data = indices.data as Int32Array;
  return Int32Array.from({ length: sizeOf(outer) }, (_, i) => {
    let place = 0;
    for (let k = 0; k < depth; k++) {
      const at = Number(data[i * depth + k]!);
      if (at < 0 || at >= dims[k]!) {
        if (ignore) return -1;
        throw outside(indices, dims, i, depth);
      }
      place = place * dims[k]! + at;
    }
    return place;
  });
}

function outside(indices: Tensor, dims: readonly number[], flat: number, depth: number): VarscopeError {
  const outer = indices.shape.slice(0, -1);
  const at: number[] = [];
  let rest = flat;
  for (const d of [...outer].reverse()) {
    at.unshift(rest % d);
    rest = Math.floor(rest / d);
  }
  const tuple = Array.from((indices.data as Int32Array).subarray(flat * depth, (flat + 1) * depth), Number);
  const where = at.length === 0 ? "" : `[${at.join(",")}]`;
  return new VarscopeError(
    "INVALID_ARGUMENT",
    `indices${where} = [${tuple.join(", ")}] does not index into param shape [${dims.join(",")}]`,
  );
}

/** Slices of `params` at index tuples. @param ignore - zeros for a tuple outside, instead of an error */
export function gatherNd(params: Tensor, indices: Tensor, ignore: boolean): Tensor {
  const depth = indices.shape.at(-1)!;
  const tail = params.shape.slice(depth);
  const width = sizeOf(tail);
  const places = tuplePlaces(indices, params.shape, ignore);
  const sources = new Int32Array(places.length * width);
  places.forEach((place, i) => {
    for (let j = 0; j < width; j++) sources[i * width + j] = place < 0 ? -1 : place * width + j;
  });
  return pick(params, [...indices.shape.slice(0, -1), ...tail], sources);
}

export type Combine = "set" | "add" | "sub" | "max" | "min";

type Value = number | bigint;
const isNan = (x: Value): boolean => typeof x === "number" && Number.isNaN(x);
const COMBINE: Record<Exclude<Combine, "set">, (a: Value, b: Value) => Value> = {
  add: (a, b) => (a as number) + (b as number),
  sub: (a, b) => (a as number) - (b as number),
  max: (a, b) => (b > a || isNan(b) ? b : a),
  min: (a, b) => (b < a || isNan(b) ? b : a),
};

/** `target` with slices at index tuples combined with `updates`, one after the other. */
export function scatterNd(
  target: Tensor,
  indices: Tensor,
  updates: Tensor,
  how: Combine,
  ignore: boolean,
): Tensor {
  const depth = indices.shape.at(-1)!;
  const width = sizeOf(target.shape.slice(depth));
  const places = tuplePlaces(indices, target.shape, ignore);
  const out = copyOf(target);
  places.forEach((place, i) => {
    if (place < 0) return;
    for (let j = 0; j < width; j++) combineElement(out, place * width + j, updates, i * width + j, how);
  });
  return out;
}

function combineElement(out: Tensor, at: number, updates: Tensor, from: number, how: Combine): void {
  setElement(out, at, combined(getElement(out, at), getElement(updates, from), how));
}

function combined(old: Element, update: Element, how: Combine): Element {
  if (how === "set") return update;
  if (!Array.isArray(old)) return COMBINE[how](old as Value, update as Value);
  const [c, d] = update as readonly [number, number];
  const sign = how === "sub" ? -1 : 1;
  return [old[0] + sign * c, old[1] + sign * d];
}

/**
 * Rows of `data` summed by segment. @param count - number of segments; rows of a negative segment are left out
 * @throws VarscopeError INVALID_ARGUMENT - a segment beyond the last
 */
export function segmentSum(
  data: Tensor,
  segments: readonly number[],
  count: number,
  tail: readonly number[],
): Tensor {
  const width = sizeOf(tail);
  const out = zeros(data.dtype, [count, ...tail]);
  segments.forEach((row, i) => {
    if (row < 0) return;
    if (row >= count) {
      throw new VarscopeError("INVALID_ARGUMENT", `segment_ids[${i}] = ${row} is out of range [0, ${count})`);
    }
    for (let j = 0; j < width; j++) combineElement(out, row * width + j, data, i * width + j, "add");
  });
  return out;
}
