/** @file Bit by bit: and, or, xor, not, shifts of integers. Inputs broadcast. */

import { DTYPES, type DType } from "../base/index.ts";
import { absent, defineOp, type Input, type Onnx, type OnnxValue, type Output } from "../graph/index.ts";
import { mapBinary } from "./kernels/elementwise.ts";
import { graphOf } from "./operators.ts";
import {
  binary,
  hostBinary,
  hostUnary,
  INTS,
  lowerBinary,
  lowerUnary,
  ort,
  UINTS,
  unary,
} from "./signatures.ts";

const INTEGERS = [...INTS, ...UINTS] as const;
const noGradient = absent("TensorFlow registers none");

/** @see TensorFlow core/ops/bitwise_ops.cc "BitwiseAnd" */
export const BitwiseAnd = defineOp("BitwiseAnd", {
  ...binary(...INTEGERS),
  grad: () => [null, null],
  lower: lowerBinary("BitwiseAnd"),
  lowers: ort.ints,
  host: hostBinary({ int: (x, y) => x & y, big: (x, y) => x & y }),
});

/** x & y. Named "BitwiseAnd". */
export const bitwiseAnd = (x: Input, y: Input, name = "BitwiseAnd"): Output =>
  graphOf(x, y).add(BitwiseAnd, [x, y], { name });

/** @see TensorFlow core/ops/bitwise_ops.cc "BitwiseOr" */
export const BitwiseOr = defineOp("BitwiseOr", {
  ...binary(...INTEGERS),
  grad: () => [null, null],
  lower: lowerBinary("BitwiseOr"),
  lowers: ort.ints,
  host: hostBinary({ int: (x, y) => x | y, big: (x, y) => x | y }),
});

/** x | y. Named "BitwiseOr". */
export const bitwiseOr = (x: Input, y: Input, name = "BitwiseOr"): Output =>
  graphOf(x, y).add(BitwiseOr, [x, y], { name });

/** @see TensorFlow core/ops/bitwise_ops.cc "BitwiseXor" */
export const BitwiseXor = defineOp("BitwiseXor", {
  ...binary(...INTEGERS),
  grad: () => [null, null],
  lower: lowerBinary("BitwiseXor"),
  lowers: ort.ints,
  host: hostBinary({ int: (x, y) => x ^ y, big: (x, y) => x ^ y }),
});

/** x ^ y. Named "BitwiseXor". */
export const bitwiseXor = (x: Input, y: Input, name = "BitwiseXor"): Output =>
  graphOf(x, y).add(BitwiseXor, [x, y], { name });

/** @see TensorFlow core/ops/bitwise_ops.cc "Invert" */
export const Invert = defineOp("Invert", {
  ...unary(...INTEGERS),
  grad: () => [null],
  lower: lowerUnary("BitwiseNot"),
  lowers: ort.ints,
  host: hostUnary({ int: (x) => ~x, big: (x) => ~x }),
});

/** ~x. Named "Invert". */
export const invert = (x: Output, name = "Invert"): Output => x.graph.add(Invert, [x], { name });

const bitsOf = (dtype: DType): number => DTYPES[dtype].bytes * 8;
/** Shift counts beyond the width act as width - 1; negative ones as 0. @see TensorFlow core/kernels/cwise_ops.h "left_shift_op" */
const clampShift = (y: number, bits: number): number => Math.min(Math.max(y, 0), bits - 1);
const clampLong = (y: bigint): bigint => (y < 0n ? 0n : y > 63n ? 63n : y);

const lowerShift =
  (direction: "LEFT" | "RIGHT") =>
  (onnx: Onnx, { x, y }: { readonly x: OnnxValue; readonly y: OnnxValue }): readonly OnnxValue[] => {
    const count = onnx.map("Min", [y, onnx.scalar(bitsOf(y.dtype) - 1, y.dtype)]);
    return [onnx.map("BitShift", [x, count], { direction })];
  };

/** ONNX Runtime's BitShift is for these. */
const shifts = ({ T }: { readonly T: DType }): boolean => T === "uint8" || T === "uint32" || T === "uint64";

/** x · 2ʸ, bits falling off at the top. @see TensorFlow core/ops/bitwise_ops.cc "LeftShift" */
export const LeftShift = defineOp("LeftShift", {
  ...binary(...INTEGERS),
  grad: noGradient,
  lower: lowerShift("LEFT"),
  lowers: shifts,
  host: ({ x, y }) => [
    mapBinary(x, y, {
      int: (a, b) => a << clampShift(b, bitsOf(x.dtype)),
      big: (a, b) => a << clampLong(b),
    }),
  ],
});

/** x << y. Named "LeftShift". */
export const leftShift = (x: Input, y: Input, name = "LeftShift"): Output =>
  graphOf(x, y).add(LeftShift, [x, y], { name });

/** x / 2ʸ, signed integers keeping their sign. @see TensorFlow core/ops/bitwise_ops.cc "RightShift" */
export const RightShift = defineOp("RightShift", {
  ...binary(...INTEGERS),
  grad: noGradient,
  lower: lowerShift("RIGHT"),
  lowers: shifts,
  host: ({ x, y }) => [
    mapBinary(x, y, {
      // uint32 elements are positive numbers, and >>> keeps them so
      int:
        x.dtype === "uint32"
          ? (a, b) => a >>> clampShift(b, 32)
          : (a, b) => a >> clampShift(b, bitsOf(x.dtype)),
      big: (a, b) => a >> clampLong(b),
    }),
  ],
});

/** x >> y. Named "RightShift". */
export const rightShift = (x: Input, y: Input, name = "RightShift"): Output =>
  graphOf(x, y).add(RightShift, [x, y], { name });
