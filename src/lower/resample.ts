/**
 * @file Images resampled along rows and columns: one matrix product for each, in whatever layout the image has. The weights are the op's
 * own, so that every method and every gradient of one is the same two products. An element that is infinite or NaN makes NaN of all
 * results of its row and column: a product multiplies by 0 what TensorFlow does not look at.
 */

import type { Tensor } from "../base/index.ts";
import type { OnnxValue } from "../graph/index.ts";
import type { Emitter } from "./emitter.ts";
import type { Layouts } from "./layout.ts";
import { imageDims, plainValue, type Value } from "./value.ts";

/** The image seen as [outer, height, width, inner], whatever that is in its layout. */
interface View {
  readonly size: readonly [number, number];
  readonly inner: number;
}

/** Below so many channels, products of pixels are slow: planes are 2 to 6 times quicker, the transpose included. */
const THIN = 32;

/**
 * Rows and columns of a float32 image.
 *
 * @param image - NHWC in TensorFlow's terms; height, width and channels are known
 * @param rows - float32 [new height, height]
 * @param columns - float32 [new width, width]
 */
export function resample(layouts: Layouts, image: OnnxValue, rows: Tensor, columns: Tensor): Value {
  const x = image as Value;
  const e = layouts.emitter;
  const { n, c, h, w } = imageDims(x.shape!, 3);
  const [height, width] = [rows.shape[0]!, columns.shape[0]!];
  const shape = [n, height, width, c];
  if (x.layout === "nchw" || (x.layout === "plain" && c! < THIN)) {
    const wide = e.emit("MatMul", [layouts.nchw(x, 3), e.constant(turned(columns))]);
    return layouts.channelsFirst(e.emit("MatMul", [e.constant(rows), wide]), shape, 3);
  }
  const inner = x.layout === "nchwc" ? layouts.block! : c!;
  const id = products(e, x.id, rows, columns, { size: [h!, w!], inner });
  if (x.layout === "nchwc") return layouts.blocked(e.reshape(id, [-1, c!, height, width]), shape, 3);
  return plainValue(e.reshape(id, [-1, height, width, c!]), "float32", shape);
}

function products(e: Emitter, x: string, rows: Tensor, columns: Tensor, { size, inner }: View): string {
  const tall = e.emit("MatMul", [e.constant(rows), e.reshape(x, [-1, size[0], size[1] * inner])]);
  return e.emit("MatMul", [e.constant(columns), e.reshape(tall, [-1, size[1], inner])]);
}

function turned(matrix: Tensor): Tensor {
  const [height, width] = matrix.shape as [number, number];
  const from = matrix.data as Float32Array;
  const data = new Float32Array(from.length);
  for (let i = 0; i < from.length; i++) data[(i % width) * height + Math.floor(i / width)] = from[i]!;
  return { dtype: "float32", shape: [width, height], data };
}

/** Every row and column of a float32 image repeated. */
export function repeat(layouts: Layouts, image: OnnxValue, rows: number, columns: number): Value {
  const x = image as Value;
  const { n, c, h, w } = imageDims(x.shape!, 3);
  const shape = [n, h! * rows, w! * columns, c];
  const attrs = { mode: "nearest", nearest_mode: "floor", coordinate_transformation_mode: "asymmetric" };
  const scaled = (id: string, factors: readonly number[]): string => {
    const scales = { dtype: "float32", shape: [4], data: Float32Array.from(factors) } as const;
    return layouts.emitter.emit("Resize", [id, "", layouts.emitter.constant(scales)], attrs);
  };
  if (x.layout === "plain") return plainValue(scaled(x.id, [1, rows, columns, 1]), "float32", shape);
  return layouts.channelsFirst(scaled(layouts.nchw(x, 3), [1, 1, rows, columns]), shape, 3);
}
