/** @file Tensors as pictures: a line for vectors, a map for matrices, tiles for kernels of convolutions. Start at `pictureBox`. */

import {
  type Box,
  type Element,
  getElement,
  isComplex,
  isStatic,
  type Shape,
  sizeOf,
  type Tensor,
} from "../base/index.ts";
import type { Picture } from "./protocol.ts";

const LINE = 1024;
const SIDE = 256;
const TILES = 16;
/** Kernels up to this size are shown as tiles. */
const KERNEL = 16;

const times = (dims: readonly number[]): string => dims.map((d) => d.toLocaleString("en-US")).join(" × ");

/** The part of a tensor that a picture shows; null where there is none to show. */
export function pictureBox(shape: Shape | null): Box | null {
  if (!isStatic(shape) || sizeOf(shape) < 2) return null;
  const size = isKernel(shape)
    ? [shape[0]!, shape[1]!, shape[2] === 3 ? 3 : Math.min(shape[2]!, TILES), Math.min(shape[3]!, TILES)]
    : folded(shape);
  return { start: shape.map(() => 0), size };
}

const isKernel = (shape: readonly number[]): boolean =>
  shape.length === 4 && shape[0]! * shape[1]! > 1 && shape[0]! <= KERNEL && shape[1]! <= KERNEL;

/** The first rows and columns of a shape, its leading dims taken together. */
function folded(shape: readonly number[]): number[] {
  if (shape.length === 1) return [Math.min(shape[0]!, LINE)];
  const size = shape.map(() => 1);
  size[shape.length - 1] = Math.min(shape.at(-1)!, SIDE);
  for (let axis = shape.length - 2, rows = SIDE; axis >= 0 && rows > 0; axis--) {
    size[axis] = Math.min(shape[axis]!, rows);
    rows = Math.floor(rows / shape[axis]!);
  }
  return size;
}

/** The picture of the part that `pictureBox` named. */
export function pictureOf(t: Tensor, shape: readonly number[]): Picture {
  const values = numbers(t);
  const isWhole = sizeOf(t.shape) === sizeOf(shape);
  if (isKernel(shape)) return tiles(values, t.shape, shape);
  const columns = t.shape.at(-1)!;
  const rows = values.length / columns;
  const caption = isWhole ? times(shape) : `first ${times(t.shape)} of ${times(shape)}`;
  const kind = rows === 1 && shape.length === 1 ? "line" : "map";
  return { kind, values, rows, columns, across: 1, channels: 1, caption };
}

/** Kernels [h, w, in, out]: a tile for each pair of channels, or one in colour for each output where three come in. */
function tiles(values: Float32Array, size: readonly number[], shape: readonly number[]): Picture {
  const [h, w, ins, outs] = size as [number, number, number, number];
  const isColour = ins === 3;
  const channels = isColour ? 3 : 1;
  const out = new Float32Array(values.length);
  for (let i = 0; i < ins; i++) {
    for (let o = 0; o < outs; o++) {
      for (let p = 0; p < h * w; p++) {
        const from = (p * ins + i) * outs + o;
        out[isColour ? (o * h * w + p) * 3 + i : (i * outs + o) * h * w + p] = values[from]!;
      }
    }
  }
  const shown = isColour
    ? `${outs} of ${shape[3]} outputs, in colour`
    : `${ins} of ${shape[2]} inputs (down) × ${outs} of ${shape[3]} outputs (across)`;
  return {
    kind: "tiles",
    values: out,
    rows: h,
    columns: w,
    across: isColour ? Math.min(outs, 8) : outs,
    channels,
    caption: `${h} × ${w} kernels: ${shown}`,
  };
}

function numbers(t: Tensor): Float32Array {
  if (t.data instanceof Float32Array && !isComplex(t.dtype)) return t.data.slice();
  return Float32Array.from({ length: sizeOf(t.shape) }, (_, i) => number(getElement(t, i)));
}

const number = (x: Element): number => (Array.isArray(x) ? Math.hypot(x[0], x[1]) : Number(x));
