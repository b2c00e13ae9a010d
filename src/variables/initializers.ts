/**
 * @file Initial values, as functions from shape and dtype to nodes: TensorFlow's compat.v1 initializers with their nodes, names and
 * numbers. With fixed seeds the values equal TensorFlow's bit for bit (orthogonal: to rounding). Start at `glorotUniformInitializer`.
 *
 * @see TensorFlow python/ops/init_ops.py
 */

import {
  type DType,
  formatPyShape,
  fromData,
  isFloat,
  type Nested,
  reshaped,
  sizeOf,
  type Tensor,
  VarscopeError,
  zeros as zeroTensor,
} from "../base/index.ts";
import { type Graph, isTensor, type Output, toTensor } from "../graph/index.ts";
import { ones, randomNormal, randomUniform, reshape, slice, truncatedNormal, zeros } from "../ops/index.ts";
import type { Initializer } from "./scope-state.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** Zeros. Named "zeros". */
export const zerosInitializer = (): Initializer => (g, shape, dtype) => zeros(g, shape, { dtype });

/** Ones. Named "ones". */
export const onesInitializer = (): Initializer => (g, shape, dtype) => ones(g, shape, { dtype });

/**
 * One value everywhere, or a list of values in row-major order whose last is repeated. Named "Const".
 *
 * @throws VarscopeError INVALID_ARGUMENT - more values than elements; with `verifyShape` another shape
 */
export const constantInitializer =
  (value: Tensor | Nested, options: { readonly verifyShape?: boolean } = {}): Initializer =>
  (g, shape, dtype) =>
    g.constant(constantTensor(value, shape, dtype, options.verifyShape ?? false));

function constantTensor(
  value: Tensor | Nested,
  shape: readonly number[],
  dtype: DType,
  verifyShape: boolean,
): Tensor {
  if (!isTensor(value) && !Array.isArray(value)) return toTensor(value, dtype, shape);
  const given = isTensor(value) ? value : toTensor(value, dtype);
  if (given.dtype !== dtype) throw invalid(`the value is ${given.dtype}, the variable ${dtype}`);
  if (verifyShape && given.shape.join() !== shape.join()) {
    throw invalid(`Expected Tensor's shape: ${formatPyShape(shape)}, got ${formatPyShape(given.shape)}.`);
  }
  const [have, want] = [sizeOf(given.shape), sizeOf(shape)];
  if (have === want) return reshaped(given, shape);
  if (have > want) throw invalid(`Too many elements provided. Needed at most ${want}, but received ${have}`);
  const out = zeroTensor(dtype, shape);
  const [from, to] = [given.data as Float64Array, out.data as Float64Array];
  for (let i = 0; i < want; i++) to[i] = from[Math.min(i, have - 1)]!;
  return fromData(dtype, shape, to);
}

export interface SeedOptions {
  readonly seed?: number | null; // op seed: none
}

/**
 * Uniform in [minval, maxval). Named "random_uniform". A given bound that is 0 or 1 counts as Python's int: its Const may be left out.
 */
export const randomUniformInitializer =
  (options: SeedOptions & { readonly minval?: number; readonly maxval?: number } = {}): Initializer =>
  (g, shape, dtype) =>
    randomUniform(g, shape, {
      ...options,
      dtype,
      // Python's default is 0.0, which its shortcut for [0, 1) does not know
      explicit: options.minval === undefined && isFloat(dtype),
    });

interface NormalOptions extends SeedOptions {
  readonly mean?: number; // 0
  readonly stddev?: number; // 1
}

/** Normal. Named "random_normal". */
export const randomNormalInitializer =
  (options: NormalOptions = {}): Initializer =>
  (g, shape, dtype) =>
    randomNormal(g, shape, { ...options, dtype: floating(dtype) });

/** Normal, drawn again where it is 2 or more deviations away. Named "truncated_normal". */
export const truncatedNormalInitializer =
  (options: NormalOptions = {}): Initializer =>
  (g, shape, dtype) =>
    truncatedNormal(g, shape, { ...options, dtype: floating(dtype) });

function floating(dtype: DType): DType {
  if (isFloat(dtype)) return dtype;
  throw invalid(`Argument \`dtype\` is expected to be floating point. Received: ${dtype}.`);
}

/** Uniform in ±factor · √(3 / inputs), inputs being all dims but the last. Named "random_uniform". */
export const uniformUnitScalingInitializer =
  (options: SeedOptions & { readonly factor?: number } = {}): Initializer =>
  (g, shape, dtype, partition) => {
    const inputs = Math.max(1, sizeOf((partition?.fullShape ?? shape).slice(0, -1)));
    return within(g, shape, dtype, Math.sqrt(3 / inputs) * (options.factor ?? 1), options.seed);
  };

const within = (
  g: Graph,
  shape: readonly number[],
  dtype: DType,
  limit: number,
  seed?: number | null,
): Output =>
  randomUniform(g, shape, {
    minval: -limit,
    maxval: limit,
    dtype: floating(dtype),
    seed: seed ?? null,
    explicit: true,
  });

export interface VarianceScalingOptions extends SeedOptions {
  readonly scale?: number; // 1
  readonly mode?: "fan_in" | "fan_out" | "fan_avg"; // fan_in
  /** "normal" is an old name of "truncated_normal" */
  readonly distribution?: "truncated_normal" | "untruncated_normal" | "normal" | "uniform"; // truncated_normal
}

/** Standard deviation of a normal distribution cut off at ±2. @see scipy.stats.truncnorm.std(a=-2, b=2, loc=0, scale=1) */
const TRUNCATED_DEVIATION = 0.8796256610342398;

/**
 * Variance scale / n, where n is the number of inputs or outputs of a unit, or their mean.
 *
 * @throws VarscopeError INVALID_ARGUMENT - scale is not positive
 */
export function varianceScalingInitializer(options: VarianceScalingOptions = {}): Initializer {
  const { scale = 1, mode = "fan_in", distribution = "truncated_normal", seed = null } = options;
  if (!(scale > 0)) throw invalid(`Argument \`scale\` must be a positive float. Received: ${scale}`);
  return (g, shape, dtype, partition) => {
    const { fanIn, fanOut } = fans(partition?.fullShape ?? shape);
    const fan = { fan_in: fanIn, fan_out: fanOut, fan_avg: (fanIn + fanOut) / 2 }[mode];
    const variance = scale / Math.max(1, fan);
    const normal = { mean: 0, dtype: floating(dtype), seed };
    if (distribution === "uniform") return within(g, shape, dtype, Math.sqrt(3 * variance), seed);
    if (distribution === "untruncated_normal") {
      return randomNormal(g, shape, { ...normal, stddev: Math.sqrt(variance) });
    }
    return truncatedNormal(g, shape, { ...normal, stddev: Math.sqrt(variance) / TRUNCATED_DEVIATION });
  };
}

/** Inputs and outputs of a unit. Of a convolution's filter: those of all its positions. */
function fans(shape: readonly number[]): { fanIn: number; fanOut: number } {
  if (shape.length === 0) return { fanIn: 1, fanOut: 1 };
  if (shape.length === 1) return { fanIn: shape[0]!, fanOut: shape[0]! };
  const window = sizeOf(shape.slice(0, -2));
  return { fanIn: shape[shape.length - 2]! * window, fanOut: shape[shape.length - 1]! * window };
}

/** Uniform in ±√(6 / (inputs + outputs)). @see Glorot and Bengio 2010 */
export const glorotUniformInitializer = ({ seed = null }: SeedOptions = {}): Initializer =>
  varianceScalingInitializer({ mode: "fan_avg", distribution: "uniform", seed });

/** Truncated normal of variance 2 / (inputs + outputs). @see Glorot and Bengio 2010 */
export const glorotNormalInitializer = ({ seed = null }: SeedOptions = {}): Initializer =>
  varianceScalingInitializer({ mode: "fan_avg", seed });

/** Uniform in ±√(6 / inputs). @see He et al. 2015 */
export const heUniformInitializer = ({ seed = null }: SeedOptions = {}): Initializer =>
  varianceScalingInitializer({ scale: 2, distribution: "uniform", seed });

/** Truncated normal of variance 2 / inputs. @see He et al. 2015 */
export const heNormalInitializer = ({ seed = null }: SeedOptions = {}): Initializer =>
  varianceScalingInitializer({ scale: 2, seed });

/** Uniform in ±√(3 / inputs). @see LeCun et al. 1998 */
export const lecunUniformInitializer = ({ seed = null }: SeedOptions = {}): Initializer =>
  varianceScalingInitializer({ distribution: "uniform", seed });

/** Truncated normal of variance 1 / inputs. @see LeCun et al. 1998 */
export const lecunNormalInitializer = ({ seed = null }: SeedOptions = {}): Initializer =>
  varianceScalingInitializer({ seed });

/**
 * gain · a matrix whose rows or columns, whichever are fewer, are orthonormal; all dims but the last count as rows.
 *
 * @throws VarscopeError INVALID_ARGUMENT - fewer than two dims
 * @see Saxe et al. 2014
 */
export const orthogonalInitializer =
  (options: SeedOptions & { readonly gain?: number } = {}): Initializer =>
  (g, shape, dtype) => {
    if (shape.length < 2) {
      throw invalid(`The tensor to initialize must be at least two-dimensional, the shape is [${shape}]`);
    }
    const [rows, columns] = [sizeOf(shape.slice(0, -1)), shape[shape.length - 1]!];
    const isWide = rows < columns;
    const a = randomNormal(g, isWide ? [columns, rows] : [rows, columns], {
      dtype: floating(dtype),
      seed: options.seed ?? null,
    });
    const [q, r] = g.addOp("Qr", [a], { attrs: { full_matrices: false } }).outputs as [Output, Output];
    const signs = g.add("Sign", [g.add("DiagPart", [r])]);
    let out = g.add("Mul", [q, signs], { name: "mul" });
    if (isWide) {
      const matrix = out;
      out = g.nameScope("matrix_transpose", () =>
        g.add("Transpose", [matrix, [1, 0]], { name: "transpose" }),
      );
    }
    return scaled(g, options.gain ?? 1, reshape(out, shape));
  };

/** `gain * x` as Python writes it: Const "mul/x". */
const scaled = (g: Graph, gain: number, x: Output): Output => g.add("Mul", [gain, x], { name: "mul" });

/**
 * gain · the identity matrix, which need not be square.
 *
 * @throws VarscopeError INVALID_ARGUMENT - not two dims
 */
export const identityInitializer =
  (options: { readonly gain?: number } = {}): Initializer =>
  (g, shape, dtype, partition) => {
    const full = partition?.fullShape ?? shape;
    if (full.length !== 2)
      throw invalid(`The tensor to initialize must be two-dimensional, the shape is [${full}]`);
    const [rows, columns] = full as [number, number];
    const eye = g.nameScope("eye", () => {
      const diagonal = ones(g, [Math.min(rows, columns)], { dtype: floating(dtype) });
      if (rows === columns) {
        return g.add("MatrixDiagV3", [diagonal, 0, -1, -1, 0], { name: "diag" });
      }
      const base = zeros(g, [rows, columns], { dtype });
      return g.add("MatrixSetDiagV3", [base, diagonal, 0], { name: "set_diag" });
    });
    const own = partition === undefined ? eye : slice(eye, [...partition.varOffset], [...shape]);
    return scaled(g, options.gain ?? 1, own);
  };
