/** @file Error function, gamma function and their kin. */

import { absent, defineOp, type Input, type Output } from "../graph/index.ts";
import {
  digamma as digammaOf,
  erfc as erfcOf,
  erfinv as erfinvOf,
  erf as erfOf,
  lgamma as lgammaOf,
  ndtri as ndtriOf,
  polygamma as polygammaOf,
  zeta as zetaOf,
} from "./kernels/special.ts";
import { after, apply, constantLike, graphOf, mul, neg, sumTo, truediv } from "./operators.ts";
import * as pieces from "./pieces.ts";
import { binary, FLOATS, hostBinary, hostUnary, lowerUnary, ort, unary } from "./signatures.ts";

/** dy · slope(x), slope(x) = scale · e^(-x²) */
const gaussianGrad =
  (scale: number) => (_: unknown, op: { readonly inputs: readonly Output[] }, dys: readonly Output[]) => {
    const dy = dys[0]!;
    const factor = constantLike(dy, scale);
    return after(dy, () => {
      const scaled = mul(dy, factor);
      return [mul(scaled, apply("Exp", neg(apply("Square", op.inputs[0]!))))];
    });
  };

/** 2/√π ∫₀ˣ e^(-t²) dt. @see TensorFlow core/ops/math_ops.cc "Erf"; python/ops/math_grad.py "_ErfGrad" */
export const Erf = defineOp("Erf", {
  ...unary(...FLOATS),
  grad: gaussianGrad(2 / Math.sqrt(Math.PI)),
  lower: lowerUnary("Erf"),
  lowers: ort.float,
  host: hostUnary({ float: erfOf }),
});

/** 2/√π ∫₀ˣ e^(-t²) dt. Named "Erf". */
export const erf = (x: Output, name = "Erf"): Output => x.graph.add(Erf, [x], { name });

/** 1 - erf x. @see TensorFlow core/ops/math_ops.cc "Erfc"; python/ops/math_grad.py "_ErfcGrad" */
export const Erfc = defineOp("Erfc", {
  ...unary(...FLOATS),
  grad: gaussianGrad(-2 / Math.sqrt(Math.PI)),
  // Absolute error 1e-7: beyond 4, where erfc is smaller than that, nothing is left. gelu needs no more.
  lower: (onnx, { x }) => [onnx.map("Sub", [onnx.scalar(1, x.dtype), onnx.map("Erf", [x])])],
  lowers: ort.float,
  host: hostUnary({ float: erfcOf }),
});

/** 1 - erf x. Named "Erfc". */
export const erfc = (x: Output, name = "Erfc"): Output => x.graph.add(Erfc, [x], { name });

/** The inverse of erf. @see TensorFlow core/ops/math_ops.cc "Erfinv"; python/ops/math_grad.py "_ErfinvGrad" */
export const Erfinv = defineOp("Erfinv", {
  ...unary(...FLOATS),
  grad: (_, op, [dy]) => {
    const factor = constantLike(dy!, Math.sqrt(Math.PI) / 2);
    return after(dy!, () => {
      const scaled = mul(dy!, factor);
      return [mul(scaled, apply("Exp", apply("Square", op.output(0))))];
    });
  },
  lower: absent("ONNX has no such op"),
  host: hostUnary({ float: erfinvOf }),
});

/** The inverse of erf. Named "erfinv/Erfinv". */
export const erfinv = (x: Output, name = "erfinv"): Output =>
  x.graph.nameScope(name, () => x.graph.add(Erfinv, [x]));

/** The standard normal distribution's quantile. @see TensorFlow core/ops/math_ops.cc "Ndtri"; python/ops/math_grad.py "_NdtriGrad" */
export const Ndtri = defineOp("Ndtri", {
  ...unary(...FLOATS),
  grad: (_, op, [dy]) => {
    const factor = constantLike(dy!, Math.sqrt(2 * Math.PI));
    return after(dy!, () => {
      const scaled = mul(dy!, factor);
      return [mul(scaled, apply("Exp", truediv(apply("Square", op.output(0)), 2)))];
    });
  },
  lower: absent("ONNX has no such op"),
  host: hostUnary({ float: ndtriOf }),
});

/** The standard normal distribution's quantile. Named "ndtri/Ndtri". */
export const ndtri = (x: Output, name = "ndtri"): Output =>
  x.graph.nameScope(name, () => x.graph.add(Ndtri, [x]));

/** ln |Γ(x)|. @see TensorFlow core/ops/math_ops.cc "Lgamma"; python/ops/math_grad.py "_LgammaGrad" */
export const Lgamma = defineOp("Lgamma", {
  ...unary(...FLOATS),
  grad: (_, op, [dy]) => after(dy!, () => [mul(dy!, apply("Digamma", op.inputs[0]!))]),
  lower: absent("ONNX has no such op"),
  host: hostUnary({ float: lgammaOf }),
});

/** ln |Γ(x)|. Named "Lgamma". */
export const lgamma = (x: Output, name = "Lgamma"): Output => x.graph.add(Lgamma, [x], { name });

/** Γ'(x) / Γ(x). @see TensorFlow core/ops/math_ops.cc "Digamma"; python/ops/math_grad.py "_DigammaGrad" */
export const Digamma = defineOp("Digamma", {
  ...unary(...FLOATS),
  grad: (g, op, [dy]) =>
    after(dy!, () => {
      const x = op.inputs[0]!;
      return [mul(dy!, g.add("Polygamma", [constantLike(x, 1), x]))];
    }),
  lower: absent("ONNX has no such op"),
  host: hostUnary({ float: digammaOf }),
});

/** Γ'(x) / Γ(x). Named "Digamma". */
export const digamma = (x: Output, name = "Digamma"): Output => x.graph.add(Digamma, [x], { name });

/** The a-th derivative of digamma. @see TensorFlow core/ops/math_ops.cc "Polygamma"; python/ops/math_grad.py "_PolygammaGrad" */
export const Polygamma = defineOp("Polygamma", {
  ...binary("float32", "float64"),
  inputs: { a: "T", x: "T" },
  infer: ({ a, x }) => binary("float32").infer({ x: a, y: x }),
  grad: (g, op, [dy]) => {
    const [n, x] = op.inputs as [Output, Output];
    const [sn, sx] = [pieces.shape(n), pieces.shape(x)];
    const rx = g.addOp("BroadcastGradientArgs", [sn, sx]).output(1);
    return after(dy!, () => {
      const partial = g.add("Polygamma", [g.add("AddV2", [n, 1], { name: "add" }), x]);
      return [null, sumTo(mul(partial, dy!), rx, sx)];
    });
  },
  lower: absent("ONNX has no such op"),
  host: ({ a, x }) => hostBinary({ float: polygammaOf })({ x: a, y: x }),
});

/** The a-th derivative of digamma. Named "Polygamma". */
export const polygamma = (a: Input, x: Input, name = "Polygamma"): Output =>
  graphOf(a, x).add(Polygamma, [a, x], { name });

/** Hurwitz zeta Σ (q + n)^(-x). @see TensorFlow core/ops/math_ops.cc "Zeta"; python/ops/math_grad.py "_ZetaGrad" */
export const Zeta = defineOp("Zeta", {
  ...binary("float32", "float64"),
  inputs: { x: "T", q: "T" },
  infer: ({ x, q }) => binary("float32").infer({ x, y: q }),
  grad: (g, op, [dy]) => {
    const [x, q] = op.inputs as [Output, Output];
    const [sx, sq] = [pieces.shape(x), pieces.shape(q)];
    const rq = g.addOp("BroadcastGradientArgs", [sx, sq]).output(1);
    return after(dy!, () => {
      const minus = neg(x);
      const partial = mul(minus, g.add("Zeta", [g.add("AddV2", [x, 1], { name: "add" }), q]));
      return [null, sumTo(mul(partial, dy!), rq, sq)];
    });
  },
  lower: absent("ONNX has no such op"),
  host: ({ x, q }) => hostBinary({ float: zetaOf })({ x, y: q }),
});

/** Hurwitz zeta Σ (q + n)^(-x). Named "Zeta". */
export const zeta = (x: Input, q: Input, name = "Zeta"): Output => graphOf(x, q).add(Zeta, [x, q], { name });
