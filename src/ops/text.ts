/**
 * @file Strings put together, element by element.
 *
 * @see TensorFlow core/ops/string_ops.cc
 */

import { joinBytes, mergeShapes, type Shape, sizeOf } from "../base/index.ts";
import { attr, defineOp, type Output } from "../graph/index.ts";
import { attrBytes, bytesIn, stopped, strings } from "./host-facts.ts";

/** Texts joined, element by element; scalars go with each. @see TensorFlow core/ops/string_ops.cc "StringJoin" */
export const StringJoin = defineOp("StringJoin", {
  ...stopped,
  inputs: { inputs: "N*string" },
  outputs: { output: "string" },
  attrs: { N: attr.int({ min: 0 }), separator: attr.string({ default: "" }) },
  infer: ({ inputs }) => [{ shape: joinedShape(inputs.map((x) => x.shape)) }],
  host: ({ inputs }, { separator }) => {
    const shape = joinedShape(inputs.map((x) => x.shape)) as readonly number[];
    const texts = inputs.map(bytesIn);
    const between = attrBytes(separator);
    const data = Array.from({ length: sizeOf(shape) }, (_, i) =>
      joinBytes(texts.flatMap((t, k) => (k === 0 ? [] : [between]).concat(t[t.length === 1 ? 0 : i]!))),
    );
    return [strings(shape, data)];
  },
});

/** The shape of those that are no scalars, which must agree. */
function joinedShape(shapes: readonly (Shape | null)[]): Shape | null {
  let shape: Shape | null = [];
  for (const other of shapes) {
    if (other === null) return null;
    if (other.length > 0) shape = shape!.length === 0 ? other : mergeShapes(shape, other);
  }
  return shape;
}

/** Strings of one shape, or scalars beside them, joined element by element. Named "StringJoin". */
export const stringJoin = (
  inputs: readonly [Output, ...(Output | string)[]],
  separator = "",
  name = "StringJoin",
): Output => inputs[0].graph.add(StringJoin, [inputs], { name, attrs: { separator } });
