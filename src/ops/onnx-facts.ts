/**
 * @file What lowerings ask before they build: which dtypes ONNX Runtime's CPU kernels move about, and what shape an op has where a
 * plan knows more than the graph. Start at `movable`.
 */

import { type DType, mergeShapes, type Shape } from "../base/index.ts";
import { dimsOf, type OnnxValue, type Operation, type Spec } from "../graph/index.ts";

const MOVABLE: ReadonlySet<DType> = new Set<DType>([
  "float32",
  "float64",
  "float16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
]);

/** Whether ONNX Runtime's Reshape, Transpose, Gather, Concat, Slice, Cast, ... take this dtype on the CPU. */
export const movable = (dtype: DType): boolean => MOVABLE.has(dtype);

/** What a value of the ONNX model is known to be, as shape functions read it. */
export function specOfValue(value: OnnxValue): Spec {
  const { dtype, shape, constant } = value;
  return {
    dtype,
    shape,
    value: constant,
    partial: constant === null ? null : dimsOf(constant),
    handle: null,
  };
}

/** Shape of output `index`: what the graph knows and what the inputs of this plan say. */
export function outShape(
  op: Operation,
  inputs: Readonly<Record<string, OnnxValue | readonly OnnxValue[]>>,
  index = 0,
): Shape | null {
  const specs = Object.fromEntries(
    Object.entries(inputs).map(([name, x]) => [
      name,
      Array.isArray(x) ? x.map(specOfValue) : specOfValue(x as OnnxValue),
    ]),
  );
  const inferred = op.needDef().infer(specs, op.attrs)[index]?.shape ?? null;
  return mergeShapes(op.output(index).shape, inferred);
}

/** Number of dims that are not known; Infinity where the rank is not. */
export const unknownDims = (shape: Shape | null): number =>
  shape === null ? Number.POSITIVE_INFINITY : shape.filter((d) => d === null).length;
