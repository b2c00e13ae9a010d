/** The truth table of docs/compatibility.md is what tests/features/*.json says, and every test that a row names is there. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";

interface Row {
  readonly id: string;
  readonly feature: string;
  readonly here: "yes" | "partly" | "no";
  readonly test?: string;
  readonly why?: string;
  readonly file: string;
}

const ROOT = join(import.meta.dirname, "..");
const tool = pathToFileURL(join(ROOT, "tools", "features.mjs")).href;
const { featureRows, partOf, withFeatures } = (await import(/* @vite-ignore */ tool)) as {
  featureRows: () => readonly Row[];
  partOf: (id: string) => string | undefined;
  withFeatures: (page: string) => string;
};
const rows = featureRows();

/** Text of a file with what code puts between quotes as it reads. */
const textOf = (file: string): string =>
  readFileSync(join(ROOT, file), "utf8").replaceAll(/\\(["'`])/g, "$1");

test("docs/compatibility.md has the table that tools/features.mjs makes", () => {
  const page = readFileSync(join(ROOT, "docs", "compatibility.md"), "utf8").replaceAll("\r\n", "\n");
  // stale: node tools/features.mjs
  expect(page).toBe(withFeatures(page));
});

describe.each([...new Set(rows.map((r) => r.file))])("%s", (file) => {
  const own = rows.filter((r) => r.file === file);

  test("each row is of a part, and says where it is shown or why it is not", () => {
    for (const row of own) {
      expect(partOf(row.id), row.id).toBeDefined();
      expect(["yes", "partly", "no"], row.id).toContain(row.here);
      if (row.here !== "no") expect(row.test, `${row.id}: a test`).toMatch(/^\S+ > .+/);
      if (row.here !== "yes") expect(row.why, `${row.id}: a reason`).toBeTruthy();
    }
  });

  test("the tests that it names are there", () => {
    const missing = own.flatMap(({ id, test: named }) => {
      if (named === undefined) return [];
      const [path = "", ...titles] = named.split(" > ");
      if (!existsSync(join(ROOT, path))) return [`${id}: ${path}`];
      const text = textOf(path);
      return titles.every((title) => text.includes(title)) ? [] : [`${id}: ${named}`];
    });
    expect(missing).toEqual([]);
  });
});
