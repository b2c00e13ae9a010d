import { expect, test } from "vitest";
import { andThen, inTurn, type Soon } from "./soon.ts";

test("what needs no waiting is done when the call returns", () => {
  const seen: number[] = [];
  expect(inTurn([1, 2, 3], (x) => void seen.push(x))).toBeUndefined();
  expect(seen).toEqual([1, 2, 3]);
  expect(andThen(2, (x) => x + 1)).toBe(3);
});

test("one item that waits makes all behind it wait, in order", async () => {
  const seen: string[] = [];
  const work = (x: string): Soon<void> => {
    if (x === "slow") return Promise.resolve().then(() => void seen.push(x));
    seen.push(x);
  };
  const done = inTurn(["a", "slow", "b"], work);
  expect(seen).toEqual(["a"]);
  await done;
  expect(seen).toEqual(["a", "slow", "b"]);
});

test("an error is thrown where nothing waited, and rejects where something did", async () => {
  const fail = (): never => {
    throw new Error("no");
  };
  expect(() => inTurn([1], fail)).toThrow("no");
  await expect(inTurn([Promise.resolve(), undefined], (x) => (x === undefined ? fail() : x))).rejects.toThrow(
    "no",
  );
});
