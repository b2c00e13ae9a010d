import { expect, test } from "vitest";
import {
  emptyVector,
  type Vector,
  vectorAt,
  vectorEntries,
  vectorOf,
  vectorResized,
  vectorWith,
} from "./vector.ts";

const toArray = (v: Vector<number>): (number | undefined)[] =>
  Array.from({ length: v.length }, (_, i) => vectorAt(v, i));

test("a vector is what an array would be, whatever is done to it", () => {
  let seed = 7;
  const random = (n: number): number => {
    seed = (seed * 48271) % 2147483647;
    return seed % n;
  };
  for (let round = 0; round < 40; round++) {
    const array = Array.from({ length: random(2100) }, (_, i) => (i % 7 === 0 ? undefined : i));
    let v = vectorOf<number>(array);
    for (let step = 0; step < 30; step++) {
      const before = [v, toArray(v)] as const;
      if (random(2) === 0 && array.length > 0) {
        const at = random(array.length);
        array[at] = step;
        v = vectorWith(v, at, step);
      } else {
        const length = random(2) === 0 ? random(2100) : array.length + 1;
        while (array.length < length) array.push(undefined);
        array.length = length;
        v = vectorResized(v, length);
      }
      expect(toArray(v)).toEqual(array);
      expect(toArray(before[0])).toEqual(before[1]); // the old one is as it was
    }
    const filled = [...array.entries()].filter(([, x]) => x !== undefined);
    expect([...vectorEntries(v)]).toEqual(filled);
  }
});

test("pushing and popping 100,000 elements shares almost all of them", () => {
  let v = vectorOf<number>([]);
  for (let i = 0; i < 1e5; i++) v = vectorWith(vectorResized(v, i + 1), i, i);
  expect([...vectorEntries(v)]).toHaveLength(1e5);
  for (let i = 1e5; i > 0; i--) v = vectorResized(v, i - 1);
  expect(v.length).toBe(0);
  expect(v.root).toEqual([]);
});

test("a billion empty places cost nothing", () => {
  const v = vectorWith(emptyVector<number>(1e9), 5e8, 1);
  expect(vectorAt(v, 5e8)).toBe(1);
  expect(vectorAt(v, 5e8 + 1)).toBe(undefined);
  expect([...vectorEntries(v)]).toEqual([[5e8, 1]]);
});
