import { expect, test } from "vitest";
import { transformAxis } from "./fft.ts";

/** The sum itself. */
function slow(x: Float64Array, inverse: boolean): number[] {
  const n = x.length / 2;
  const out: number[] = [];
  for (let k = 0; k < n; k++) {
    let [re, im] = [0, 0];
    for (let j = 0; j < n; j++) {
      const angle = ((inverse ? 2 : -2) * Math.PI * ((j * k) % n)) / n;
      re += x[2 * j]! * Math.cos(angle) - x[2 * j + 1]! * Math.sin(angle);
      im += x[2 * j]! * Math.sin(angle) + x[2 * j + 1]! * Math.cos(angle);
    }
    out.push(inverse ? re / n : re, inverse ? im / n : im);
  }
  return out;
}

test.each([1, 2, 3, 4, 5, 7, 8, 12, 31, 64, 97, 100])("length %d equals its sum, both ways", (n) => {
  const x = Float64Array.from({ length: 2 * n }, (_, i) => Math.sin(i * i + 1));
  for (const inverse of [false, true]) {
    const y = x.slice();
    transformAxis(y, [n], 0, inverse);
    const want = slow(x, inverse);
    expect(Math.max(...want.map((v, i) => Math.abs(v - y[i]!)))).toBeLessThan(1e-12 * n);
  }
});

test("an axis in the middle is transformed, and no other", () => {
  const shape = [2, 6, 3];
  const x = Float64Array.from({ length: 72 }, (_, i) => Math.cos(i * 3));
  const y = x.slice();
  transformAxis(y, shape, 1, false);
  const at = (b: number, j: number, c: number): number => 2 * ((b * 6 + j) * 3 + c);
  const line = Float64Array.from(
    [0, 1, 2, 3, 4, 5].flatMap((j) => [...x.subarray(at(1, j, 2), at(1, j, 2) + 2)]),
  );
  slow(line, false).forEach((v, i) => {
    expect(y[at(1, i >> 1, 2) + (i & 1)]).toBeCloseTo(v, 12);
  });
});
