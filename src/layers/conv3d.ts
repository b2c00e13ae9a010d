/**
 * @file Convolutions over volumes: `conv3d`, which is conv.ts's with a third axis, and its transpose.
 *
 * @see TensorFlow python/keras/layers/convolutional.py "Conv3D", "Conv3DTranspose"
 */

import { mergeShapes, type Shape } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import { index, shape as shapeOf } from "../ops/index.ts";
import { addOpWith } from "../variables/index.ts";
import {
  biasOf,
  type ConvOptions,
  channelsOf,
  convolution,
  type DilatedConvOptions,
  finish,
  kernelOptions,
  packed,
} from "./conv.ts";
import { layer, spread, type Triple, tripleOf, volumeFormat } from "./layer.ts";

/**
 * A convolution over volumes, with variables `kernel` [kd, kh, kw, in, filters] and `bias` [filters].
 *
 * @param x - float [batch, d, h, w, in] (NCDHW where channels come first)
 * @throws VarscopeError INVALID_ARGUMENT - the channels are not known
 */
export const conv3d = (
  x: Output,
  filters: number,
  kernelSize: Triple,
  options: DilatedConvOptions<Triple> = {},
): Output =>
  convolution(x, filters, options, {
    size: tripleOf(kernelSize),
    strides: tripleOf(options.strides ?? 1),
    rate: tripleOf(options.dilationRate ?? 1),
  });

/**
 * The transpose of a convolution over volumes: makes them larger. Variables `kernel` [kd, kh, kw, filters, in] and `bias`. "same" gives
 * d · stride, "valid" d · stride + max(kd - stride, 0).
 *
 * @throws VarscopeError INVALID_ARGUMENT - the channels are not known
 */
export function conv3dTranspose(
  x: Output,
  filters: number,
  kernelSize: Triple,
  options: ConvOptions<Triple> = {},
): Output {
  const { dataFormat = "channels_last", padding = "valid" } = options;
  const [size, strides] = [tripleOf(kernelSize), tripleOf(options.strides ?? 1)];
  return layer(x, "conv3d_transpose", options, (l) => {
    const { graph: g } = l;
    const kernel = l.weight(
      "kernel",
      [...size, filters, channelsOf(x, dataFormat, 5)],
      kernelOptions(options),
    );
    const bias = biasOf(l, filters, options);
    const first = dataFormat === "channels_first" ? 2 : 1;
    const inDims = shapeOf(x);
    const [batch, ...sides] = [0, first, first + 1, first + 2].map((i) => index(inDims, [i]));
    const more = size.map((k, i) => (padding === "valid" ? Math.max(k - strides[i]!, 0) : null));
    const larger = sides.map((d, i) => {
      const scaled = g.add("Mul", [d, strides[i]!], { name: "mul" });
      return more[i] === null ? scaled : g.add("AddV2", [scaled, more[i]!], { name: "add" });
    });
    const known = sides.map((_, i): number | null => {
      const d = x.shape![first + i] ?? null;
      return d === null ? null : d * strides[i]! + (more[i] ?? 0);
    });
    const place = <D>(n: D, spatial: readonly D[], c: D): D[] =>
      first === 1 ? [n, ...spatial, c] : [n, c, ...spatial];
    const outDims = packed(g, place<Output | number>(batch!, larger, filters));
    const op = addOpWith(g, "Conv3DBackpropInputV2", [outDims, kernel, x], {
      name: "conv3d_transpose",
      attrs: {
        strides: spread(strides, dataFormat),
        padding: padding.toUpperCase(),
        data_format: volumeFormat(dataFormat),
      },
    });
    const y = op.output(0);
    const shape: Shape = place<number | null>(x.shape![0] ?? null, known, filters);
    y.shape = mergeShapes(y.shape, shape);
    return finish(l, y, options, bias);
  });
}
