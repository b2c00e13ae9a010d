/** @file The values of a variable that is to be written, slice by slice. Start at `slicePieces`. */

import {
  type Box,
  formatShape,
  isComplex,
  sameShape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import {
  cutBox,
  gatherValues,
  needRunning,
  type ReadOptions,
  type WritableVariable,
} from "../collection/index.ts";

/** A slice, by its number, with its values; they must be taken before the next slice. */
export interface PiecesOfSlice {
  readonly slice: number;
  readonly pieces: AsyncIterable<Tensor>;
}

/**
 * The values of boxes, in their order. Boxes that are runs of rows, one after the other, pass as they come; else the variable is
 * gathered first.
 *
 * @throws VarscopeError INVALID_ARGUMENT - the variable gives fewer or more values than its shape has
 */
export async function* slicePieces(
  v: WritableVariable,
  boxes: readonly Box[],
  options: ReadOptions,
): AsyncGenerator<PiecesOfSlice> {
  if (boxes.length > 1 && !areRuns(v.shape, boxes)) {
    const whole = await gatherValues(v, options);
    for (const [slice, box] of boxes.entries()) yield { slice, pieces: once(cutBox(whole, box)) };
    return;
  }
  const values = takeFrom(v, options);
  for (const [slice, box] of boxes.entries()) yield { slice, pieces: values.take(sizeOf(box.size)) };
  await values.finish();
}

async function* once(t: Tensor): AsyncGenerator<Tensor> {
  yield t;
}

/** Whether the boxes are all rows, in order. */
function areRuns(shape: readonly number[], boxes: readonly Box[]): boolean {
  let next = 0;
  for (const { start, size } of boxes) {
    if (start[0] !== next || !sameShape(size.slice(1), shape.slice(1))) return false;
    next += size[0]!;
  }
  return next === shape[0];
}

interface Taken {
  /** The next `count` values. */
  take(count: number): AsyncGenerator<Tensor>;
  /** Makes sure that none is left. */
  finish(): Promise<void>;
}

function takeFrom(v: WritableVariable, options: ReadOptions): Taken {
  const width = isComplex(v.dtype) ? 2 : 1;
  const source = v.values(options)[Symbol.asyncIterator]();
  let held: Tensor["data"] = [];
  const wrong = (what: string): VarscopeError =>
    new VarscopeError("INVALID_ARGUMENT", `it gives ${what} values than ${formatShape(v.shape)} has`, {
      at: v.name,
    });
  const more = async (): Promise<boolean> => {
    const { value, done } = await source.next();
    if (!done) held = value.data;
    return !done;
  };
  return {
    async *take(count) {
      for (let left = count * width; left > 0; ) {
        needRunning(options.signal, v.name);
        if (held.length === 0 && !(await more())) throw wrong("fewer");
        const data = part(held, 0, left);
        held = part(held, data.length, held.length);
        left -= data.length;
        if (data.length > 0) yield { dtype: v.dtype, shape: [data.length / width], data };
      }
    },
    finish: async () => {
      while (held.length === 0) if (!(await more())) return;
      throw wrong("more");
    },
  };
}

const part = (data: Tensor["data"], from: number, to: number): Tensor["data"] =>
  ArrayBuffer.isView(data) ? (data as Uint8Array).subarray(from, to) : data.slice(from, to);
