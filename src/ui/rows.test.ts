import { expect, test } from "vitest";
import type { Stats } from "../edit/stats.ts";
import type { VariableEntry } from "../formats/collection/index.ts";
import { facetsOf } from "./facets.ts";
import { healthOfGroup } from "./health.ts";
import { groupsOf, rowsOf, type View } from "./rows.ts";

const entry = (
  name: string,
  role: VariableEntry["role"],
  facts: Partial<VariableEntry> = {},
): VariableEntry => ({
  name,
  key: name,
  dtype: "float32",
  shape: [4],
  bytes: 16,
  role,
  layer: name.slice(0, name.lastIndexOf("/")),
  ...facts,
});
const NORM = [
  entry("c/bn/beta", "beta"),
  entry("c/bn/gamma", "gamma"),
  entry("c/bn/mean", "moving-mean"),
  entry("c/bn/var", "moving-variance"),
];
const ALL = [
  ...NORM,
  entry("c/bn/gamma/Adam", "slot", { layer: "c/bn", of: "c/bn/gamma", slot: "m", optimizer: "Adam" }),
  entry("c10/w", "weight"),
  entry("c2/w", "weight", { shape: [8], bytes: 32 }),
];
const VIEW: View = {
  grouped: true,
  pattern: null,
  roles: new Set(),
  dtypes: new Set(),
  scopes: new Set(),
  sort: "name",
  isDescending: false,
  open: new Set(),
};
const stats = (min: number, max: number, nan = 0): Stats => ({
  min,
  max,
  mean: 0,
  std: 0,
  zeros: 0,
  nan,
  inf: 0,
  histogram: null,
});

test("layers in natural order; a batch normalization's variables in one row, gamma first; slots below their variable", () => {
  const rows = rowsOf(ALL, VIEW, new Map());
  expect(rows.map((r) => r.id)).toEqual(["layer:c/bn", "c2/w", "c10/w"]);
  const open = rowsOf(ALL, { ...VIEW, open: new Set(["layer:c/bn"]) }, new Map());
  expect(open.slice(1, 6).map((r) => r.id)).toEqual([
    "c/bn/gamma",
    "c/bn/gamma/Adam",
    "c/bn/beta",
    "c/bn/mean",
    "c/bn/var",
  ]);
});

test("what has no number stands last, whatever the direction", () => {
  const numbers = new Map([
    ["c2/w", stats(1, 2)],
    ["c10/w", stats(-1, 9)],
  ]);
  const by = (isDescending: boolean) =>
    rowsOf(ALL, { ...VIEW, grouped: false, sort: "min", isDescending }, numbers).map((r) => r.id);
  expect(by(false).slice(0, 2)).toEqual(["c10/w", "c2/w"]);
  expect(by(true).slice(0, 2)).toEqual(["c2/w", "c10/w"]);
});

test("filters go together", () => {
  const rows = rowsOf(
    ALL,
    { ...VIEW, grouped: false, pattern: /^c/i, roles: new Set(["weight", "gamma"]), scopes: new Set(["c"]) },
    new Map(),
  );
  expect(rows.map((r) => r.id)).toEqual(["c/bn/gamma"]);
});

test("totals leave slots out of the model's parameters", () => {
  expect(facetsOf(ALL)).toMatchObject({ tensors: 7, parameters: 28, elements: 32, bytes: 128 });
});

test("a layer is as bad as its worst variable, and statistics of 0 and 1 were never updated", () => {
  const group = groupsOf(NORM)[0]!;
  const health = (numbers: Map<string, Stats>) => healthOfGroup(group.members, group.norm, numbers);
  const with_ = (mean: Stats, variance: Stats) =>
    new Map([
      ["c/bn/gamma", stats(1, 2)],
      ["c/bn/beta", stats(0, 1)],
      ["c/bn/mean", mean],
      ["c/bn/var", variance],
    ]);
  expect(health(new Map()).state).toBe("unknown");
  expect(health(with_(stats(0.1, 0.2), stats(1, 2))).state).toBe("good");
  expect(health(with_(stats(0, 0), stats(1, 1)))).toEqual({ state: "bad", words: "never updated" });
  expect(health(with_(stats(0.1, 0.2, 1), stats(1, 2))).state).toBe("bad");
  expect(health(with_(stats(0.1, 0.2), stats(-1, 2)))).toMatchObject({
    state: "bad",
    words: "negative variance",
  });
});
