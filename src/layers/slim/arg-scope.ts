/**
 * @file slim's layers as one value, and that value with other defaults. slim itself keeps default arguments on a stack of the process; here nothing
 * is hidden, so `argScope` gives layers that have them. Start at `slim`.
 *
 * @see tf_slim ops/arg_scope.py
 */

import type { Output } from "../../graph/index.ts";
import type { Pair } from "../layer.ts";
import { type BatchNormOptions, batchNorm } from "./batch-norm.ts";
import {
  conv2d,
  conv2dTranspose,
  type SlimConvOptions,
  type SlimSeparableOptions,
  type SlimTransposeOptions,
  separableConv2d,
} from "./conv.ts";
import {
  avgPool2d,
  dropout,
  flatten,
  fullyConnected,
  maxPool2d,
  type SlimDropoutOptions,
  type SlimPoolOptions,
  softmax,
} from "./dense.ts";
import { slimVarianceScaling, xavierInitializer } from "./initializers.ts";
import type { SlimOptions, SlimScopeOptions } from "./layer.ts";
import { slimL1, slimL1L2, slimL2 } from "./regularizers.ts";
import { repeat, stack } from "./repeat.ts";

/** Options by the layer that takes them. */
export interface SlimLayerOptions {
  readonly conv2d: SlimConvOptions;
  readonly conv2dTranspose: SlimTransposeOptions;
  readonly separableConv2d: SlimSeparableOptions;
  readonly fullyConnected: SlimOptions;
  readonly batchNorm: BatchNormOptions;
  readonly maxPool2d: SlimPoolOptions;
  readonly avgPool2d: SlimPoolOptions;
  readonly dropout: SlimDropoutOptions;
  readonly flatten: SlimScopeOptions;
  readonly softmax: SlimScopeOptions;
}

/** Options that all layers `K` take. */
export type SlimDefaults<K extends keyof SlimLayerOptions> = {
  readonly [P in keyof SlimLayerOptions[K]]?: SlimLayerOptions[K][P];
};

type Convolution<N, K extends keyof SlimLayerOptions> = (
  x: Output,
  numOutputs: N,
  kernelSize: Pair,
  options?: SlimLayerOptions[K],
) => Output;
type Pooling<K extends keyof SlimLayerOptions> = (
  x: Output,
  kernelSize: Pair,
  options?: SlimLayerOptions[K],
) => Output;
type Simple<K extends keyof SlimLayerOptions> = (x: Output, options?: SlimLayerOptions[K]) => Output;

/** slim's layers, with some defaults. */
export interface Slim {
  readonly conv2d: Convolution<number, "conv2d">;
  readonly conv2dTranspose: Convolution<number, "conv2dTranspose">;
  readonly separableConv2d: Convolution<number | null, "separableConv2d">;
  readonly fullyConnected: (x: Output, numOutputs: number, options?: SlimOptions) => Output;
  readonly batchNorm: Simple<"batchNorm">;
  readonly maxPool2d: Pooling<"maxPool2d">;
  readonly avgPool2d: Pooling<"avgPool2d">;
  readonly dropout: Simple<"dropout">;
  readonly flatten: Simple<"flatten">;
  readonly softmax: Simple<"softmax">;
  readonly repeat: typeof repeat;
  readonly stack: typeof stack;
  readonly xavierInitializer: typeof xavierInitializer;
  readonly varianceScalingInitializer: typeof slimVarianceScaling;
  readonly l1Regularizer: typeof slimL1;
  readonly l2Regularizer: typeof slimL2;
  readonly l1L2Regularizer: typeof slimL1L2;
  /** These layers with other defaults for some of them; a call's own options come first, then the innermost defaults. */
  argScope<K extends keyof SlimLayerOptions>(layers: readonly K[], defaults: SlimDefaults<K>): Slim;
}

type Defaults = Partial<SlimLayerOptions>;

const withDefaults = (d: Defaults): Slim => ({
  conv2d: (x, n, size, o) => conv2d(x, n, size, { ...d.conv2d, ...o }),
  conv2dTranspose: (x, n, size, o) => conv2dTranspose(x, n, size, { ...d.conv2dTranspose, ...o }),
  separableConv2d: (x, n, size, o) => separableConv2d(x, n, size, { ...d.separableConv2d, ...o }),
  fullyConnected: (x, n, o) => fullyConnected(x, n, { ...d.fullyConnected, ...o }),
  batchNorm: (x, o) => batchNorm(x, { ...d.batchNorm, ...o }),
  maxPool2d: (x, size, o) => maxPool2d(x, size, { ...d.maxPool2d, ...o }),
  avgPool2d: (x, size, o) => avgPool2d(x, size, { ...d.avgPool2d, ...o }),
  dropout: (x, o) => dropout(x, { ...d.dropout, ...o }),
  flatten: (x, o) => flatten(x, { ...d.flatten, ...o }),
  softmax: (x, o) => softmax(x, { ...d.softmax, ...o }),
  repeat,
  stack,
  xavierInitializer,
  varianceScalingInitializer: slimVarianceScaling,
  l1Regularizer: slimL1,
  l2Regularizer: slimL2,
  l1L2Regularizer: slimL1L2,
  argScope: (layers, defaults) =>
    withDefaults({ ...d, ...Object.fromEntries(layers.map((k) => [k, { ...d[k], ...defaults }])) }),
});

/** slim's layers as tf_slim has them: variables `weights` and `biases`, or `BatchNorm/...` of a normalizer; relu. */
export const slim: Slim = withDefaults({});
