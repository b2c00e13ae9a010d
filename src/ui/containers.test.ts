import { expect, test } from "vitest";
import { containersIn } from "./containers.ts";

test("a checkpoint's files are one container, the highest number first", () => {
  const files = [
    "checkpoint",
    "m-9.index",
    "m-9.data-00000-of-00001",
    "m-10.index",
    "m-10.data-00000-of-00001",
    "m-10.meta",
  ];
  expect(containersIn(files)).toEqual(["m-10", "m-9", "m-10.meta"]);
});

test("a SavedModel is its folder, not its parts", () => {
  const inside = [
    "saved_model.pb",
    "fingerprint.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
  ];
  expect(containersIn(inside.map((f) => `export/${f}`))).toEqual(["export"]);
  expect(containersIn(inside)).toEqual(["."]);
});

test("V1 shards are opened by the first; names that say nothing are tried", () => {
  expect(containersIn(["old-00001-of-00002", "old-00000-of-00002"])).toEqual(["old-00000-of-00002"]);
  expect(containersIn(["model.ckpt", "checkpoint"])).toEqual(["model.ckpt"]);
  expect(containersIn(["x.data-00000-of-00001"])).toEqual(["x.data-00000-of-00001"]);
});
