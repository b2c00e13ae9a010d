import { expect, test } from "vitest";
import { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat, tensor } from "../../base/index.ts";
import { narrow, numbersOf, sameBytes } from "./numbers.ts";

/** Each half float, its neighbours in float32, and the middles between halves with theirs. */
function edges(): Float32Array {
  const values: number[] = [];
  for (let bits = 0; bits < 0x10000; bits += 7) {
    const [x, y] = [halfToFloat(bits), halfToFloat(bits + 1)];
    for (const v of [
      x,
      (x + y) / 2,
      bfloat16ToFloat(bits),
      (bfloat16ToFloat(bits) + bfloat16ToFloat(bits + 1)) / 2,
    ])
      values.push(v, v * (1 + 2 ** -23), v * (1 - 2 ** -23));
  }
  return Float32Array.from([
    ...values,
    65519.996,
    65520,
    2 ** -25,
    2 ** -25 * 1.0000001,
    2 ** -24 * 1.5,
    -0,
    Number.NaN,
  ]);
}

test("half floats are rounded as one by one", () => {
  const values = edges();
  for (const [to, one] of [
    ["float16", floatToHalf],
    ["bfloat16", floatToBfloat16],
  ] as const) {
    const out = new Uint16Array(values.length);
    narrow(values, to, out);
    const wrong = [...out.keys()].filter((i) => out[i] !== one(values[i]!));
    expect(
      wrong.map((i) => values[i]),
      to,
    ).toEqual([]);
  }
});

test("half floats are read as one by one", () => {
  const bits = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
  const shape = [bits.length];
  for (const [dtype, one] of [
    ["float16", halfToFloat],
    ["bfloat16", bfloat16ToFloat],
  ] as const)
    expect(Array.from(numbersOf({ dtype, shape, data: bits })!)).toEqual(Array.from(bits, one));
});

test("bytes are compared at any offset", () => {
  const odd = { dtype: "uint8" as const, shape: [3], data: Uint8Array.of(9, 1, 2, 3).subarray(1) };
  expect(sameBytes(odd, tensor([1, 2, 3], "uint8"))).toBe(true);
  expect(sameBytes(odd, tensor([1, 2, 4], "uint8"))).toBe(false);
  expect(sameBytes(tensor([1, 2], "float32"), tensor([1, 2], "float32"))).toBe(true);
  expect(sameBytes(tensor([1, 2], "float32"), tensor([1, 3], "float32"))).toBe(false);
  expect(sameBytes(tensor([1, 2, 3], "float16"), tensor([1, 2, 4], "float16"))).toBe(false);
});
