/**
 * @file Random ops: TensorFlow's numbers for TensorFlow's seeds, bit for bit, run after run. The stateful ones keep a generator in the
 * session; the stateless ones are functions of a seed or of key and counter. Distributions are in kernels/random.ts; the
 * public functions are in random-public.ts.
 *
 * @see TensorFlow core/kernels/random_op.cc, stateless_random_ops.cc, stateless_random_ops_v2.cc
 */

import {
  type DType,
  formatShape,
  type Shape,
  sizeOf,
  type Tensor,
  tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import { absent, attr, defineOp, type HostContext, type Spec } from "../graph/index.ts";
import { Philox, scrambled } from "./kernels/philox.ts";
import { pickAlong, ramp } from "./kernels/pick.ts";
import {
  normal,
  permutation,
  type RandomFloat,
  type RandomInt,
  truncatedNormal,
  uniform,
  uniformBits,
  uniformInt,
} from "./kernels/random.ts";

const BITS = absent("TensorFlow's generator needs 64-bit products, which ONNX has not");

const FLOATS = ["float16", "bfloat16", "float32", "float64"] as const;
const index = attr.type("int32", "int64");
const indexOr = attr.typeOr("int32", "int32", "int64");
const seeds = { seed: attr.int({ default: 0 }), seed2: attr.int({ default: 0 }) };

type Draw = (gen: Philox, dtype: RandomFloat, shape: readonly number[]) => Tensor;

/** An int vector read as a shape; unknown dims where only its length is known. */
function shapeOf(dims: Spec): Shape | null {
  if (dims.shape !== null && dims.shape.length !== 1) {
    throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank 1 but is rank ${dims.shape.length}`);
  }
  const length = dims.shape?.[0] ?? null;
  return dims.partial ?? (length === null ? null : new Array<null>(length).fill(null));
}

function dimsOf(shape: Tensor): number[] {
  const dims = toNumbers(shape);
  const bad = dims.find((d) => d < 0);
  if (bad !== undefined) throw new VarscopeError("INVALID_ARGUMENT", `Dimension ${bad} must be >= 0`);
  return dims;
}

/** Steps of the generator that an output of a stateful op sets aside. @see random_op.cc ReserveRandomOutputs */
const STEPS_PER_OUTPUT = 256;

/** The session's generator of this op, where it stands; afterwards it stands `steps` further. */
function reserve(context: HostContext, attrs: { seed: number; seed2: number }, steps: number): Philox {
  const gen = context.state(() => {
    const { seed, seed2 } = attrs;
    const unseeded = Number(seed) === 0 && Number(seed2) === 0;
    return unseeded ? Philox.seeded(...context.entropy()) : Philox.seeded(seed, seed2);
  });
  const here = gen.copy();
  gen.skip(steps);
  return here;
}

const stateful = (type: string, make: Draw) =>
  defineOp(type, {
    inputs: { shape: "T" },
    outputs: { output: "dtype" },
    attrs: { ...seeds, dtype: attr.type(...FLOATS), T: index },
    stateful: true,
    infer: ({ shape }) => [{ shape: shapeOf(shape) }],
    grad: () => [null],
    lower: BITS,
    host: ({ shape }, attrs, context) => {
      const dims = dimsOf(shape);
      const gen = reserve(context, attrs, sizeOf(dims) * STEPS_PER_OUTPUT);
      return [make(gen, attrs.dtype as RandomFloat, dims)];
    },
  });

/** Uniform in [0, 1). @see TensorFlow core/ops/random_ops.cc */
export const RandomUniform = stateful("RandomUniform", uniform);

/** Mean 0, deviation 1. @see TensorFlow core/ops/random_ops.cc */
export const RandomStandardNormal = stateful("RandomStandardNormal", normal);

/** Mean 0, deviation 1, without what is 2 or more away from 0. @see TensorFlow core/ops/random_ops.cc */
export const TruncatedNormal = stateful("TruncatedNormal", truncatedNormal);

/** The one element of a bound, as bigint. @throws VarscopeError INVALID_ARGUMENT - not a scalar */
function bound(t: Tensor, name: string): bigint {
  if (t.shape.length !== 0) {
    throw new VarscopeError("INVALID_ARGUMENT", `${name} must be 0-D, got shape [${t.shape}]`);
  }
  return BigInt(t.data[0] as number | bigint);
}

function scalarBounds(inputs: { minval: Spec; maxval: Spec }): void {
  for (const name of ["minval", "maxval"] as const) {
    const { shape } = inputs[name];
    if (shape === null || shape.length === 0) continue;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${name} must be a scalar; got a tensor of shape ${formatShape(shape)}`,
    );
  }
}

/** Integers in [minval, maxval). @see TensorFlow core/ops/random_ops.cc */
export const RandomUniformInt = defineOp("RandomUniformInt", {
  inputs: { shape: "T", minval: "Tout", maxval: "Tout" },
  outputs: { output: "Tout" },
  attrs: { ...seeds, Tout: index, T: index },
  stateful: true,
  infer: (inputs) => {
    scalarBounds(inputs);
    return [{ shape: shapeOf(inputs.shape) }];
  },
  grad: absent("TensorFlow registers none"),
  lower: BITS,
  host: ({ shape, minval, maxval }, attrs, context) => {
    const dims = dimsOf(shape);
    const [low, high] = [bound(minval, "minval"), bound(maxval, "maxval")];
    const gen = reserve(context, attrs, sizeOf(dims) * STEPS_PER_OUTPUT);
    return [uniformInt(gen, attrs.Tout as RandomInt, dims, low, high)];
  },
});

/** The rows of `value` in random order. @see TensorFlow core/kernels/random_shuffle_op.cc */
export const RandomShuffle = defineOp("RandomShuffle", {
  inputs: { value: "T" },
  outputs: { output: "T" },
  attrs: { ...seeds, T: attr.type() },
  stateful: true,
  infer: ({ value }) => [{ shape: value.shape }],
  grad: () => [null],
  lower: BITS,
  host: ({ value }, attrs, context) => {
    const [rows = 0, ...tail] = value.shape;
    if (rows <= 1 || sizeOf(value.shape) <= 1) return [value];
    const order = permutation(reserve(context, attrs, Math.ceil(rows / 4)), rows);
    const width = sizeOf(tail);
    const rowStarts = Int32Array.from(order, (row) => row * width);
    const moved = pickAlong(value, [rowStarts, ramp(width, 0, 1)]);
    return [{ ...moved, shape: value.shape }];
  },
});

type SeedPair = [number | bigint, number | bigint];

function seedPair(seed: Tensor): SeedPair {
  if (seed.shape.length !== 1 || seed.shape[0] !== 2) {
    throw new VarscopeError("INVALID_ARGUMENT", `seed must have shape [2], not [${seed.shape}]`);
  }
  return [...(seed.data as Int32Array)] as SeedPair;
}

function checkSeed({ shape }: Spec): void {
  if (shape === null) return;
  if (shape.length !== 1)
    throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank 1 but is rank ${shape.length}`);
  if (shape[0] !== null && shape[0] !== 2) {
    throw new VarscopeError("INVALID_ARGUMENT", `Dimension must be 2 but is ${shape[0]}`);
  }
}

const seedType = attr.typeOr("int64", "int32", "int64");

const seeded = (type: string, make: Draw) =>
  defineOp(type, {
    inputs: { shape: "T", seed: "Tseed" },
    outputs: { output: "dtype" },
    attrs: { dtype: attr.typeOr("float32", ...FLOATS), T: indexOr, Tseed: seedType },
    infer: ({ shape, seed }) => {
      checkSeed(seed);
      return [{ shape: shapeOf(shape) }];
    },
    grad: () => [null],
    lower: BITS,
    host: ({ shape, seed }, { dtype }) => [
      make(scrambled(seedPair(seed)), dtype as RandomFloat, dimsOf(shape)),
    ],
  });

/** Uniform in [0, 1), a function of `seed`. @see TensorFlow core/ops/stateless_random_ops.cc */
export const StatelessRandomUniform = seeded("StatelessRandomUniform", uniform);

/** Standard normal, a function of `seed`. @see TensorFlow core/ops/stateless_random_ops.cc */
export const StatelessRandomNormal = seeded("StatelessRandomNormal", normal);

/** Truncated normal, a function of `seed`. @see TensorFlow core/ops/stateless_random_ops.cc */
export const StatelessTruncatedNormal = seeded("StatelessTruncatedNormal", truncatedNormal);

/** Integers in [minval, maxval), a function of `seed`. @see TensorFlow core/ops/stateless_random_ops.cc */
export const StatelessRandomUniformInt = defineOp("StatelessRandomUniformInt", {
  inputs: { shape: "T", seed: "Tseed", minval: "dtype", maxval: "dtype" },
  outputs: { output: "dtype" },
  attrs: { dtype: index, T: index, Tseed: seedType },
  infer: (inputs) => {
    checkSeed(inputs.seed);
    scalarBounds(inputs);
    return [{ shape: shapeOf(inputs.shape) }];
  },
  grad: () => [null],
  lower: BITS,
  host: ({ shape, seed, minval, maxval }, { dtype }) => {
    const [low, high] = [bound(minval, "minval"), bound(maxval, "maxval")];
    return [uniformInt(scrambled(seedPair(seed)), dtype as RandomInt, dimsOf(shape), low, high)];
  },
});

const ALL_INTS = ["int32", "int64", "uint32", "uint64"] as const;

/** Integers of the whole range, a function of `seed`. @see TensorFlow core/ops/stateless_random_ops.cc */
export const StatelessRandomUniformFullInt = defineOp("StatelessRandomUniformFullInt", {
  inputs: { shape: "T", seed: "Tseed" },
  outputs: { output: "dtype" },
  attrs: {
    dtype: attr.typeOr("uint64", ...ALL_INTS),
    T: indexOr,
    Tseed: attr.typeOr("int64", ...ALL_INTS),
  },
  infer: ({ shape, seed }) => {
    checkSeed(seed);
    return [{ shape: shapeOf(shape) }];
  },
  grad: () => [null],
  lower: BITS,
  host: ({ shape, seed }, { dtype }) => [
    uniformBits(scrambled(seedPair(seed)), dtype as RandomInt, dimsOf(shape)),
  ],
});

interface Placed {
  readonly key: Tensor;
  readonly counter: Tensor;
  readonly alg: Tensor;
}

/** Philox, the only generator of the CPU, and the choice "auto". @see core/framework/rng_alg.h */
const PHILOX = 1;
const AUTO_SELECT = 3;

function placed({ key, counter, alg }: Placed): Philox {
  const chosen = Number(alg.data[0]);
  if (chosen !== PHILOX && chosen !== AUTO_SELECT) {
    throw new VarscopeError("INVALID_ARGUMENT", `Unsupported algorithm id: ${chosen}`, {
      hint: "the CPU has Philox, 1",
    });
  }
  const [low, high] = counter.data as BigUint64Array;
  return Philox.at(key.data[0] as bigint, [low!, high!]);
}

const requireShape = (x: Spec, want: readonly number[], name: string): void => {
  const { shape } = x;
  if (shape === null || (shape.length === want.length && shape.every((d, i) => d === null || d === want[i])))
    return;
  throw new VarscopeError(
    "INVALID_ARGUMENT",
    `${name} must have shape [${want}], not [${shape.map((d) => d ?? "?")}]`,
  );
};

function placedShape(inputs: {
  shape: Spec;
  key: Spec;
  counter: Spec;
  alg: Spec;
}): { shape: Shape | null }[] {
  requireShape(inputs.key, [1], "key");
  requireShape(inputs.counter, [2], "counter");
  requireShape(inputs.alg, [], "alg");
  return [{ shape: shapeOf(inputs.shape) }];
}

const PLACE = { shape: "Tshape", key: "uint64", counter: "uint64", alg: "int32" } as const;

const keyed = (type: string, make: Draw) =>
  defineOp(type, {
    inputs: PLACE,
    outputs: { output: "dtype" },
    attrs: { dtype: attr.typeOr("float32", ...FLOATS), Tshape: indexOr },
    infer: placedShape,
    grad: () => [null],
    lower: BITS,
    host: (inputs, { dtype }) => [make(placed(inputs), dtype as RandomFloat, dimsOf(inputs.shape))],
  });

/** Uniform in [0, 1), a function of key and counter. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessRandomUniformV2 = keyed("StatelessRandomUniformV2", uniform);

/** Standard normal, a function of key and counter. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessRandomNormalV2 = keyed("StatelessRandomNormalV2", normal);

/** Truncated normal, a function of key and counter. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessTruncatedNormalV2 = keyed("StatelessTruncatedNormalV2", truncatedNormal);

/** Integers in [minval, maxval), a function of key and counter. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessRandomUniformIntV2 = defineOp("StatelessRandomUniformIntV2", {
  inputs: { ...PLACE, minval: "dtype", maxval: "dtype" },
  outputs: { output: "dtype" },
  attrs: { dtype: attr.type(...ALL_INTS), Tshape: indexOr },
  infer: (inputs) => {
    scalarBounds(inputs);
    return placedShape(inputs);
  },
  grad: () => [null],
  lower: BITS,
  host: (inputs, { dtype }) => {
    const [low, high] = [bound(inputs.minval, "minval"), bound(inputs.maxval, "maxval")];
    return [uniformInt(placed(inputs), dtype as RandomInt, dimsOf(inputs.shape), low, high)];
  },
});

/** Integers of the whole range, a function of key and counter. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessRandomUniformFullIntV2 = defineOp("StatelessRandomUniformFullIntV2", {
  inputs: PLACE,
  outputs: { output: "dtype" },
  attrs: { dtype: attr.typeOr("uint64", ...ALL_INTS), Tshape: indexOr },
  infer: placedShape,
  grad: () => [null],
  lower: BITS,
  host: (inputs, { dtype }) => [uniformBits(placed(inputs), dtype as RandomInt, dimsOf(inputs.shape))],
});

const NO_GRADIENT = absent("TensorFlow registers none");
const alg = (): Tensor => tensor(PHILOX, "int32", []);
const KEY_SHAPES = [{ shape: [1] }, { shape: [2] }];

function keyAndCounter(seed: Tensor): Tensor[] {
  const gen = scrambled(seedPair(seed));
  const of = (values: readonly bigint[]): Tensor => tensor([...values], "uint64" as DType);
  return [of([gen.key]), of(gen.counter)];
}

/** Key and counter of a seed. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessRandomGetKeyCounter = defineOp("StatelessRandomGetKeyCounter", {
  inputs: { seed: "Tseed" },
  outputs: { key: "uint64", counter: "uint64" },
  attrs: { Tseed: seedType },
  infer: ({ seed }) => {
    checkSeed(seed);
    return KEY_SHAPES;
  },
  grad: NO_GRADIENT,
  lower: BITS,
  host: ({ seed }) => keyAndCounter(seed),
});

/** The device's generator: Philox. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessRandomGetAlg = defineOp("StatelessRandomGetAlg", {
  inputs: {},
  outputs: { alg: "int32" },
  stateful: true,
  infer: () => [{ shape: [] }],
  grad: NO_GRADIENT,
  lower: (onnx) => [onnx.constant(alg())],
  host: () => [alg()],
});

/** Key, counter and generator of a seed. @see TensorFlow core/ops/stateless_random_ops_v2.cc */
export const StatelessRandomGetKeyCounterAlg = defineOp("StatelessRandomGetKeyCounterAlg", {
  inputs: { seed: "Tseed" },
  outputs: { key: "uint64", counter: "uint64", alg: "int32" },
  attrs: { Tseed: seedType },
  infer: ({ seed }) => {
    checkSeed(seed);
    return [...KEY_SHAPES, { shape: [] }];
  },
  grad: NO_GRADIENT,
  lower: BITS,
  host: ({ seed }) => [...keyAndCounter(seed), alg()],
});
