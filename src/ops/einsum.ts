/** @file Einsum: sums of products by labels of axes. What an equation says is in equation.ts, its gradient in einsum-grad.ts. */

import { type DType, type Shape, VarscopeError } from "../base/index.ts";
import { attr, defineOp, type Onnx, type OnnxValue, type Output } from "../graph/index.ts";
import { einsumGrad } from "./einsum-grad.ts";
import { type Bound, bindEquation, explicitEquation } from "./equation.ts";
import { contract } from "./kernels/matmul.ts";
import { graphOf } from "./operators.ts";

const TAKEN: ReadonlySet<DType> = new Set(["float32", "float64", "float16", "int32", "int64"] as const);

const shapeOf = ({ output, sizes }: Bound): Shape => output.map((label) => sizes.get(label)!);

/** The equation in letters that ONNX has, with one letter for each axis of "..."; null where the letters do not suffice. */
function onnxEquation({ inputs, output }: Bound): string | null {
  const used = new Set([...inputs.flat(), ...output]);
  const spare = [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"].filter((l) => !used.has(l));
  const letters = new Map<string, string>();
  for (const label of used) letters.set(label, /^[A-Za-z]$/.test(label) ? label : (spare.shift() ?? ""));
  if ([...letters.values()].includes("")) return null;
  const write = (labels: readonly string[]): string => labels.map((l) => letters.get(l)).join("");
  return `${inputs.map(write).join(",")}->${write(output)}`;
}

/** An operand without the axes of size 1 that broadcast: ONNX infers wrong shapes from them. */
function withoutOnes(
  onnx: Onnx,
  x: OnnxValue,
  labels: readonly string[],
  sizes: Bound["sizes"],
): { value: OnnxValue; labels: string[] } {
  const shape = x.shape!;
  const stays = labels.map((label, i) => shape[i] !== 1 || sizes.get(label) === 1);
  if (!stays.includes(false)) return { value: x, labels: [...labels] };
  const axes = stays.flatMap((yes, i) => (yes ? [] : [i]));
  const value = onnx.add("Squeeze", [x, onnx.ints(axes)], {}, { shape: shape.filter((_, i) => stays[i]) });
  return { value, labels: labels.filter((_, i) => stays[i]) };
}

const repeats = (labels: readonly string[]): boolean => new Set(labels).size < labels.length;

/**
 * Sum of products by an equation such as "ij,jk->ik". A label twice in one input runs along its diagonal; "..." are axes that broadcast.
 *
 * @see TensorFlow core/ops/linalg_ops.cc "Einsum"; core/kernels/linalg/einsum_op_impl.h; python/ops/linalg_grad.py "_EinsumGrad"
 */
export const Einsum = defineOp("Einsum", {
  inputs: { inputs: "N*T" },
  outputs: { output: "T" },
  attrs: { equation: attr.string(), N: attr.int({ min: 1 }), T: attr.type() },
  infer: ({ inputs }, { equation }) => {
    const bound = bindEquation(
      equation,
      inputs.map((x) => x.shape),
    );
    return [{ shape: bound === null ? null : shapeOf(bound) }];
  },
  grad: (g, op, [dy], { equation }) => einsumGrad(g, op, dy!, equation),
  lower: (onnx, { inputs }, { equation }) => {
    const bound = bindEquation(
      equation,
      inputs.map((x) => x.shape),
    )!;
    const parts = inputs.map((x, i) => withoutOnes(onnx, x, bound.inputs[i]!, bound.sizes));
    const plain = onnxEquation({ ...bound, inputs: parts.map((p) => p.labels) })!;
    return [
      onnx.add(
        "Einsum",
        parts.map((p) => p.value),
        { equation: plain },
        { shape: shapeOf(bound) },
      ),
    ];
  },
  lowers: ({ T, equation }, { inputs }) => {
    if (!TAKEN.has(T) || inputs.some((x) => x.shape === null || x.shape.includes(0))) return false;
    const bound = bindEquation(
      equation,
      inputs.map((x) => x.shape),
    )!;
    return !repeats(bound.output) && !bound.inputs.some(repeats) && onnxEquation(bound) !== null;
  },
  host: ({ inputs }, { equation }) => {
    const bound = bindEquation(
      equation,
      inputs.map((x) => x.shape),
    )!;
    const operands = inputs.map((tensor, i) => ({ tensor, labels: bound.inputs[i]! }));
    return [contract(operands, bound.output, bound.sizes as ReadonlyMap<string, number>)];
  },
});

/**
 * Sum of products of one or two tensors by an equation; without "->" the output has the labels that occur once, in alphabetical order.
 * Named "einsum/Einsum".
 *
 * @throws VarscopeError UNIMPLEMENTED - more than two tensors: their order would decide cost and names
 */
export function einsum(equation: string, inputs: readonly Output[], name = "einsum"): Output {
  if (inputs.length > 2) {
    throw new VarscopeError("UNIMPLEMENTED", `einsum takes one or two tensors, ${inputs.length} given`, {
      hint: "contract them pair by pair",
    });
  }
  const g = graphOf(...inputs);
  return g.nameScope(name, () =>
    g.add(Einsum, [inputs], { attrs: { equation: explicitEquation(equation) } }),
  );
}
