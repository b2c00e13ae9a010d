/**
 * @file PNG images of 8-bit channels, and how a summary makes bytes of float pixels. Start at `writePng`.
 *
 * @see www.w3.org/TR/png-3; TensorFlow core/kernels/summary_image_op.cc
 */

import { zlibSync } from "fflate";
import { crc32, joinBytes } from "../../base/index.ts";

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Color types of 1, 3 and 4 channels: grey, RGB, RGBA. */
const COLOR_TYPES: Readonly<Record<number, number>> = { 1: 0, 3: 2, 4: 6 };

/** Pixels of an image, row by row: `channels` bytes each. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** 1, 3 or 4 */
  readonly channels: number;
  readonly bytes: Uint8Array;
}

/** An image as a PNG file. */
export function writePng({ width, height, channels, bytes }: Pixels): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOR_TYPES[channels]!], 8); // bits of a channel; the rest is 0: deflate, adaptive filters, not interlaced
  return joinBytes([
    SIGNATURE,
    chunk("IHDR", header),
    chunk("IDAT", zlibSync(filtered({ width, height, channels, bytes }))),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/** Rows as differences to the row above (filter 2), which smooth images compress well by; the first has none. */
function filtered({ width, height, channels, bytes }: Pixels): Uint8Array {
  const row = width * channels;
  const out = new Uint8Array(height * (row + 1));
  for (let y = 0; y < height; y++) {
    const to = y * (row + 1);
    out[to] = 2;
    for (let x = 0; x < row; x++) {
      const at = y * row + x;
      out[to + 1 + x] = bytes[at]! - (y === 0 ? 0 : bytes[at - row]!);
    }
  }
  return out;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(data.length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

/** A largest value below this is taken for 0. @see TensorFlow summary_image_op.cc "kZeroThreshold" */
const ZERO = 1e-6;

/**
 * Bytes of float pixels: [0, largest] becomes [0, 255]; where some are negative, [-m, m] becomes [1, 255] with m the largest magnitude.
 * Pixels that are not finite get `bad`.
 *
 * @param round - to the pixels' own precision
 */
export function bytesOfFloats(
  values: readonly number[],
  channels: number,
  bad: Uint8Array,
  round: (x: number) => number,
): Uint8Array {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  const pixels = Array.from({ length: values.length / channels }, (_, i) => {
    const pixel = values.slice(i * channels, (i + 1) * channels);
    if (!pixel.every(Number.isFinite)) return null;
    low = Math.min(low, ...pixel);
    high = Math.max(high, ...pixel);
    return pixel;
  });
  const signed = low < 0;
  const most = signed ? Math.max(-low, Math.abs(high)) : high;
  const scale = most < ZERO ? 0 : round((signed ? 127 : 255) / most);
  const offset = signed ? 128 : 0;
  const out = new Uint8Array(values.length);
  for (const [i, pixel] of pixels.entries()) {
    const bytes = pixel?.map((v) => Math.trunc(round(round(v * scale) + offset)));
    out.set(bytes ?? bad.subarray(0, channels), i * channels);
  }
  return out;
}
