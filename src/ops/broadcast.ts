/** @file Broadcasting as a value: shapes that tensors broadcast to, axes that their gradients sum over. */

import { broadcastShapes, isStatic, type Shape, toNumbers, VarscopeError } from "../base/index.ts";
import {
  attr,
  constantValue,
  defineOp,
  type Graph,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
  shapeTensor,
} from "../graph/index.ts";
import { broadcastTo as broadcastTensor } from "./kernels/pick.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const indexType = attr.typeOr("int32", "int32", "int64");
type IndexType = "int32" | "int64";

/** x repeated to a shape, as numpy broadcasts. @see TensorFlow core/ops/array_ops.cc "BroadcastTo" */
export const BroadcastTo = defineOp("BroadcastTo", {
  inputs: { input: "T", shape: "Tidx" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), Tidx: indexType },
  infer: ({ input, shape }) => [{ shape: target(input.shape, shape) }],
  grad: (g, op, [dy]) => {
    const [x, shape] = op.inputs as [Output, Output];
    const inputShape = pieces.shape(x, { outType: shape.dtype as IndexType });
    const known = constantValue(shape);
    const full = known === null ? shape : g.constant(known);
    const [, axes] = g.addOp("BroadcastGradientArgs", [full, inputShape]).outputs;
    const summed = g.add("Sum", [dy!, axes!], { attrs: { keep_dims: true } });
    return [pieces.reshape(summed, inputShape), null];
  },
  lower: (onnx, inputs, _, op) => {
    const out = outShape(op, inputs);
    const dims = isStatic(out) ? onnx.ints(out) : onnx.cast(inputs.shape, "int64");
    return [onnx.add("Expand", [inputs.input, dims], {}, { shape: out })];
  },
  lowers: ({ T }) => movable(T),
  host: ({ input, shape }) => {
    const dims = toNumbers(shape);
    target(input.shape, { ...SPEC, shape: shape.shape, partial: dims });
    return [broadcastTensor(input, dims)];
  },
});

const SPEC: Spec = { dtype: "int32", shape: null, value: null, partial: null, handle: null };

function target(from: Shape | null, shape: Spec): Shape | null {
  const length = shape.shape?.[0] ?? null;
  const wanted = shape.partial ?? (length === null ? null : new Array<null>(length).fill(null));
  if (wanted === null || from === null) return wanted;
  const fits =
    from.length <= wanted.length &&
    from.every((d, i) => {
      const want = wanted[wanted.length - from.length + i]!;
      return d === null || d === 1 || want === null || d === want;
    });
  if (!fits) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Incompatible shapes: [${from.map((d) => d ?? "?").join(",")}] vs. [${wanted.map((d) => d ?? "?").join(",")}]`,
    );
  }
  return wanted.map((d, i) => {
    const own = from[i - wanted.length + from.length] ?? null;
    return d ?? (own === 1 ? null : own);
  });
}

/** `x` repeated to `shape`. Named "BroadcastTo", shape "BroadcastTo/shape". */
export const broadcastTo = (x: Output, shape: Input, name = "BroadcastTo"): Output =>
  x.graph.add(BroadcastTo, [x, shape], { name });

/** The shape that two shapes broadcast to. @see TensorFlow core/ops/array_ops.cc "BroadcastArgs" */
export const BroadcastArgs = defineOp("BroadcastArgs", {
  inputs: { s0: "T", s1: "T" },
  outputs: { r0: "T" },
  attrs: { T: indexType },
  infer: ({ s0, s1 }) => {
    const [a, b] = [s0.shape?.[0] ?? null, s1.shape?.[0] ?? null];
    return [{ shape: [a === null || b === null ? null : Math.max(a, b)] }];
  },
  partial: ({ s0, s1 }) => broadcastShapes(s0.partial, s1.partial),
  grad: () => [null, null],
  lower: (onnx, { s0, s1 }, { T }) => {
    const [a, b] = aligned(onnx, s0, s1);
    const isOne = onnx.add("Equal", [a!, onnx.scalar(1, "int64")], {}, { dtype: "bool" });
    return [onnx.cast(onnx.add("Where", [isOne, b!, a!], {}, { dtype: "int64", shape: a!.shape }), T)];
  },
  lowers: (_, { s0, s1 }) => areShapes(s0, s1),
  host: ({ s0, s1 }, { T }) => {
    const [a, b] = [toNumbers(s0), toNumbers(s1)];
    return [shapeTensor(broadcastOrFail(a, b), T as IndexType)];
  },
});

/** Made of tensors' shapes, not fed: those that do not broadcast are an error, which ONNX would not see. */
const areShapes = (s0: Spec, s1: Spec): boolean =>
  s0.partial !== null && s1.partial !== null && isStatic(s0.shape) && isStatic(s1.shape);

function broadcastOrFail(a: readonly number[], b: readonly number[]): readonly number[] {
  try {
    return broadcastShapes(a, b) as readonly number[];
  } catch {
    throw new VarscopeError("INVALID_ARGUMENT", `Incompatible shapes: [${a.join(",")}] vs. [${b.join(",")}]`);
  }
}

/** Both vectors as int64, the shorter with ones before it. */
function aligned(onnx: Onnx, s0: OnnxValue, s1: OnnxValue): OnnxValue[] {
  const lengths = [s0, s1].map((s) => s.shape![0]!);
  const rank = Math.max(...lengths);
  return [s0, s1].map((s, i) => {
    const wide = onnx.cast(s, "int64");
    const missing = rank - lengths[i]!;
    if (missing === 0) return wide;
    const ones = onnx.ints(new Array<number>(missing).fill(1));
    return onnx.add("Concat", [ones, wide], { axis: 0 }, { dtype: "int64", shape: [rank] });
  });
}

/**
 * Axes over which the gradients of two broadcast tensors are summed: where the own dim is 1. None at all for equal shapes.
 *
 * @see TensorFlow core/util/bcast.h; core/kernels/bcast_ops.cc "BroadcastGradientArgs"
 */
export const BroadcastGradientArgs = defineOp("BroadcastGradientArgs", {
  inputs: { s0: "T", s1: "T" },
  outputs: { r0: "T", r1: "T" },
  attrs: { T: indexType },
  infer: () => [{ shape: [null] }, { shape: [null] }],
  grad: () => [null, null],
  lower: (onnx, { s0, s1 }, { T }) => {
    const pair = aligned(onnx, s0, s1);
    const flag = { dtype: "bool", shape: pair[0]!.shape } as const;
    const same = onnx.cast(onnx.add("Equal", pair, {}, flag), "int32");
    const allSame = onnx.add("ReduceMin", [same], { keepdims: 0 }, { dtype: "int32", shape: [] });
    const differ = onnx.add("Not", [onnx.cast(allSame, "bool")], {}, { dtype: "bool", shape: [] });
    return pair.map((s) => {
      const isOne = onnx.add("Equal", [s, onnx.scalar(1, "int64")], {}, flag);
      const axes = onnx.add(
        "NonZero",
        [onnx.add("And", [isOne, differ], {}, flag)],
        {},
        { dtype: "int64", shape: [1, null] },
      );
      return onnx.cast(onnx.reshape(axes, [null]), T);
    });
  },
  lowers: (_, { s0, s1 }) => areShapes(s0, s1) && s0.shape![0]! + s1.shape![0]! > 0,
  host: ({ s0, s1 }, { T }) => {
    const [a, b] = [toNumbers(s0), toNumbers(s1)];
    broadcastOrFail(a, b);
    const rank = Math.max(a.length, b.length);
    const [x, y] = [a, b].map((s) => [...new Array<number>(rank - s.length).fill(1), ...s]);
    const equal = x!.every((d, i) => d === y![i]);
    const axes = (s: readonly number[]): number[] => (equal ? [] : s.flatMap((d, i) => (d === 1 ? [i] : [])));
    return [shapeTensor(axes(x!), T as IndexType), shapeTensor(axes(y!), T as IndexType)];
  },
});

/** The shape that tensors of shapes `a` and `b` broadcast to. Named "BroadcastArgs". */
export const broadcastDynamicShape = (graph: Graph, a: Input, b: Input, name = "BroadcastArgs"): Output =>
  graph.add(BroadcastArgs, [a, b], { name });
