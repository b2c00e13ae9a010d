/**
 * @file The gradient of RGBToHSV, in the ops that TensorFlow Python builds it of: for each component the slopes of hue, saturation and
 * value by which component is the largest and which the smallest. Start at `rgbToHsvGrad`.
 *
 * @see TensorFlow python/ops/image_grad.py "_RGBToHSVGrad"
 */

import type { DType } from "../base/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import { add, apply, divNoNan, mul, sub, truediv } from "./operators.ts";
import { cast, cut } from "./pieces.ts";

/** x[..., i] */
const component = (x: Output, i: number): Output =>
  cut(x.graph, x, [0, i], [0, i + 1], { ellipsis: 1, shrink: 2, strides: [1, 1] });

const addNamed = (x: Output, y: Output): Output => add(x, y, "Add");
const square = (x: Output): Output => apply("Square", x);

/** 1 / x, 0 where x is 0. */
function inverse(x: Output): Output {
  const g = x.graph;
  const one = g.nameScope("Cast", (scope) => {
    const number = g.constant(1, { dtype: "float32", name: "x" });
    return x.dtype === "float32"
      ? number
      : g.add("Cast", [number], { name: scope, attrs: { DstT: x.dtype } });
  });
  return divNoNan(one, x);
}

/** Numbers that are 1 where a condition holds, else 0. */
function masks(g: Graph, dtype: DType, [r, b, gr]: readonly [Output, Output, Output]) {
  const both = (a: readonly [string, Output, Output], c: readonly [string, Output, Output]): Output => {
    const [first, second] = [a, c].map(([type, x, y]) => g.add(type, [x, y]));
    return cast(g.add("LogicalAnd", [first!, second!], { name: "and" }), dtype);
  };
  return {
    redMost: both(["GreaterEqual", r, b], ["GreaterEqual", r, gr]),
    greenMost: both(["Greater", gr, r], ["GreaterEqual", gr, b]),
    blueMost: both(["Greater", b, r], ["Greater", b, gr]),
    redLeast: both(["Less", r, b], ["Less", r, gr]),
    greenLeast: both(["LessEqual", gr, r], ["Less", gr, b]),
    blueLeast: both(["LessEqual", b, r], ["LessEqual", b, gr]),
  };
}

/** A component with the masks of it, and what belongs to the others. */
interface Part {
  readonly color: Output;
  readonly most: Output;
  readonly least: Output;
}

/** Slope of saturation: of the largest, smallest / largest²; of the smallest, -1 / largest. `a` and `b`: the other two, as Python has them. */
function saturationSlope(self: Part, a: Part, b: Part): Output {
  const positive = cast(apply("Greater", self.color, 0), self.color.dtype);
  const smallest = addNamed(mul(a.least, a.color), mul(b.least, b.color));
  const largest = mul(mul(self.most, smallest), inverse(square(self.color)));
  const negated = mul(self.least, -1);
  const lowest = mul(negated, inverse(add(mul(a.most, a.color), mul(b.most, b.color))));
  return mul(positive, addNamed(largest, lowest));
}

/** 60 times a product that begins with whether the component is above 0. */
function sixty({ color }: Part, ...factors: readonly (Output | -1 | Factor)[]): Output {
  const positive = cast(apply("Greater", color, 0), color.dtype);
  const product = factors.reduce<Output>(
    (x, factor) => mul(x, typeof factor === "function" ? factor() : factor),
    positive,
  );
  return mul(60, product);
}

/** A factor of a slope, made in its turn. */
type Factor = () => Output;

const difference =
  (a: Part, b: Part): Factor =>
  () =>
    sub(a.color, b.color);
const over =
  (a: Part, b: Part): Factor =>
  () =>
    inverse(sub(a.color, b.color));
const overSquare =
  (a: Part, b: Part): Factor =>
  () =>
    inverse(square(sub(a.color, b.color)));

/** Slopes of hue: for each component by which one is the largest, and where it is another one, by which is the smallest. */
function hueSlopes(
  parts: Readonly<Record<"red" | "green" | "blue", Part>>,
  overBoth: readonly Factor[],
): Output[] {
  const { red, green, blue } = parts;
  return [
    sum([
      sixty(red, red.most, -1, difference(green, blue), ...overBoth),
      sixty(green, green.most, red.least, difference(blue, green), overSquare(red, green)),
      sixty(green, green.most, blue.least, -1, over(green, blue)),
      sixty(blue, blue.most, red.least, difference(blue, green), overSquare(blue, red)),
      sixty(blue, blue.most, green.least, over(blue, green)),
    ]),
    sum([
      sixty(green, green.most, -1, difference(blue, red), ...overBoth),
      sixty(red, red.most, green.least, difference(red, blue), overSquare(red, green)),
      sixty(red, red.most, blue.least, over(red, blue)),
      sixty(blue, blue.most, green.least, difference(red, blue), overSquare(blue, green)),
      sixty(blue, blue.most, red.least, -1, over(blue, red)),
    ]),
    sum([
      sixty(blue, blue.most, -1, difference(red, green), ...overBoth),
      sixty(red, red.most, blue.least, difference(green, red), overSquare(red, blue)),
      sixty(red, red.most, green.least, -1, over(red, green)),
      sixty(green, green.most, blue.least, difference(green, red), overSquare(green, blue)),
      sixty(green, green.most, red.least, over(green, red)),
    ]),
  ];
}

/** From degrees to parts of the circle. */
const sum = (terms: readonly Output[]): Output =>
  truediv(
    terms.reduce((a, b) => add(a, b)),
    360,
  );

/** The gradient for the RGB images. */
export function rgbToHsvGrad(g: Graph, op: Operation, dy: Output): Output {
  const [x, y] = [op.inputs[0]!, op.outputs[0]!];
  const [reds, greens, blues] = [component(x, 0), component(x, 1), component(x, 2)];
  const [saturation, value] = [component(y, 1), component(y, 2)];
  const is = masks(g, x.dtype, [reds, blues, greens]);
  const red = { color: reds, most: is.redMost, least: is.redLeast };
  const green = { color: greens, most: is.greenMost, least: is.greenLeast };
  const blue = { color: blues, most: is.blueMost, least: is.blueLeast };
  const saturations = [
    saturationSlope(red, green, blue),
    saturationSlope(green, red, blue),
    saturationSlope(blue, green, red),
  ];
  const hues = hueSlopes({ red, green, blue }, [
    () => inverse(square(saturation)),
    () => inverse(square(value)),
  ]);
  const stacked = (i: number, slopes: readonly Output[]): Output => {
    const parts = slopes.map((slope) => mul(component(dy, i), slope));
    return g.add("Pack", [parts], { name: "stack", attrs: { axis: -1 } });
  };
  const values = stacked(2, [red.most, green.most, blue.most]);
  const both = [stacked(1, saturations), stacked(0, hues)] as const;
  return addNamed(addNamed(values, both[0]), both[1]);
}
