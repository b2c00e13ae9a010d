import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RULES, rulesTable } from "./index.ts";

const PAGE = join(import.meta.dirname, "..", "..", "..", "docs", "doctor.md");

test("docs/doctor.md has the table of rules as it is", () => {
  // stale: put what `rulesTable()` gives between the marks of the page
  const page = readFileSync(PAGE, "utf8").replaceAll("\r\n", "\n");
  const [, table] = /<!-- rules -->\n([\s\S]*?)\n<!-- \/rules -->/.exec(page) ?? [];
  expect(table).toBe(rulesTable());
});

test("each rule has its own name, and says what it finds and when", () => {
  expect(new Set(RULES.map((r) => r.id)).size).toBe(RULES.length);
  for (const { id, finds, threshold } of RULES) {
    expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)+$|^duplicates$/);
    expect(finds.length, id).toBeGreaterThan(10);
    expect(threshold.length, id).toBeGreaterThan(2);
  }
});
