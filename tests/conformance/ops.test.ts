/** Definitions of ops are TensorFlow's, and every op has a case. The cases run in ops-*.test.ts. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { CORE_OPS } from "../../src/ops/index.ts";
import { opsWithCases } from "./op-cases.ts";
import { type OpDefJson, opDefDifference } from "./op-defs.ts";

const opDefs = JSON.parse(
  readFileSync(new URL("../goldens/ops/op-defs.json", import.meta.url), "utf8"),
) as Record<string, OpDefJson>;
const known = opsWithCases();

test.each([...CORE_OPS.keys()])("%s has a case", (type) => {
  expect(known.has(type)).toBe(true);
});

test.each([...CORE_OPS.keys()])("%s is declared as TensorFlow declares it", (type) => {
  expect(opDefDifference(CORE_OPS.get(type)!, opDefs[type]!)).toBe(null);
});
