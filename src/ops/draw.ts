/**
 * @file The public random functions, with the nodes and names of TensorFlow Python's, and its rules for seeds. The ops are in
 * random.ts. Start at `randomUniform`.
 *
 * @see TensorFlow python/ops/random_ops.py, stateless_random_ops.py, framework/random_seed.py
 */

import { type DType, isInteger, VarscopeError } from "../base/index.ts";
import { type Graph, type Input, Output } from "../graph/index.ts";
import { pack, type ShapeInput } from "./pieces.ts";

/** The graph seed where only an op seed is given. */
const DEFAULT_GRAPH_SEED = 87654321;
/** Seeds are taken modulo this. */
const MAX_SEED = 2 ** 31 - 1;

const truncated = (seed: number): number => ((seed % MAX_SEED) + MAX_SEED) % MAX_SEED;

/**
 * Attributes `seed` and `seed2` of a random op. Without any seed both are 0, and the op's numbers differ from session to session. With
 * a graph seed alone, the graph numbers its random ops.
 */
export function getSeed(
  graph: Graph,
  opSeed: number | null = null,
): { readonly seed: number; readonly seed2: number } {
  if (graph.seed === null) {
    return opSeed === null ? { seed: 0, seed2: 0 } : { seed: DEFAULT_GRAPH_SEED, seed2: truncated(opSeed) };
  }
  const seed = truncated(graph.seed);
  const seed2 = truncated(opSeed ?? graph.seedsGiven++);
  // both 0 would mean that no seed is set
  return { seed, seed2: seed === 0 && seed2 === 0 ? MAX_SEED : seed2 };
}

/** Makes the random numbers of a graph reproducible. Call it before the random ops are made. */
export function setRandomSeed(graph: Graph, seed: number | null): void {
  graph.seed = seed;
}

export interface RandomOptions {
  readonly dtype?: DType; // float32
  readonly seed?: number | null; // op seed
  readonly name?: string;
}

/** A shape as an input: Const "shape", or Pack "shape" where some dims are outputs. */
function shapeTensor(g: Graph, shape: ShapeInput): Output {
  if (shape instanceof Output) return shape;
  const first = shape.find((d) => d instanceof Output) as Output | undefined;
  if (first !== undefined) return pack(g, shape, first.dtype, "shape");
  return g.constant([...(shape as readonly number[])], {
    dtype: "int32",
    shape: [shape.length],
    name: "shape",
  });
}

/** A scalar argument under a name. */
const scalarInput = (g: Graph, value: Input, dtype: DType, name: string): Output =>
  value instanceof Output ? value : g.constant(value as number, { dtype, name });

export interface UniformOptions extends RandomOptions {
  readonly minval?: Input; // 0
  readonly maxval?: Input; // 1; integers need one
  /** Const "min" and "max" even for 0 and 1, as Python writes them for 0.0 and 1.0 */
  readonly explicit?: boolean; // false
}

/**
 * Uniform in [minval, maxval): float (or half, double) numbers, or integers where `dtype` is int32 or int64. Named "random_uniform".
 *
 * @throws VarscopeError INVALID_ARGUMENT - an integer dtype without maxval
 */
export function randomUniform(g: Graph, shape: ShapeInput, options: UniformOptions = {}): Output {
  const { dtype = "float32", minval = 0, maxval, explicit = false } = options;
  if (maxval === undefined && isInteger(dtype)) {
    throw new VarscopeError("INVALID_ARGUMENT", `Must specify maxval for integer dtype ${dtype}`);
  }
  return g.nameScope(options.name ?? "random_uniform", (scope) => {
    const dims = shapeTensor(g, shape);
    const fromZero = minval === 0 && !explicit;
    const toOne = (maxval ?? 1) === 1 && !explicit;
    const seeds = (): { seed: number; seed2: number } => getSeed(g, options.seed ?? null);
    if (fromZero && toOne && !isInteger(dtype))
      return g.add("RandomUniform", [dims], { attrs: { dtype, ...seeds() } });
    const low = scalarInput(g, minval, dtype, "min");
    const high = scalarInput(g, maxval ?? 1, dtype, "max");
    if (isInteger(dtype))
      return g.add("RandomUniformInt", [dims, low, high], { name: scope, attrs: seeds() });
    const unit = g.add("RandomUniform", [dims], { attrs: { dtype, ...seeds() } });
    if (fromZero) return g.add("Mul", [unit, high]);
    return stretched(g, unit, low, high, scope);
  });
}

/** unit · (high - low) + low */
function stretched(g: Graph, unit: Output, low: Output, high: Output, scope: string): Output {
  const range = g.add("Sub", [high, low], { name: "sub" });
  return g.add("AddV2", [g.add("Mul", [unit, range], { name: "mul" }), low], { name: scope });
}

export interface NormalOptions extends RandomOptions {
  readonly mean?: Input; // 0
  readonly stddev?: Input; // 1
}

function normalLike(
  g: Graph,
  type: string,
  scopeName: string,
  shape: ShapeInput,
  options: NormalOptions,
): Output {
  const { dtype = "float32", mean = 0, stddev = 1 } = options;
  return g.nameScope(options.name ?? scopeName, (scope) => {
    const dims = shapeTensor(g, shape);
    const [center, deviation] = [
      scalarInput(g, mean, dtype, "mean"),
      scalarInput(g, stddev, dtype, "stddev"),
    ];
    const unit = g.add(type, [dims], { attrs: { dtype, ...getSeed(g, options.seed ?? null) } });
    return g.add("AddV2", [g.add("Mul", [unit, deviation], { name: "mul" }), center], { name: scope });
  });
}

/** Normal numbers. Named "random_normal". */
export const randomNormal = (g: Graph, shape: ShapeInput, options: NormalOptions = {}): Output =>
  normalLike(g, "RandomStandardNormal", "random_normal", shape, options);

/** Normal numbers; what is 2 or more deviations from the mean is drawn again. Named "truncated_normal". */
export const truncatedNormal = (g: Graph, shape: ShapeInput, options: NormalOptions = {}): Output =>
  normalLike(g, "TruncatedNormal", "truncated_normal", shape, options);

/** The rows of `value` in random order. Named "RandomShuffle". */
export const randomShuffle = (
  value: Output,
  options: { readonly seed?: number | null; readonly name?: string } = {},
): Output =>
  value.graph.add("RandomShuffle", [value], {
    name: options.name ?? "RandomShuffle",
    attrs: getSeed(value.graph, options.seed ?? null),
  });

/** Options of functions whose numbers are a function of `seed`, a pair of integers. */
export interface StatelessOptions {
  readonly seed: Input;
  readonly dtype?: DType; // float32
  readonly name?: string;
}

/** Lets the device choose the generator: Philox on all of ours. @see core/framework/rng_alg.h */
const AUTO_SELECT = 3;

function keyAndCounter(g: Graph, seed: Input): readonly Output[] {
  const attrs = seed instanceof Output ? {} : { Tseed: "int32" as const };
  return g.addOp("StatelessRandomGetKeyCounter", [seed], { attrs }).outputs;
}

/** Uniform in [minval, maxval), a function of `seed`. Named "stateless_random_uniform". */
export function statelessUniform(
  g: Graph,
  shape: ShapeInput,
  options: StatelessOptions & { readonly minval?: Input; readonly maxval?: Input },
): Output {
  const { dtype = "float32", minval = 0, maxval } = options;
  if (maxval === undefined && isInteger(dtype)) {
    throw new VarscopeError("INVALID_ARGUMENT", `Must specify maxval for integer dtype ${dtype}`);
  }
  return g.nameScope(options.name ?? "stateless_random_uniform", (scope) => {
    const dims = shapeTensor(g, shape);
    const low = scalarInput(g, minval, dtype, "min");
    const high = scalarInput(g, maxval ?? 1, dtype, "max");
    const [key, counter] = keyAndCounter(g, options.seed) as [Output, Output];
    if (isInteger(dtype)) {
      const alg = g.constant(AUTO_SELECT, { dtype: "int32", name: "alg" });
      return g.add("StatelessRandomUniformIntV2", [dims, key, counter, alg, low, high], { name: scope });
    }
    const unit = g.add("StatelessRandomUniformV2", [dims, key, counter, AUTO_SELECT], { attrs: { dtype } });
    return stretched(g, unit, low, high, scope);
  });
}

function statelessNormalLike(
  g: Graph,
  type: string,
  scopeName: string,
  shape: ShapeInput,
  options: StatelessOptions & { readonly mean?: Input; readonly stddev?: Input },
): Output {
  const { dtype = "float32", mean = 0, stddev = 1 } = options;
  return g.nameScope(options.name ?? scopeName, (scope) => {
    const dims = shapeTensor(g, shape);
    const [center, deviation] = [
      scalarInput(g, mean, dtype, "mean"),
      scalarInput(g, stddev, dtype, "stddev"),
    ];
    const [key, counter] = keyAndCounter(g, options.seed) as [Output, Output];
    const unit = g.add(type, [dims, key, counter, AUTO_SELECT], { attrs: { dtype } });
    return g.add("AddV2", [g.add("Mul", [unit, deviation], { name: "mul" }), center], { name: scope });
  });
}

/** Normal numbers, a function of `seed`. Named "stateless_random_normal". */
export const statelessNormal = (
  g: Graph,
  shape: ShapeInput,
  options: StatelessOptions & { readonly mean?: Input; readonly stddev?: Input },
): Output => statelessNormalLike(g, "StatelessRandomNormalV2", "stateless_random_normal", shape, options);

/** Truncated normal numbers, a function of `seed`. Named "stateless_truncated_normal". */
export const statelessTruncatedNormal = (
  g: Graph,
  shape: ShapeInput,
  options: StatelessOptions & { readonly mean?: Input; readonly stddev?: Input },
): Output =>
  statelessNormalLike(g, "StatelessTruncatedNormalV2", "stateless_truncated_normal", shape, options);
