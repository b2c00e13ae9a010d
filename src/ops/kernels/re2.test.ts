/** RE2's syntax and semantics against TensorFlow's. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { compileRe2, fitsWhole, Matcher, replaceMatches } from "./re2.ts";
import { runesOf } from "./utf8.ts";

interface Row {
  readonly pattern: string;
  readonly rewrite: string;
  readonly error?: string;
  readonly all?: Readonly<Record<string, string>>;
  readonly first?: Readonly<Record<string, string>>;
  readonly full?: readonly number[];
}
const file = new URL("../../../tests/goldens/re2/manifest.json", import.meta.url);
const golden = JSON.parse(readFileSync(file, "utf8")) as { texts: readonly string[]; rows: readonly Row[] };
const texts = golden.texts.map((text) => new Uint8Array(Buffer.from(text, "base64")));
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("patterns as in RE2:", () => {
  test.each(golden.rows)("$pattern to $rewrite", ({ pattern, rewrite, error, all, first, full }) => {
    if (error !== undefined) {
      expect(() => compileRe2(pattern)).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT", what: error }),
      );
      return;
    }
    const re = compileRe2(pattern);
    const changed = (isAll: boolean): Record<string, string> =>
      Object.fromEntries(
        texts.flatMap((text, i) => {
          const out = Buffer.from(replaceMatches(re, text, bytes(rewrite), isAll));
          return out.equals(text) ? [] : [[i, out.toString("base64")]];
        }),
      );
    expect(changed(true)).toEqual(all);
    expect(changed(false)).toEqual(first);
    expect([...texts.keys()].filter((i) => fitsWhole(re, texts[i]!))).toEqual(full);
  });
});

test.each(["(a+)+$", "(a|a)*b", "(a|aa)+$", "(.*)(.*)(.*)(.*)(.*)x", "(?:a?){100}a{100}"])(
  "%s takes no exponential time",
  (pattern) => {
    const text = bytes(`${"a".repeat(1000)}!`);
    expect(fitsWhole(compileRe2(pattern), text)).toBe(false);
    expect(replaceMatches(compileRe2("(a+)+b"), text, bytes(""), true)).toBe(text);
  },
);

test("work is bounded", () => {
  const matcher = new Matcher(compileRe2("(?:a.*b|a){1,400}"), runesOf(bytes("a".repeat(2000))), 100_000);
  expect(() => matcher.match(0)).toThrow(
    "[RESOURCE_EXHAUSTED] matching (?:a.*b|a){1,400} takes over 100000 steps",
  );
});

test.each([
  "(".repeat(2000) + ")".repeat(2000),
  `${"(".repeat(999)}a${"){1000}".repeat(999)}`,
  "a".repeat(300_000),
])("a pattern too large is refused (case %#)", (pattern) => {
  expect(() => compileRe2(pattern)).toThrow("Invalid pattern: ");
});

test("what RE2 has and we have not is refused by name", () => {
  expect(() => compileRe2("\\C")).toThrow("[UNIMPLEMENTED] \\C, one byte of a character");
});
