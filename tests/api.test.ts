/**
 * The public names of every subpath, types too, as tests/api.txt lists them: a name that comes or goes is seen in review. To accept a change:
 * npx vitest run tests/api.test.ts -u
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  exports: Record<string, { source: string; types: string; default: string }>;
};

interface Names {
  readonly values: readonly string[];
  readonly types: readonly string[];
}

/** Names in `export { a, type B, c as d } from "..."` and `export type { E } from "..."`. */
function namesOf(file: string): Names {
  const text = readFileSync(join(ROOT, file), "utf8").replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  expect(text, `${file} writes its names out`).not.toMatch(/export\s+\*|export\s+default/);
  const names = [...text.matchAll(/export\s+(type\s)?\{([^}]*)\}/g)].flatMap(([, allTypes, list]) =>
    list!
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "")
      .map((item) => ({
        isType: allTypes !== undefined || item.startsWith("type "),
        name: item
          .replace(/^type\s+/, "")
          .split(/\s+as\s+/)
          .at(-1)!,
      })),
  );
  const pick = (isType: boolean): string[] =>
    names
      .filter((n) => n.isType === isType)
      .map((n) => n.name)
      .sort();
  return { values: pick(false), types: pick(true) };
}

const subpaths = Object.entries(exports).filter(([, target]) => typeof target === "object");

test("public names are those of tests/api.txt", async () => {
  const sections = subpaths.map(([path, { source }]) => {
    const { values, types } = namesOf(source);
    const lines = [...values, ...types.map((name) => `type ${name}`)];
    return [`# varscope${path.slice(1)}`, ...lines].join("\n");
  });
  await expect(`${sections.join("\n\n")}\n`).toMatchFileSnapshot("api.txt");
});

test.each(subpaths)(
  "%s exports what its index says, and is built where package.json says",
  async (_, target) => {
    const module = (await import(/* @vite-ignore */ join(ROOT, target.source))) as object;
    expect(Object.keys(module).sort()).toEqual(namesOf(target.source).values);
    const built = target.source.replace(/^\.\/src\//, "./dist/").replace(/\.ts$/, "");
    expect([target.types, target.default]).toEqual([`${built}.d.ts`, `${built}.js`]);
  },
);
