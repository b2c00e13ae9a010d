/** @file slim's convolutions: `weights` and `biases`, or a normalizer's variables. @see tf_slim layers/layers.py "convolution" */

import type { Output } from "../../graph/index.ts";
import { depthwiseConv2d } from "../../ops/index.ts";
import { addWith, getVariable, type Initializer, zerosInitializer } from "../../variables/index.ts";
import * as layers from "../conv.ts";
import { needDim, type Pair, pairOf } from "../layer.ts";
import { xavierInitializer } from "./initializers.ts";
import { kernelOptions, layerOptions, normalized, type SlimOptions } from "./layer.ts";

export interface SlimTransposeOptions extends SlimOptions {
  /** 1 */
  readonly stride?: Pair;
  /** "SAME" */
  readonly padding?: "SAME" | "VALID";
  /** "NHWC" */
  readonly dataFormat?: "NHWC" | "NCHW";
}

export interface SlimConvOptions extends SlimTransposeOptions {
  /** dilation: 1 */
  readonly rate?: Pair;
}

export interface SlimSeparableOptions extends SlimConvOptions {
  /** outputs of the depthwise convolution for each channel: 1 */
  readonly depthMultiplier?: number;
  /** `weightsInitializer` */
  readonly pointwiseInitializer?: Initializer;
}

const windowOptions = (o: SlimConvOptions) =>
  ({
    strides: o.stride ?? 1,
    padding: o.padding === "VALID" ? "valid" : "same",
    dataFormat: o.dataFormat === "NCHW" ? "channels_first" : "channels_last",
    dilationRate: o.rate ?? 1,
  }) as const;

/**
 * A convolution over images with variables `weights` [kh, kw, in, numOutputs] and `biases`, the latter only without a normalizer; then relu.
 * Scopes: `Conv`, `Conv_1`.
 *
 * @param x - float [batch, h, w, in] (NCHW where the format says so)
 * @throws VarscopeError as `conv2d` of tf.layers
 */
export const conv2d = (x: Output, numOutputs: number, kernelSize: Pair, o: SlimConvOptions = {}): Output =>
  normalized(x, "Conv", o, (scope, hasBiases) =>
    layers.conv2d(x, numOutputs, kernelSize, {
      ...layerOptions(scope, hasBiases, o),
      ...kernelOptions(o),
      ...windowOptions(o),
    }),
  );

/** The transpose of a convolution, `weights` [kh, kw, numOutputs, in]. Scopes: `Conv2d_transpose`. @throws VarscopeError as tf.layers' */
export const conv2dTranspose = (
  x: Output,
  numOutputs: number,
  kernelSize: Pair,
  o: SlimTransposeOptions = {},
): Output =>
  normalized(x, "Conv2d_transpose", o, (scope, hasBiases) =>
    layers.conv2dTranspose(x, numOutputs, kernelSize, {
      ...layerOptions(scope, hasBiases, o),
      ...kernelOptions(o),
      ...windowOptions(o),
    }),
  );

/**
 * A convolution for each channel, then one of 1x1 over all: `depthwise_weights` [kh, kw, in, multiplier], `pointwise_weights`, `biases`. With
 * `numOutputs` null the first of the two alone, as MobileNet has it. Scopes: `SeparableConv2d`.
 *
 * @throws VarscopeError UNIMPLEMENTED - a rate beside pointwise weights; and as tf.layers'
 */
export function separableConv2d(
  x: Output,
  numOutputs: number | null,
  kernelSize: Pair,
  o: SlimSeparableOptions = {},
): Output {
  const { weightsInitializer = xavierInitializer(), weightsRegularizer, depthMultiplier = 1 } = o;
  return normalized(x, "SeparableConv2d", o, (scope, hasBiases) => {
    if (numOutputs === null) return depthwise(x, kernelSize, hasBiases, o);
    return layers.separableConv2d(x, numOutputs, kernelSize, {
      ...layerOptions(scope, hasBiases, o),
      ...windowOptions(o),
      depthMultiplier,
      depthwiseInitializer: weightsInitializer,
      pointwiseInitializer: o.pointwiseInitializer ?? weightsInitializer,
      ...(weightsRegularizer && {
        depthwiseRegularizer: weightsRegularizer,
        pointwiseRegularizer: weightsRegularizer,
      }),
    });
  });
}

/** slim builds this of variables and ops, so a regularizer is probed before it is used, as `getVariable` does. */
function depthwise(x: Output, kernelSize: Pair, hasBiases: boolean, o: SlimSeparableOptions): Output {
  const { graph: g, dtype } = x;
  const { depthMultiplier = 1, dataFormat = "NHWC", trainable = true } = o;
  const channels = needDim(x, dataFormat === "NHWC" ? -1 : 1, 4, "channel");
  const weights = getVariable(g, "depthwise_weights", {
    shape: [...pairOf(kernelSize), channels, depthMultiplier],
    dtype,
    trainable,
    initializer: o.weightsInitializer ?? xavierInitializer(),
    ...(o.weightsRegularizer && { regularizer: o.weightsRegularizer }),
  });
  const y = g.nameScope("depthwise", (name) =>
    depthwiseConv2d(x, weights.value(), {
      name,
      dataFormat,
      padding: o.padding ?? "SAME",
      strides: [...pairOf(o.stride ?? 1)],
      dilations: pairOf(o.rate ?? 1),
    }),
  );
  if (!hasBiases) return y;
  const biases = getVariable(g, "biases", {
    shape: [depthMultiplier * channels],
    dtype,
    trainable,
    initializer: o.biasesInitializer ?? zerosInitializer(),
    ...(o.biasesRegularizer && { regularizer: o.biasesRegularizer }),
  });
  return addWith(g, "BiasAdd", [y, biases], { attrs: { data_format: dataFormat } });
}
