/** @file Values of a step that follow from constants. Start at `foldStep`. */

import { isStatic, sizeOrNull, type Tensor } from "../base/index.ts";
import { groupArgs, type HostContext, isAbsent, type Operation } from "../graph/index.ts";
import type { Slot } from "./steps.ts";

/** Folded values are kept in the plan; larger ones are left to the engine. */
const MAX_FOLDED_ELEMENTS = 1 << 16;

/** Values of a pure op whose inputs are constants. */
export function foldStep(op: Operation, inputs: readonly (Slot | null)[]): readonly Tensor[] | null {
  const def = op.needDef();
  if (
    def.stateful ||
    def.readsFiles === true ||
    def.access !== undefined ||
    def.update !== undefined ||
    isAbsent(def.host) ||
    op.outputs.length === 0
  )
    return null;
  const values: Tensor[] = [];
  for (const slot of inputs) {
    const { spec } = slot!;
    if (def.shapeOnly === true && isStatic(spec.shape) && spec.dtype !== "variant")
      values.push({ dtype: spec.dtype, shape: spec.shape, data: [] });
    else if (spec.value !== null && slot!.source !== "feed" && spec.value.data.length <= MAX_FOLDED_ELEMENTS)
      values.push(spec.value);
    else return null;
  }
  const isConst = op.inputs.length === 0;
  const size = op.outputs.map((x) => sizeOrNull(x.shape)).find((n) => n !== null && n > MAX_FOLDED_ELEMENTS);
  if (size !== undefined && !isConst) return null;
  const result = def.host(
    groupArgs(def.inputs, op.attrs, values) as never,
    op.attrs as never,
    { op } as HostContext,
  );
  return result instanceof Promise ? null : result;
}
