/**
 * @file Printing while a graph runs, to the console: `tf.print` and what it is made of.
 *
 * @see TensorFlow core/ops/logging_ops.cc, string_ops.cc "StringFormat"; core/kernels/logging_ops.cc
 */

import { type Tensor, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";
import { summarize, summarizeRows } from "./kernels/summarize.ts";

const onHost = { lower: absent("ONNX prints nothing") };
const text = (t: Tensor): string => new TextDecoder().decode(t.data[0] as Uint8Array);

/** `template` with each placeholder replaced by a tensor in words; `summarize` elements at each end of an axis, -1: all. */
export const StringFormat = defineOp("StringFormat", {
  ...onHost,
  inputs: { inputs: "[T]" },
  outputs: { output: "string" },
  attrs: {
    T: attr.types({ min: 0 }),
    template: attr.string({ default: "%s" }),
    placeholder: attr.string({ default: "%s" }),
    summarize: attr.int({ default: 3 }),
  },
  infer: (_, { T, template, placeholder }) => {
    const count = template.split(placeholder).length - 1;
    if (count !== T.length)
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `num placeholders in template and num inputs must match: ${count} vs. ${T.length}`,
      );
    return [{ shape: [] }];
  },
  grad: absent("TensorFlow registers none"),
  host: ({ inputs }, attrs) => {
    const [first, ...rest] = attrs.template.split(attrs.placeholder) as [string, ...string[]];
    const shown = rest.map((part, i) => summarizeRows(inputs[i]!, attrs.summarize) + part);
    return [{ dtype: "string", shape: [], data: [new TextEncoder().encode(first + shown.join(""))] }];
  },
});

/** Where a stream of PrintV2 goes. */
const STREAMS: Readonly<Record<string, "log" | "warn" | "error">> = {
  stdout: "log",
  stderr: "error",
  "log(info)": "log",
  "log(warning)": "warn",
  "log(error)": "error",
};

/** Prints a string. The console ends the line itself, whatever `end` says. */
export const PrintV2 = defineOp("PrintV2", {
  ...onHost,
  inputs: { input: "string" },
  outputs: {},
  attrs: { output_stream: attr.string({ default: "stderr" }), end: attr.string({ default: "\n" }) },
  stateful: true,
  infer: ({ input }) => {
    if (input.shape !== null && input.shape.length !== 0)
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `input must be a scalar, but has rank: ${input.shape.length}`,
      );
    return [];
  },
  grad: absent("it has no outputs"),
  host: ({ input }, { output_stream, end }) => {
    const stream = STREAMS[output_stream];
    if (stream === undefined)
      throw new VarscopeError("UNIMPLEMENTED", `printing to '${output_stream}' is not supported`, {
        hint: `use one of ${Object.keys(STREAMS).join(", ")}`,
      });
    console[stream](text(input) + (end === "\n" ? "" : end));
    return [];
  },
});

interface Printed {
  count: number;
}

/** The input, which is handed on; prints `message` and some elements of each of `data`, the first `first_n` times. */
export const Print = defineOp("Print", {
  ...onHost,
  inputs: { input: "T", data: "[U]" },
  outputs: { output: "T" },
  attrs: {
    T: attr.type(),
    U: attr.types({ min: 0 }),
    message: attr.string({ default: "" }),
    first_n: attr.int({ default: -1 }),
    summarize: attr.int({ default: 3 }),
  },
  stateful: true,
  infer: ({ input }) => [{ shape: input.shape, handle: input.handle }],
  grad: (_g, op, [dy]) => [dy!, ...op.inputs.slice(1).map(() => null)],
  host: ({ input, data }, attrs, context) => {
    const printed = context.state<Printed>(() => ({ count: 0 }));
    if (attrs.first_n < 0 || printed.count < attrs.first_n) {
      printed.count++;
      console.error(attrs.message + data.map((t) => summarize(t, attrs.summarize)).join(""));
    }
    return [input];
  },
});
