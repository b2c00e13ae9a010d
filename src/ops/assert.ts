/** @file Checks at run time. */

import { getElement, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";
import { summarize } from "./kernels/summarize.ts";

/** Fails where the condition is false, showing `summarize` elements of each of `data`. @see TensorFlow core/kernels/logging_ops.cc "AssertOp" */
export const Assert = defineOp("Assert", {
  inputs: { condition: "bool", data: "[T]" },
  outputs: {},
  attrs: { T: attr.types({ min: 1 }), summarize: attr.int({ default: 3 }) },
  stateful: true,
  infer: () => [],
  grad: () => [],
  lower: absent("ONNX has no assertions"),
  host: ({ condition, data }, { summarize: most }, { op }) => {
    if (getElement(condition, 0)) return [];
    const shown = data.map((t) => summarize(t, most)).join(" ");
    throw new VarscopeError("INVALID_ARGUMENT", `assertion failed: ${shown}`, { at: op.name });
  },
});
