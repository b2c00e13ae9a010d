/** @file Products of matrices, one or a batch of them. Einsum is in einsum.ts. */

import { formatShape, isComplex, type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import { attr, defineOp, type Inferred, type Input, Output, type Spec } from "../graph/index.ts";
import { matmulTensors } from "./kernels/matmul.ts";
import { checkInner, type Flags, lowerMatrices, matrixDims, PRODUCTS } from "./matrices.ts";
import { outShape } from "./onnx-facts.ts";
import { conj, graphOf } from "./operators.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const flag = attr.bool({ default: false });

function matmulShape(a: Spec, b: Spec, flags: Flags): readonly Inferred[] {
  for (const { shape } of [a, b]) {
    if (shape !== null && shape.length !== 2)
      throw invalid(`Shape must be rank 2 but is rank ${shape.length}`);
  }
  const unknown: Shape = [null, null];
  return [{ shape: matrixDims(a.shape ?? unknown, b.shape ?? unknown, flags) }];
}

/** A product of the gradient function of MatMul. */
function product(
  a: Output,
  b: Output,
  transposeA: boolean,
  transposeB: boolean,
  of: "grad_a" | "grad_b",
): Output {
  return a.graph.add("MatMul", [a, b], {
    attrs: { transpose_a: transposeA, transpose_b: transposeB, [of]: true },
  });
}

/**
 * The product of two matrices, transposed first where the attributes say so.
 *
 * @see TensorFlow core/ops/math_ops.cc "MatMul"; python/ops/math_grad.py "_MatMulGrad"
 */
export const MatMul = defineOp("MatMul", {
  inputs: { a: "T", b: "T" },
  outputs: { product: "T" },
  attrs: {
    transpose_a: flag,
    transpose_b: flag,
    T: attr.type(
      "bfloat16",
      "float16",
      "float32",
      "float64",
      "int32",
      "int64",
      "uint8",
      "uint16",
      "uint32",
      "uint64",
      "complex64",
      "complex128",
    ),
    grad_a: flag,
    grad_b: flag,
  },
  infer: ({ a, b }, { transpose_a, transpose_b }) =>
    matmulShape(a, b, { transposeA: transpose_a, transposeB: transpose_b }),
  grad: (_, op, [dy], { transpose_a, transpose_b }) => {
    const a = conj(op.inputs[0]!);
    const b = conj(op.inputs[1]!);
    if (transpose_a && transpose_b)
      return [product(b, dy!, true, true, "grad_a"), product(dy!, a, true, true, "grad_b")];
    if (transpose_a) return [product(b, dy!, false, true, "grad_a"), product(a, dy!, false, false, "grad_b")];
    if (transpose_b) return [product(dy!, b, false, false, "grad_a"), product(dy!, a, true, false, "grad_b")];
    return [product(dy!, b, false, true, "grad_a"), product(a, dy!, true, false, "grad_b")];
  },
  lower: (onnx, inputs, { transpose_a, transpose_b }, op) => [
    lowerMatrices(
      onnx,
      inputs.a,
      inputs.b,
      { transposeA: transpose_a, transposeB: transpose_b },
      outShape(op, inputs),
    ),
  ],
  lowers: ({ T }, { a, b }) => PRODUCTS.has(T) && a.shape !== null && b.shape !== null,
  host: ({ a, b }, { transpose_a, transpose_b }) => {
    const flags = { transposeA: transpose_a, transposeB: transpose_b };
    if (a.shape.length !== 2 || b.shape.length !== 2) {
      throw invalid(`In[0] and In[1] have to be matrices: ${formatShape(a.shape)}, ${formatShape(b.shape)}`);
    }
    checkInner(a, b, flags);
    return [matmulTensors(a, b, matrixDims(a.shape, b.shape, flags) as number[], flags)];
  },
});

export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** transposed and conjugated */
  readonly adjointA?: boolean;
  readonly adjointB?: boolean;
  /** marks of gradient functions, which kernels may use */
  readonly gradA?: boolean;
  readonly gradB?: boolean;
  readonly name?: string;
}

const rankOf = (x: Input): number | null => {
  if (x instanceof Output) return x.shape?.length ?? null;
  let rank = 0;
  for (let v: unknown = x; Array.isArray(v); v = v[0]) rank++;
  return rank;
};

/**
 * The product of matrices, or of batches of them, whose shapes before the last two broadcast. Named "MatMul": a MatMul op for two matrices,
 * else BatchMatMulV2.
 *
 * @throws VarscopeError INVALID_ARGUMENT - inner dims differ, or both transposed and adjoint are asked for
 */
export function matmul(a: Input, b: Input, options: MatmulOptions = {}): Output {
  const {
    transposeA = false,
    transposeB = false,
    adjointA = false,
    adjointB = false,
    name = "MatMul",
  } = options;
  const { gradA = false, gradB = false } = options;
  if ((transposeA && adjointA) || (transposeB && adjointB)) {
    throw invalid(
      `Only one of transpose and adjoint can be true, both are for ${transposeA && adjointA ? "a" : "b"}`,
    );
  }
  const g = graphOf(a, b);
  return g.nameScope(name, (scope) => {
    const type = [a, b].find((x) => x instanceof Output) as Output;
    const given = (x: Input, label: string): Output =>
      x instanceof Output ? x : g.constant(x as Tensor, { dtype: type.dtype, name: label });
    let [x, y] = [given(a, "a"), given(b, "b")];
    const batched = [x, y].some((t) => (rankOf(t) ?? 3) > 2);
    const conjugated = (t: Output, yes: boolean): Output => (yes && isComplex(t.dtype) ? conj(t) : t);
    if (batched) {
      x = conjugated(x, transposeA);
      y = conjugated(y, transposeB);
      const attrs = {
        adj_x: transposeA || adjointA,
        adj_y: transposeB || adjointB,
        grad_x: gradA,
        grad_y: gradB,
      };
      return g.add("BatchMatMulV2", [x, y], { name: scope, attrs });
    }
    x = conjugated(x, adjointA);
    y = conjugated(y, adjointB);
    const attrs = {
      transpose_a: transposeA || adjointA,
      transpose_b: transposeB || adjointB,
      grad_a: gradA,
      grad_b: gradB,
    };
    return g.add(MatMul, [x, y], { name: scope, attrs });
  });
}
