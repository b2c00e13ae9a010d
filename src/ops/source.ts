/**
 * @file Where values come from and how they pass unchanged: constants, placeholders, identities, checks. The public functions are beneath
 * their ops.
 */

import {
  type DType,
  formatShape,
  getElement,
  isCompatible,
  mergeShapes,
  type Nested,
  type Shape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Input,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { movable } from "./onnx-facts.ts";

const same = (x: Spec): { shape: Shape | null; handle: Spec["handle"] } => ({
  shape: x.shape,
  handle: x.handle,
});

/** A value of the graph. @see TensorFlow core/ops/array_ops.cc "Const" */
export const Const = defineOp("Const", {
  inputs: {},
  outputs: { output: "dtype" },
  attrs: { value: attr.tensor(), dtype: attr.type() },
  infer: (_, { value }) => [{ shape: value.shape }],
  grad: () => [],
  lower: (onnx, _, { value }) => [onnx.constant(value)],
  lowers: ({ dtype }) => movable(dtype),
  host: (_, { value }) => [value],
});

/** Must be fed. @see TensorFlow core/ops/array_ops.cc "Placeholder" */
export const Placeholder = defineOp("Placeholder", {
  inputs: {},
  outputs: { output: "dtype" },
  attrs: { dtype: attr.type(), shape: attr.shape({ default: { dims: null } }) },
  infer: (_, { shape }) => [{ shape: shape.dims }],
  grad: () => [],
  lower: absent("its value is fed"),
  host: absent("its value is fed"),
});

/** Must be fed: by `session.run(..., { feeds })`. */
export function placeholder(
  graph: Graph,
  dtype: DType,
  options: { readonly shape?: Shape | null; readonly name?: string } = {},
): Output {
  const shape = { dims: options.shape ?? null };
  return graph.add(Placeholder, [], { name: options.name ?? "Placeholder", attrs: { dtype, shape } });
}

/** May be fed, else is its input. @see TensorFlow core/ops/array_ops.cc "PlaceholderWithDefault" */
export const PlaceholderWithDefault = defineOp("PlaceholderWithDefault", {
  inputs: { input: "dtype" },
  outputs: { output: "dtype" },
  attrs: { dtype: attr.type(), shape: attr.shape() },
  infer: ({ input }, { shape }) => {
    mergeShapes(input.shape, shape.dims);
    return [{ shape: shape.dims }];
  },
  grad: (_g, _op, dys) => [dys[0]!],
  gradTakesSlices: true,
  lower: (_, { input }) => [input],
  lowers: ({ dtype }) => movable(dtype),
  host: absent("a feed may replace it: it must not count as a constant"),
});

/** May be fed, else is `input`. @param shape - what may be fed; it must hold for `input` too */
export function placeholderWithDefault(
  graph: Graph,
  input: Input,
  options: { readonly shape: Shape | null; readonly dtype?: DType; readonly name?: string },
): Output {
  return graph.add(PlaceholderWithDefault, [input], {
    name: options.name ?? "PlaceholderWithDefault",
    attrs: { shape: { dims: options.shape }, dtype: options.dtype },
  });
}

/** A constant: numbers are float32 unless `dtype` says otherwise. Named "Const". */
export const constant = (
  graph: Graph,
  value: Tensor | Nested,
  options: { readonly dtype?: DType; readonly shape?: readonly number[]; readonly name?: string } = {},
): Output => graph.constant(value, options);

/** Does nothing; runs after its control inputs. @see TensorFlow core/ops/no_op.cc */
export const NoOp = defineOp("NoOp", {
  inputs: {},
  outputs: {},
  infer: () => [],
  grad: () => [],
  lower: () => [],
  host: () => [],
});

/** An op that does nothing but be depended on. */
export const noOp = (graph: Graph, name = "NoOp"): Operation => graph.addOp(NoOp, [], { name });

/** y = x, handles included. @see TensorFlow core/ops/array_ops.cc "Identity" */
export const Identity = defineOp("Identity", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type() },
  sharesMemory: true,
  infer: ({ input }) => [same(input)],
  partial: ({ input }) => input.partial,
  grad: (_g, _op, dys) => [dys[0]!],
  gradTakesSlices: true,
  lower: (_, { input }) => [input],
  lowers: ({ T }) => movable(T),
  host: ({ input }) => [input],
});

/** `x` under a name of its own. */
export const identity = (x: Output, name = "Identity"): Output => x.graph.add(Identity, [x], { name });

/** y = x. Some graphs copy this way. @see TensorFlow core/ops/array_ops.cc "Snapshot" */
export const Snapshot = defineOp("Snapshot", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type() },
  infer: ({ input }) => [same(input)],
  grad: absent("TensorFlow registers none"),
  lower: (_, { input }) => [input],
  lowers: ({ T }) => movable(T),
  host: ({ input }) => [input],
});

/** A list unchanged. @see TensorFlow core/ops/array_ops.cc "IdentityN" */
export const IdentityN = defineOp("IdentityN", {
  inputs: { input: "[T]" },
  outputs: { output: "[T]" },
  attrs: { T: attr.types({ min: 1 }) },
  infer: ({ input }) => input.map(same),
  partial: ({ input }, _, index) => input[index]!.partial,
  grad: (_g, _op, dys) => dys,
  gradTakesSlices: true,
  lower: (_, { input }) => input,
  lowers: ({ T }) => T.every(movable),
  host: ({ input }) => input,
});

/** All of `xs` under one op. */
export const identityN = (xs: readonly Output[], name = "IdentityN"): Output[] =>
  xs.length === 0 ? [] : xs[0]!.graph.addOp(IdentityN, [xs], { name }).outputs;

/** y = x; no gradient passes. @see TensorFlow core/ops/array_ops.cc "StopGradient" */
export const StopGradient = defineOp("StopGradient", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type() },
  infer: ({ input }) => [same(input)],
  partial: ({ input }) => input.partial,
  grad: () => [null],
  lower: (_, { input }) => [input],
  lowers: ({ T }) => movable(T),
  host: ({ input }) => [input],
});

/** `x`, taken as a constant by `gradients`. */
export const stopGradient = (x: Output, name = "StopGradient"): Output =>
  x.graph.add(StopGradient, [x], { name });

/** y = x; asking for its gradient is an error. @see TensorFlow core/ops/array_ops.cc "PreventGradient" */
export const PreventGradient = defineOp("PreventGradient", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), message: attr.string({ default: "" }) },
  infer: ({ input }) => [same(input)],
  grad: (_g, op, _dys, { message }) => {
    throw new VarscopeError("NOT_FOUND", `Gradient explicitly disabled. Reason: ${message}`, { at: op.name });
  },
  lower: (_, { input }) => [input],
  lowers: ({ T }) => movable(T),
  host: ({ input }) => [input],
});

/** y = x, an error where x has NaN or Inf. @see TensorFlow core/kernels/check_numerics_op.cc */
export const CheckNumerics = defineOp("CheckNumerics", {
  inputs: { tensor: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type("bfloat16", "float16", "float32", "float64"), message: attr.string() },
  stateful: true,
  infer: ({ tensor }) => [{ shape: tensor.shape }],
  grad: (g, _op, [dy], { message }) => {
    // b'': TF Python formats the attribute, which is bytes.
    const text = `Not a number (NaN) or infinity (Inf) values detected in gradient. b'${message}'`;
    return [g.add("CheckNumerics", [dy!], { attrs: { message: text } })];
  },
  lower: absent("an ONNX model cannot raise an error"),
  host: ({ tensor }, { message }, { op }) => {
    let nan = false;
    let inf = false;
    const size = sizeOf(tensor.shape);
    for (let i = 0; i < size; i++) {
      const x = getElement(tensor, i) as number;
      if (Number.isNaN(x)) nan = true;
      else if (!Number.isFinite(x)) inf = true;
    }
    if (nan || inf) {
      const found = nan && inf ? "Inf and NaN" : nan ? "NaN" : "Inf";
      throw new VarscopeError("INVALID_ARGUMENT", `${message} : Tensor had ${found} values`, { at: op.name });
    }
    return [tensor];
  },
});

/** `x`, or an error that begins with `message` where it has NaN or Inf. */
export const checkNumerics = (x: Output, message: string, name = "CheckNumerics"): Output =>
  x.graph.add(CheckNumerics, [x], { name, attrs: { message } });

/** y = x, an error where its shape is another. @see TensorFlow core/ops/array_ops.cc "EnsureShape" */
export const EnsureShape = defineOp("EnsureShape", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: { shape: attr.shape(), T: attr.type() },
  infer: ({ input }, { shape }) => {
    if (!isCompatible(input.shape, shape.dims)) throw misfit("input", input.shape, shape.dims);
    return [{ shape: mergeShapes(input.shape, shape.dims) }];
  },
  grad: (_g, _op, dys) => [dys[0]!],
  lower: (_, { input }) => [input],
  lowers: ({ T, shape }, { input }) => movable(T) && holdsAlready(input.shape, shape.dims),
  host: ({ input }, { shape }, { op }) => {
    if (!isCompatible(input.shape, shape.dims)) throw misfit(op.inputs[0]!.op.name, input.shape, shape.dims);
    return [input];
  },
});

const misfit = (name: string, found: Shape | null, wanted: Shape | null): VarscopeError =>
  new VarscopeError(
    "INVALID_ARGUMENT",
    `Shape of tensor ${name} ${formatShape(found)} is not compatible with expected shape ${formatShape(wanted)}.`,
  );

const holdsAlready = (known: Shape | null, wanted: Shape | null): boolean =>
  wanted === null ||
  (known !== null && known.length === wanted.length && wanted.every((d, i) => d === null || d === known[i]));

/** `x`, with `shape` known from now on and checked in each run. */
export const ensureShape = (x: Output, shape: Shape | null, name = "EnsureShape"): Output =>
  x.graph.add(EnsureShape, [x], { name, attrs: { shape: { dims: shape } } });
