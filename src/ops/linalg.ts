/** @file Matrix decompositions: what orthogonal initializers need. */

import { isComplex, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp, type Output } from "../graph/index.ts";
import { qr as decompose } from "./kernels/qr.ts";

/**
 * Q and R of matrices [..., m, n]: Q has orthonormal columns, R is upper triangular, their product is the input.
 *
 * @see TensorFlow core/ops/linalg_ops.cc "Qr"; core/kernels/linalg/qr_op_impl.h
 */
export const Qr = defineOp("Qr", {
  inputs: { input: "T" },
  outputs: { q: "T", r: "T" },
  attrs: {
    full_matrices: attr.bool({ default: false }),
    T: attr.type("float64", "float32", "float16", "complex64", "complex128"),
  },
  infer: ({ input }, { full_matrices }) => {
    if (input.shape === null) return [{ shape: null }, { shape: null }];
    const rank = input.shape.length;
    if (rank < 2)
      throw new VarscopeError("INVALID_ARGUMENT", `Shape must be at least rank 2 but is rank ${rank}`);
    const batch = input.shape.slice(0, -2);
    const [m, n] = input.shape.slice(-2) as [number | null, number | null];
    const p = full_matrices ? m : m === null || n === null ? (m === 0 || n === 0 ? 0 : null) : Math.min(m, n);
    return [{ shape: [...batch, m, p] }, { shape: [...batch, p, n] }];
  },
  grad: absent("it needs MatrixTriangularSolve, which is not among the ops here"),
  lower: absent("ONNX has no QR decomposition"),
  host: ({ input }, { full_matrices }) => {
    if (isComplex(input.dtype)) {
      throw new VarscopeError("UNIMPLEMENTED", `QR decomposition of ${input.dtype} matrices`, {
        hint: "use a real dtype",
      });
    }
    return decompose(input, full_matrices);
  },
});

/** Q and R of the matrices in `x`. Named "Qr". @param options.fullMatrices - Q is square: false */
export function qr(
  x: Output,
  options: { readonly fullMatrices?: boolean; readonly name?: string } = {},
): { readonly q: Output; readonly r: Output } {
  const { fullMatrices: full_matrices = false, name = "Qr" } = options;
  const op = x.graph.addOp(Qr, [x], { name, attrs: { full_matrices } });
  return { q: op.output(0), r: op.output(1) };
}
