import { describe, expect, test } from "vitest";
import { tensor } from "../base/index.ts";
import { Graph } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS } from "./index.ts";

async function fits(pattern: string, text: string): Promise<boolean> {
  const g = new Graph(CORE_OPS);
  const input = g.add("Placeholder", [], { attrs: { dtype: "string", shape: { dims: [] } } });
  const match = g.add("RegexFullMatch", [input, pattern]);
  await using session = new Session(g);
  const found = await session.run(match, { feeds: new Map([[input, tensor(text, "string")]]) });
  return found.data[0] === 1;
}

describe("RegexFullMatch", () => {
  test.each([
    ["^s3://.*", "s3://a/b", true],
    ["^s3://.*", "xs3://a", false],
    ["a.c", "a\nc", false],
    ["a.c", "a\rc", true],
    ["a.c", "a\u2028c", true],
    ["a[^.]c", "a\nc", true],
    ["a[.]c", "abc", false],
    ["a\\.c", "abc", false],
    ["m-[0-9]+\\.index", "m-12.index", true],
  ])("%s on %j", async (pattern, text, want) => {
    expect(await fits(pattern, text)).toBe(want);
  });

  test("takes what JavaScript's engine would not end with", async () => {
    expect(await fits("(a+)+$", `${"a".repeat(5000)}b`)).toBe(false);
  });

  test("refuses a pattern that is none", async () => {
    await expect(fits("[a", "a")).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });
});
