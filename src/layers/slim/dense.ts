/** @file slim's layers without a window, and its pooling. @see tf_slim layers/layers.py */

import { mergeShapes } from "../../base/index.ts";
import type { Output } from "../../graph/index.ts";
import { softmax as matrixSoftmax, reshape, shape } from "../../ops/index.ts";
import * as layers from "../dense.ts";
import { needDim, type Pair } from "../layer.ts";
import { averagePooling2d, maxPooling2d } from "../pooling.ts";
import {
  kernelOptions,
  layerOptions,
  normalized,
  type SlimOptions,
  type SlimScopeOptions,
  slimLayer,
} from "./layer.ts";

/**
 * x · weights + biases over the last axis, then relu; with a normalizer no biases. Scopes: `fully_connected`.
 *
 * @param x - float [..., in]
 * @throws VarscopeError INVALID_ARGUMENT - the last dim is not known
 */
export const fullyConnected = (x: Output, numOutputs: number, o: SlimOptions = {}): Output =>
  normalized(x, "fully_connected", o, (scope, hasBiases) =>
    layers.dense(x, numOutputs, { ...layerOptions(scope, hasBiases, o), ...kernelOptions(o) }),
  );

/** [batch, ...] as [batch, product of the rest]. Scopes: `Flatten`. */
export const flatten = (x: Output, o: SlimScopeOptions = {}): Output =>
  slimLayer(x, "Flatten", o, () => layers.flatten(x));

/**
 * exp(x) over its sum along the last axis, through a matrix. Scopes: `softmax`.
 *
 * @throws VarscopeError INVALID_ARGUMENT - the last dim is not known
 */
export const softmax = (x: Output, o: SlimScopeOptions = {}): Output =>
  slimLayer(x, "softmax", o, () => {
    const rows = reshape(x, [-1, needDim(x, -1, null, "last")]);
    const y = reshape(matrixSoftmax(rows), shape(x));
    y.shape = mergeShapes(y.shape, x.shape);
    return y;
  });

export interface SlimDropoutOptions extends SlimScopeOptions {
  /** probability that an element is kept: 0.5 */
  readonly keepProb?: number;
  /** true */
  readonly isTraining?: boolean | Output;
  readonly seed?: number;
}

/** Zeroes elements with probability 1 - keepProb while training and scales the rest. Scopes: `Dropout`. @throws VarscopeError as tf.layers' */
export const dropout = (x: Output, o: SlimDropoutOptions = {}): Output =>
  slimLayer(x, "Dropout", o, (scope) =>
    layers.dropout(x, 1 - (o.keepProb ?? 0.5), {
      scope,
      training: o.isTraining ?? true,
      ...(o.seed !== undefined && { seed: o.seed }),
    }),
  );

export interface SlimPoolOptions extends SlimScopeOptions {
  /** 2 */
  readonly stride?: Pair;
  /** "VALID" */
  readonly padding?: "SAME" | "VALID";
  /** "NHWC" */
  readonly dataFormat?: "NHWC" | "NCHW";
}

const pool =
  (name: string, of: typeof maxPooling2d) =>
  (x: Output, kernelSize: Pair, o: SlimPoolOptions = {}): Output =>
    slimLayer(x, name, o, (scope) =>
      of(x, kernelSize, o.stride ?? 2, {
        scope,
        padding: o.padding === "SAME" ? "same" : "valid",
        dataFormat: o.dataFormat === "NCHW" ? "channels_first" : "channels_last",
      }),
    );

/** The largest of each window; stride 2. Scopes: `MaxPool2D`. @param x - [batch, h, w, channels] */
export const maxPool2d = pool("MaxPool2D", maxPooling2d);

/** The mean of each window; stride 2. Scopes: `AvgPool2D`. @param x - [batch, h, w, channels] */
export const avgPool2d = pool("AvgPool2D", averagePooling2d);
