/**
 * @file slim's layers (once tf.contrib.layers), whose checkpoints half of the published TF1 models are: the same nodes and names. Networks are not
 * here. Start at arg-scope.ts.
 */

export { type Slim, type SlimDefaults, type SlimLayerOptions, slim } from "./arg-scope.ts";
export { type BatchNormInitializers, type BatchNormOptions, batchNorm } from "./batch-norm.ts";
export type { SlimConvOptions, SlimSeparableOptions, SlimTransposeOptions } from "./conv.ts";
export type { SlimDropoutOptions, SlimPoolOptions } from "./dense.ts";
export type { SlimScalingOptions } from "./initializers.ts";
export type { Collections, SlimOptions, SlimScopeOptions, VariablesCollections } from "./layer.ts";
