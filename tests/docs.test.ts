/** Pages that are generated are fresh; links lead somewhere; files and tests that a page names are there. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, test } from "vitest";
import { CORE_OPS } from "../src/index.ts";

const ROOT = join(import.meta.dirname, "..");
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8").replaceAll("\r\n", "\n");
const PAGES = [
  "README.md",
  "README.zh-CN.md",
  "CHANGELOG.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((f) => f.endsWith(".md"))
    .map((f) => `docs/${f}`),
];

test("docs/ops.md is what tools/ops-table.mjs makes of the registry", async () => {
  const tool = pathToFileURL(join(ROOT, "tools", "ops-table.mjs")).href;
  const { opsTable } = (await import(/* @vite-ignore */ tool)) as {
    opsTable: (ops: typeof CORE_OPS) => string;
  };
  // stale: npm run build && node tools/ops-table.mjs
  expect(read("docs/ops.md")).toBe(opsTable(CORE_OPS));
});

test("README counts the ops", () => {
  for (const page of ["README.md", "README.zh-CN.md", "CHANGELOG.md"]) {
    expect(read(page), page).toMatch(new RegExp(`\\b${CORE_OPS.size} (ops|个|with)|\\| ${CORE_OPS.size}\\D`));
  }
});

/** GitHub's anchor of a heading. */
const anchor = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");

const anchorsOf = (text: string): string[] => [...text.matchAll(/^#+ (.*)$/gm)].map((m) => anchor(m[1]!));

describe.each(PAGES)("%s", (page) => {
  const text = read(page);

  test("links lead to files and headings that are there", () => {
    for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target!)) continue;
      const [file, heading] = target!.split("#") as [string, string?];
      const path = file === "" ? page : join(dirname(page), file);
      expect(existsSync(join(ROOT, path)), `${target} in ${page}`).toBe(true);
      if (heading !== undefined) expect(anchorsOf(read(path)), `${target} in ${page}`).toContain(heading);
    }
  });

  test("files that it names are there", () => {
    const named = [...text.matchAll(/`((?:src|tests|tools|examples|bench|docs)\/[\w./-]*\w)`/g)];
    const missing = named.map((m) => m[1]!).filter((path) => !existsSync(join(ROOT, path)));
    expect(missing).toEqual([]);
  });
});
