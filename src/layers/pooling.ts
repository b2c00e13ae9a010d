/** @file Pooling over images and volumes. @see TensorFlow python/keras/layers/pooling.py */

import type { Output } from "../graph/index.ts";
import { transpose } from "../ops/index.ts";
import {
  type DataFormat,
  type LayerOptions,
  layer,
  needDim,
  type Padding,
  type Pair,
  pairOf,
  spread,
  type Triple,
  tfFormat,
  tripleOf,
} from "./layer.ts";

export interface PoolingOptions extends LayerOptions {
  /** "valid" */
  readonly padding?: Padding;
  /** "channels_last" */
  readonly dataFormat?: DataFormat;
}

function pool(
  type: "MaxPool" | "AvgPool",
  baseName: string,
  x: Output,
  size: Pair,
  strides: Pair,
  o: PoolingOptions,
): Output {
  const { padding = "valid", dataFormat = "channels_last" } = o;
  needDim(x, dataFormat === "channels_last" ? -1 : 1, 4, "channel");
  return layer(x, baseName, o, ({ graph }) =>
    graph.add(type, [x], {
      attrs: {
        ksize: spread(pairOf(size), dataFormat),
        strides: spread(pairOf(strides), dataFormat),
        padding: padding.toUpperCase(),
        data_format: tfFormat(dataFormat),
      },
    }),
  );
}

/** The largest of each window. @param x - [batch, h, w, channels] */
export const maxPooling2d = (
  x: Output,
  poolSize: Pair,
  strides: Pair,
  options: PoolingOptions = {},
): Output => pool("MaxPool", "max_pooling2d", x, poolSize, strides, options);

/** The mean of each window; padding does not count. @param x - [batch, h, w, channels] */
export const averagePooling2d = (
  x: Output,
  poolSize: Pair,
  strides: Pair,
  options: PoolingOptions = {},
): Output => pool("AvgPool", "average_pooling2d", x, poolSize, strides, options);

/** Volumes with their channels first are moved to the end and back, as TensorFlow's layer does. */
function pool3d(
  type: "MaxPool3D" | "AvgPool3D",
  baseName: string,
  x: Output,
  size: Triple,
  strides: Triple,
  o: PoolingOptions,
): Output {
  const { padding = "valid", dataFormat = "channels_last" } = o;
  needDim(x, dataFormat === "channels_last" ? -1 : 1, 5, "channel");
  const pooled = (v: Output): Output =>
    v.graph.add(type, [v], {
      attrs: {
        ksize: spread(tripleOf(size), "channels_last"),
        strides: spread(tripleOf(strides), "channels_last"),
        padding: padding.toUpperCase(),
      },
    });
  return layer(x, baseName, o, () => {
    if (dataFormat === "channels_last") return pooled(x);
    return transpose(pooled(transpose(x, [0, 2, 3, 4, 1])), [0, 4, 1, 2, 3]);
  });
}

/** The largest of each window. @param x - [batch, d, h, w, channels] */
export const maxPooling3d = (
  x: Output,
  poolSize: Triple,
  strides: Triple,
  options: PoolingOptions = {},
): Output => pool3d("MaxPool3D", "max_pooling3d", x, poolSize, strides, options);

/** The mean of each window; padding does not count. @param x - [batch, d, h, w, channels] */
export const averagePooling3d = (
  x: Output,
  poolSize: Triple,
  strides: Triple,
  options: PoolingOptions = {},
): Output => pool3d("AvgPool3D", "average_pooling3d", x, poolSize, strides, options);

function globalPool(type: "Max" | "Mean", baseName: string, x: Output, o: GlobalPoolingOptions): Output {
  const { dataFormat = "channels_last", keepDims = false } = o;
  return layer(x, baseName, o, ({ graph }) =>
    graph.nameScope(type, (scope) => {
      const axes = dataFormat === "channels_last" ? [1, 2] : [2, 3];
      const over = graph.constant(axes, { dtype: "int32", name: "reduction_indices" });
      return graph.add(type, [x, over], { name: scope, attrs: { keep_dims: keepDims } });
    }),
  );
}

export interface GlobalPoolingOptions extends LayerOptions {
  /** "channels_last" */
  readonly dataFormat?: DataFormat;
  /** keeps height and width as 1: false */
  readonly keepDims?: boolean;
}

/** The mean of each channel over the whole image: [batch, channels]. */
export const globalAveragePooling2d = (x: Output, options: GlobalPoolingOptions = {}): Output =>
  globalPool("Mean", "global_average_pooling2d", x, options);

/** The largest value of each channel over the whole image: [batch, channels]. */
export const globalMaxPooling2d = (x: Output, options: GlobalPoolingOptions = {}): Output =>
  globalPool("Max", "global_max_pooling2d", x, options);
