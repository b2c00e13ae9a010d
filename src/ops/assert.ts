/** @file Checks at run time. */

import { getElement, type Tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";

const text = new TextDecoder();

/** The first elements of a tensor, as TensorFlow's messages show them. */
function summary(t: Tensor, most: number): string {
  const size = t.shape.reduce((a, b) => a * b, 1);
  const shown = Array.from({ length: Math.min(size, most) }, (_, i) => {
    const v = getElement(t, i);
    return v instanceof Uint8Array ? text.decode(v) : t.dtype === "bool" ? String(Number(v)) : String(v);
  });
  return `[${shown.join(" ")}${size > most ? "..." : ""}]`;
}

/** Fails where the condition is false, showing `summarize` elements of each of `data`. @see TensorFlow core/kernels/logging_ops.cc "AssertOp" */
export const Assert = defineOp("Assert", {
  inputs: { condition: "bool", data: "[T]" },
  outputs: {},
  attrs: { T: attr.types({ min: 1 }), summarize: attr.int({ default: 3 }) },
  stateful: true,
  infer: () => [],
  grad: () => [],
  lower: absent("ONNX has no assertions"),
  host: ({ condition, data }, { summarize }, { op }) => {
    if (getElement(condition, 0)) return [];
    const shown = data.map((t) => summary(t, summarize)).join(" ");
    throw new VarscopeError("INVALID_ARGUMENT", `assertion failed: ${shown}`, { at: op.name });
  },
});
