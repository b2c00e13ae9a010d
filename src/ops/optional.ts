/**
 * @file Tuples of tensors that may be missing: what the untaken branch of an If hands to its gradient.
 *
 * @see TensorFlow core/ops/optional_ops.cc; core/kernels/data/optional_ops.cc; python/data/ops/optional_ops.py
 */

import { dtypeCppName, formatShape, handleOf, isCompatible, type Tensor, tensor } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";
import { optionalOf } from "./full-types.ts";
import { invalid } from "./kernels/tensor-list.ts";
import { type Optional, type Variant, variantTensor } from "./kernels/variant.ts";
import { onHost } from "./list-facts.ts";

function optionalIn(t: Tensor, op: string): Optional {
  const v = handleOf<Variant>(t);
  if (v.kind !== "optional") throw invalid(`Input to ${op} must be an OptionalVariant object.`);
  return v;
}

/** An optional with a value. */
export const OptionalFromValue = defineOp("OptionalFromValue", {
  ...onHost,
  inputs: { components: "[Toutput_types]" },
  outputs: { optional: "variant" },
  attrs: { Toutput_types: attr.types({ min: 1 }) },
  fullType: ({ Toutput_types }) => optionalOf(Toutput_types),
  infer: () => [{ shape: [] }],
  grad: (g, op, [dy], { Toutput_types }) => {
    const output_shapes = op.inputs.map((x) => ({ dims: x.shape }));
    return g.addOp("OptionalGetValue", [dy!], { attrs: { output_types: Toutput_types, output_shapes } })
      .outputs;
  },
  host: ({ components }) => [variantTensor({ kind: "optional", values: components })],
});

/** An optional without a value. */
export const OptionalNone = defineOp("OptionalNone", {
  ...onHost,
  inputs: {},
  outputs: { optional: "variant" },
  infer: () => [{ shape: [] }],
  grad: absent("TensorFlow registers none"),
  host: () => [variantTensor({ kind: "optional", values: null })],
});

/** Whether there is a value. */
export const OptionalHasValue = defineOp("OptionalHasValue", {
  ...onHost,
  inputs: { optional: "variant" },
  outputs: { has_value: "bool" },
  infer: () => [{ shape: [] }],
  grad: absent("TensorFlow registers none"),
  host: ({ optional }) => [tensor(optionalIn(optional, "OptionalHasValue").values !== null, "bool", [])],
});

/** The value. @throws VarscopeError INVALID_ARGUMENT - there is none, or another */
export const OptionalGetValue = defineOp("OptionalGetValue", {
  ...onHost,
  inputs: { optional: "variant" },
  outputs: { components: "[output_types]" },
  attrs: { output_types: attr.types({ min: 1 }), output_shapes: attr.shapes({ min: 1 }) },
  infer: (_, { output_types, output_shapes }) => {
    if (output_types.length !== output_shapes.length)
      throw invalid(
        `\`output_shapes\` must be the same length as \`output_types\` (${output_shapes.length} vs. ${output_types.length})`,
      );
    return output_shapes.map(({ dims }) => ({ shape: dims }));
  },
  grad: (g, _op, dys) => [g.add("OptionalFromValue", [dys])],
  host: ({ optional }, { output_types, output_shapes }) => {
    const { values } = optionalIn(optional, "OptionalGetValue");
    if (values === null) throw invalid("The given optional does not have a value.");
    if (values.length !== output_types.length)
      throw invalid(`The given optional has ${values.length} components, expected ${output_types.length}`);
    for (const [i, t] of values.entries()) {
      if (t.dtype !== output_types[i])
        throw invalid(
          `The given optional does not match the expected type for component ${i}. Expected: ${dtypeCppName(output_types[i]!)}. Actual: ${dtypeCppName(t.dtype)}.`,
        );
      const { dims } = output_shapes[i]!;
      if (!isCompatible(dims, t.shape))
        throw invalid(
          `The given optional does not match the expected shape for component ${i}. Expected: ${formatShape(dims)}. Actual: ${formatShape(t.shape)}.`,
        );
    }
    return values;
  },
});
