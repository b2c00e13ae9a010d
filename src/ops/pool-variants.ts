/**
 * @file Max pooling in its rarer forms: V2, where window and strides are tensors, and with the index of each maximum.
 * The plain ops are in pool.ts.
 *
 * @see TensorFlow core/ops/nn_ops.cc "MaxPoolV2", "MaxPoolWithArgmax"; core/kernels/maxpooling_op.cc
 */

import { fromData, type Shape, sizeOf, type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type Graph,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { pick } from "./kernels/pick.ts";
import {
  argMax,
  maxPoolGradGrad as gradGradKernel,
  maxPoolGrad as gradKernel,
  scatterAdd,
} from "./kernels/pool.ts";
import { zerosLike } from "./pieces.ts";
import {
  inFloat32,
  lowersPool,
  MAX_TYPES,
  maxPooled,
  maxPoolShape,
  maxWindow,
  needPooled,
  needShape,
  type PoolAttrs,
} from "./pool.ts";
import { REAL_TYPES } from "./signatures.ts";
import { isSized, needRank } from "./window.ts";

interface Dynamic {
  readonly padding: string;
  readonly data_format: string;
}

const padding = attr.string({ allowed: ["SAME", "VALID"] });
const layout = attr.string({ default: "NHWC", allowed: ["NHWC", "NCHW"] });
const UNKNOWN: Shape = [null, null, null, null];

/** The attributes that MaxPool would have, where window and strides are known. */
function staticAttrs(ksize: Tensor | null, strides: Tensor | null, attrs: Dynamic): PoolAttrs | null {
  if (ksize === null || strides === null) return null;
  return { ...attrs, ksize: toNumbers(ksize), strides: toNumbers(strides) };
}

/** MaxPool with its window and strides as tensors (int32 [4]). */
export const MaxPoolV2 = defineOp("MaxPoolV2", {
  inputs: { input: "T", ksize: "int32", strides: "int32" },
  outputs: { output: "T" },
  attrs: {
    T: attr.typeOr("float32", ...MAX_TYPES),
    padding,
    data_format: attr.string({ default: "NHWC", allowed: ["NHWC", "NCHW", "NCHW_VECT_C"] }),
  },
  infer: ({ input, ksize, strides }, attrs) => [{ shape: dynamicShape(input, ksize, strides, attrs) }],
  grad: (g, op, [dy]) => {
    const [x, ksize, strides] = op.inputs;
    const inputs = [x!, op.outputs[0]!, dy!, ksize!, strides!];
    return [g.add("MaxPoolGradV2", inputs, { attrs: handedOn(op) }), null, null];
  },
  lowers: (attrs, { input, ksize, strides }) => {
    const known = staticAttrs(ksize.value, strides.value, attrs);
    return known !== null && lowersPool({ ...known, T: attrs.T }) && input.shape !== null;
  },
  lower: (onnx, { input, ksize, strides }, attrs) => {
    const window = maxWindow(staticAttrs(ksize.constant, strides.constant, attrs)!);
    return [inFloat32(onnx, [input], (x) => onnx.nn.maxPool(x!, window))];
  },
  host: ({ input, ksize, strides }, attrs) => [maxPooled(input, staticAttrs(ksize, strides, attrs)!)],
});

function dynamicShape(input: Spec, ksize: Spec, strides: Spec, attrs: Dynamic): Shape | null {
  needRank(input.shape, 4);
  const known = staticAttrs(ksize.value, strides.value, attrs);
  return known === null ? null : maxPoolShape(input.shape, known);
}

const handedOn = (op: Operation): Record<string, never> =>
  ({ padding: op.attrs.padding, data_format: op.attrs.data_format }) as unknown as Record<string, never>;

function secondOrder(g: Graph, op: Operation, dy: Output, type: string): (Output | null)[] {
  const [x, y, , ksize, strides] = op.inputs;
  const zeros = [zerosLike(x!), zerosLike(y!)];
  return [...zeros, g.add(type, [x!, y!, dy, ksize!, strides!], { attrs: handedOn(op) }), null, null];
}

/** Gradient of MaxPoolV2. */
export const MaxPoolGradV2 = defineOp("MaxPoolGradV2", {
  inputs: { orig_input: "T", orig_output: "T", grad: "T", ksize: "int32", strides: "int32" },
  outputs: { output: "T" },
  attrs: { padding, data_format: layout, T: attr.typeOr("float32", ...REAL_TYPES) },
  infer: ({ orig_input }) => {
    needRank(orig_input.shape, 4);
    return [{ shape: orig_input.shape ?? UNKNOWN }];
  },
  grad: (g, op, [dy]) => secondOrder(g, op, dy!, "MaxPoolGradGradV2"),
  lowers: (attrs, { orig_input, ksize, strides }) => {
    const known = staticAttrs(ksize.value, strides.value, attrs);
    return (
      known !== null && lowersPool({ ...known, T: attrs.T }) && isSized(orig_input.shape, attrs.data_format)
    );
  },
  lower: (onnx, { orig_input, orig_output, grad, ksize, strides }, attrs) => {
    const known = staticAttrs(ksize.constant, strides.constant, attrs)!;
    const window = maxWindow(known);
    needPooled(orig_input, orig_output, grad, known);
    return [
      inFloat32(onnx, [orig_input, orig_output, grad], (x, y, dy) =>
        onnx.nn.maxPoolGrad(x!, y!, dy!, window),
      ),
    ];
  },
  host: ({ orig_input, orig_output, grad, ksize, strides }, attrs) => {
    const known = staticAttrs(ksize, strides, attrs)!;
    needPooled(orig_input, orig_output, grad, known);
    return [gradKernel(orig_input, grad, maxWindow(known))];
  },
});

/** Gradient of MaxPoolGradV2 for its `grad`. */
export const MaxPoolGradGradV2 = defineOp("MaxPoolGradGradV2", {
  inputs: { orig_input: "T", orig_output: "T", grad: "T", ksize: "int32", strides: "int32" },
  outputs: { output: "T" },
  attrs: { padding, data_format: layout, T: attr.type(...REAL_TYPES) },
  infer: ({ orig_input, ksize, strides }, attrs) => [
    { shape: dynamicShape(orig_input, ksize, strides, attrs) },
  ],
  grad: absent("TensorFlow registers none"),
  lower: absent("ONNX has no op that gathers at another tensor's maxima"),
  host: ({ orig_input, orig_output, grad, ksize, strides }, attrs) => {
    const known = staticAttrs(ksize, strides, attrs)!;
    needShape("orig_output", orig_output, maxPoolShape(orig_input.shape, known));
    needShape("grad", grad, orig_input.shape);
    return [gradGradKernel(orig_input, orig_output, grad, maxWindow(known))];
  },
});

const NHWC = { data_format: "NHWC" } as const;

/**
 * MaxPool with the flat index of each maximum: (y * width + x) * channels + channel, plus the image's own offset with
 * `include_batch_in_index`. NHWC only, as in TensorFlow.
 */
export const MaxPoolWithArgmax = defineOp("MaxPoolWithArgmax", {
  inputs: { input: "T" },
  outputs: { output: "T", argmax: "Targmax" },
  attrs: {
    ksize: attr.ints({ min: 4 }),
    strides: attr.ints({ min: 4 }),
    Targmax: attr.typeOr("int64", "int32", "int64"),
    padding,
    include_batch_in_index: attr.bool({ default: false }),
    T: attr.type(...REAL_TYPES),
  },
  infer: ({ input }, attrs) => {
    const shape = maxPoolShape(input.shape, { ...attrs, ...NHWC });
    return [{ shape }, { shape }];
  },
  grad: (g, op, [dy]) => {
    const { T: _, Targmax: __, ...attrs } = op.attrs;
    return [g.add("MaxPoolGradWithArgmax", [op.inputs[0]!, dy!, op.outputs[1]!], { attrs })];
  },
  lower: absent("the index counts channels last, ONNX's channels first"),
  host: ({ input }, attrs) => {
    const full = { ...attrs, ...NHWC };
    const shape = maxPoolShape(input.shape, full) as number[];
    const best = argMax(input, shape, maxWindow(full));
    const image = attrs.include_batch_in_index ? Number.POSITIVE_INFINITY : sizeOf(input.shape.slice(1));
    const indices = best.map((i) => i % image);
    const data = attrs.Targmax === "int32" ? indices : BigInt64Array.from(indices, BigInt);
    return [pick(input, shape, best), fromData(attrs.Targmax, shape, data)];
  },
});

/** Gradient of MaxPoolWithArgmax: `grad` added at `argmax`. */
export const MaxPoolGradWithArgmax = defineOp("MaxPoolGradWithArgmax", {
  inputs: { input: "T", grad: "T", argmax: "Targmax" },
  outputs: { output: "T" },
  attrs: {
    ksize: attr.ints({ min: 4 }),
    strides: attr.ints({ min: 4 }),
    padding,
    include_batch_in_index: attr.bool({ default: false }),
    Targmax: attr.type("int32", "int64"),
    T: attr.type(...REAL_TYPES),
  },
  infer: ({ input }) => {
    needRank(input.shape, 4);
    return [{ shape: input.shape ?? UNKNOWN }];
  },
  grad: absent("TensorFlow registers none"),
  lower: absent("the index counts channels last, ONNX's channels first"),
  host: ({ input, grad, argmax }, attrs) => {
    needShape("argmax", argmax, grad.shape);
    const size = sizeOf(input.shape);
    const perImage = sizeOf(input.shape.slice(1));
    const perGrad = sizeOf(grad.shape.slice(1));
    const indices = toNumbers(argmax).map((index, i) => {
      const at = attrs.include_batch_in_index ? index : index + Math.floor(i / perGrad) * perImage;
      if (at < 0 || at >= size)
        throw new VarscopeError("INVALID_ARGUMENT", `Invalid output index: ${at}, output.size: ${size}`);
      return at;
    });
    return [scatterAdd(grad, indices, input.shape)];
  },
});
