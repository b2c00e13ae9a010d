/** @file Layers and losses as functions on graphs, after tf.layers and tf.losses of TensorFlow 1. Start at layer.ts. */

export { type BatchNormalizationOptions, batchNormalization } from "./batch-norm.ts";
export type { RenormClipping } from "./batch-renorm.ts";
export {
  type ConvOptions,
  conv2d,
  conv2dTranspose,
  type DilatedConvOptions,
  type SeparableConvOptions,
  separableConv2d,
} from "./conv.ts";
export { conv3d, conv3dTranspose } from "./conv3d.ts";
export {
  type DenseOptions,
  type DropoutOptions,
  dense,
  dropout,
  type FlattenOptions,
  flatten,
} from "./dense.ts";
export type { Activation, DataFormat, LayerOptions, Padding, Pair, Triple, WeightsOptions } from "./layer.ts";
export {
  getLosses,
  getRegularizationLoss,
  getTotalLoss,
  type LossOptions,
  meanSquaredError,
  type Reduction,
  softmaxCrossEntropy,
  sparseSoftmaxCrossEntropy,
} from "./losses.ts";
export { moments, type NormalizeOptions, normalize, weightedMoments } from "./moments.ts";
export {
  averagePooling2d,
  averagePooling3d,
  type GlobalPoolingOptions,
  globalAveragePooling2d,
  globalMaxPooling2d,
  maxPooling2d,
  maxPooling3d,
  type PoolingOptions,
} from "./pooling.ts";
export { l1Regularizer, l2Regularizer } from "./regularizers.ts";
export {
  type BatchNormInitializers,
  type BatchNormOptions,
  batchNorm,
  type Collections,
  type Slim,
  type SlimConvOptions,
  type SlimDefaults,
  type SlimDropoutOptions,
  type SlimLayerOptions,
  type SlimOptions,
  type SlimPoolOptions,
  type SlimScalingOptions,
  type SlimScopeOptions,
  type SlimSeparableOptions,
  type SlimTransposeOptions,
  slim,
  type VariablesCollections,
} from "./slim/index.ts";
