/** @file Pooling over images. @see TensorFlow python/keras/layers/pooling.py */

import type { Output } from "../graph/index.ts";
import {
  type DataFormat,
  type LayerOptions,
  layer,
  needDim,
  type Padding,
  type Pair,
  pairOf,
  spread,
  tfFormat,
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
