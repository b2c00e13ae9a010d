/** @file What all kinds of batch normalization share: their variables, and how statistics move. */

import type { DType } from "../base/index.ts";
import { Output } from "../graph/index.ts";
import { type Variable, type Written, writeVariable } from "../variables/index.ts";
import type { BatchNormalizationOptions } from "./batch-norm.ts";

/** Variables and form of a layer. */
export interface Norm {
  readonly axes: readonly number[];
  readonly fused: boolean;
  /** null where the layer has none; in the fused path a constant then */
  readonly gamma: Variable | Output | null;
  readonly beta: Variable | Output | null;
  readonly movingMean: Variable;
  readonly movingVariance: Variable;
  /** of batch renormalization */
  readonly renorm: RenormVariables | null;
}

/** What batch renormalization keeps besides. */
export interface RenormVariables {
  readonly movingStddev: Variable;
  readonly mean: Variable;
  readonly stddev: Variable;
}

/** Whether statistics are those of parts of the batch. */
export const isInParts = (o: BatchNormalizationOptions): boolean => (o.virtualBatchSize ?? null) !== null;

/** v -= (v - value) · (1 - momentum). Of an output the difference is taken by an op, in float32; of a number at once. */
export function movingUpdate(v: Variable, value: Output, momentum: number | Output): Written {
  const { graph: g } = v;
  return g.nameScope("AssignMovingAvg", (scope) =>
    g.colocateWith(v.op, () => {
      let decay =
        momentum instanceof Output
          ? g.add("Sub", [1, momentum], { name: "sub" })
          : g.constant(1 - momentum, { name: "decay" });
      if (decay.dtype !== v.dtype) decay = castTo(decay, v.dtype);
      const difference = g.add("Sub", [v.value(), castTo(value, v.dtype)], { name: "sub" });
      const delta = g.add("Mul", [difference, decay], { name: "mul" });
      return writeVariable(v, "sub", delta, v.isResource ? {} : { name: scope });
    }),
  );
}

/** The value after an assignment, where an op uses it: TensorFlow reads a resource anew each time. */
export const afterWrite = (v: Variable, { op, value }: Written): Output =>
  v.isResource ? v.graph.controlDependencies([op], () => v.value()) : value;

/** `x` in another dtype. */
export const castTo = (x: Output, dtype: DType): Output =>
  x.dtype === dtype ? x : x.graph.add("Cast", [x], { attrs: { DstT: dtype } });
