/** @file Batch normalization as public functions: fused (one op) and written out. The ops are in norm.ts. */

import { type DType, VarscopeError } from "../base/index.ts";
import { type Input, Output } from "../graph/index.ts";
import { add, mul, sub } from "./operators.ts";
import { cast } from "./pieces.ts";

export interface FusedBatchNormOptions {
  /** float32 [channels]; needed in inference, and in training where exponentialAvgFactor is not 1 */
  readonly mean?: Input;
  readonly variance?: Input;
  readonly epsilon?: number; // 0.001; the op itself has 0.0001
  readonly dataFormat?: "NHWC" | "NCHW" | "NDHWC" | "NCDHW"; // NHWC
  readonly isTraining?: boolean; // true
  readonly exponentialAvgFactor?: number; // 1
  readonly name?: string; // FusedBatchNormV3
}

export interface FusedBatchNormResult {
  readonly y: Output;
  /** the new running mean, or what was given */
  readonly mean: Output;
  /** the new running variance with n / (n - 1), or what was given */
  readonly variance: Output;
}

/**
 * Batch normalization of an image by one op.
 *
 * @param x - float32, float16 or bfloat16, rank 4 (5 with a D in the format) @param scale @param offset - float32
 * [channels]
 * @throws VarscopeError INVALID_ARGUMENT - mean or variance are missing where they are needed
 * @see TensorFlow python/ops/nn_impl.py "fused_batch_norm"
 */
export function fusedBatchNorm(
  x: Output,
  scale: Input,
  offset: Input,
  options: FusedBatchNormOptions = {},
): FusedBatchNormResult {
  const { isTraining = true, exponentialAvgFactor = 1, epsilon = 1e-3, dataFormat = "NHWC" } = options;
  const missing = options.mean === undefined || options.variance === undefined;
  if ((!isTraining || exponentialAvgFactor !== 1) && missing) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "Both `mean` and `variance` must be a 1D tensor when `is_training` is False or `exponential_avg_factor` != 1.0.",
    );
  }
  const vector = (value: Input | undefined, name: string): Output => {
    if (value instanceof Output) return value;
    return x.graph.constant((value ?? []) as number[], { dtype: "float32", name: value ? name : "Const" });
  };
  const inputs = [x, vector(scale, "scale"), vector(offset, "offset")];
  const statistics = [vector(options.mean, "mean"), vector(options.variance, "variance")];
  const attrs = {
    epsilon,
    exponential_avg_factor: exponentialAvgFactor,
    data_format: dataFormat,
    is_training: isTraining,
  };
  const op = x.graph.addOp("FusedBatchNormV3", [...inputs, ...statistics], {
    name: options.name ?? "FusedBatchNormV3",
    attrs,
  });
  const [y, mean, variance] = op.outputs;
  return { y: y!, mean: mean!, variance: variance! };
}

/**
 * (x - mean) / √(variance + epsilon) * scale + offset in plain ops, which broadcast.
 *
 * @param offset @param scale - or null
 * @see TensorFlow python/ops/nn_impl.py "batch_normalization"
 */
export function batchNormalization(
  x: Output,
  mean: Output,
  variance: Output,
  offset: Output | null,
  scale: Output | null,
  epsilon: number,
  name = "batchnorm",
): Output {
  const g = x.graph;
  const like = (v: Output, dtype: DType): Output => cast(v, dtype);
  return g.nameScope(name, () => {
    const rstd = g.add("Rsqrt", [add(variance, epsilon)]);
    const factor = scale === null ? rstd : mul(rstd, scale);
    const scaled = mul(x, like(factor, x.dtype));
    const shift = offset === null ? mul(g.add("Neg", [mean]), factor) : sub(offset, mul(mean, factor));
    return add(scaled, like(shift, x.dtype));
  });
}
