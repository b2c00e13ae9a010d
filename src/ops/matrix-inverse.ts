/**
 * @file MatrixInverse.
 *
 * @see TensorFlow core/ops/linalg_ops.cc "MatrixInverse"; core/kernels/linalg/matrix_inverse_op.cc; python/ops/linalg_grad.py
 */

import { absent, attr, defineOp, type Output } from "../graph/index.ts";
import { inverses } from "./kernels/inverse.ts";
import { matmul } from "./matmul.ts";
import { neg } from "./operators.ts";
import { invalid, mergeDims } from "./window.ts";

/**
 * Inverses of square matrices [..., n, n]; with `adjoint`, of their conjugate transposes.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a matrix has none
 */
export const MatrixInverse = defineOp("MatrixInverse", {
  inputs: { input: "T" },
  outputs: { output: "T" },
  attrs: {
    adjoint: attr.bool({ default: false }),
    T: attr.type("float64", "float32", "float16", "complex64", "complex128"),
  },
  infer: ({ input }) => {
    if (input.shape === null) return [{ shape: null }];
    const rank = input.shape.length;
    if (rank < 2) throw invalid(`Shape must be at least rank 2 but is rank ${rank}`);
    const side = mergeDims(input.shape[rank - 2]!, input.shape[rank - 1]!);
    return [{ shape: [...input.shape.slice(0, -2), side, side] }];
  },
  grad: (_, op, [dy], { adjoint }) => {
    const inverse = op.outputs[0]!;
    const inner = matmul(dy!, inverse, { adjointA: adjoint, adjointB: !adjoint });
    return [neg(matmul(inverse, inner, { adjointA: !adjoint }))];
  },
  lower: absent("ONNX has no inverse"),
  host: ({ input }, { adjoint }) => {
    const found = inverses(input, adjoint);
    if (found === null) throw invalid("Input is not invertible.");
    return [found];
  },
});

/** Inverses of the matrices in `x`. Named "MatrixInverse". */
export const inv = (
  x: Output,
  options: { readonly adjoint?: boolean; readonly name?: string } = {},
): Output => {
  const { adjoint = false, name = "MatrixInverse" } = options;
  return x.graph.add(MatrixInverse, [x], { name, attrs: { adjoint } });
};
