/** Who may import whom, how long a file may be, where node: and DOM modules may appear. The table is the house's (docs/architecture.md). */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..", "src");

const FLOORS: Record<string, number> = {
  base: 0,
  proto: 1,
  wire: 1,
  graph: 1,
  platform: 1,
  ops: 2,
  formats: 3,
  lower: 3,
  run: 4,
  autodiff: 5,
  variables: 5,
  data: 5,
  layers: 6,
  train: 6,
  edit: 6,
  keras: 7,
  serve: 8,
  flow: 8,
  estimators: 8,
  cli: 9,
  ui: 9,
};
const NODE_ALLOWED = [/^platform\/node\.ts$/, /^run\/ort-node\.ts$/, /^serve\//, /^flow\//, /^cli\//];
const MAX_LINES = 400;

/** Paths of all files below a folder. */
const listed = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((f) => join(folder, f))
    .filter((f) => statSync(f).isFile());

const files = listed(ROOT)
  .map((f) => relative(ROOT, f).split(sep).join("/"))
  .filter((f) => /\.tsx?$/.test(f));
const sources = files.filter((f) => !/\.(test|gen)\.ts$/.test(f));

interface Import {
  readonly path: string;
  readonly typeOnly: boolean;
}

const importsOf = (file: string): Import[] =>
  [
    ...readFileSync(join(ROOT, file), "utf8").matchAll(
      /^(?:import|export)\s+(type\s)?[^;]*?from\s+"([^"]+)"/gms,
    ),
  ].map((m) => ({
    path: m[2]!,
    typeOnly: m[1] !== undefined,
  }));

const folderOf = (file: string): string => (file.includes("/") ? file.split("/")[0]! : "");
const targetOf = (file: string, path: string): string =>
  relative(ROOT, join(ROOT, dirname(file), path))
    .split(sep)
    .join("/");

test("every folder has a floor, an index and at most two levels", () => {
  for (const file of sources) {
    if (folderOf(file) === "") continue;
    expect(FLOORS, file).toHaveProperty(folderOf(file));
    expect(file.split("/").length, file).toBeLessThanOrEqual(3);
  }
});

test("imports go down the stairs", () => {
  const wrong: string[] = [];
  for (const file of sources.filter((f) => folderOf(f) !== "")) {
    for (const { path } of importsOf(file).filter((i) => i.path.startsWith("."))) {
      const [from, to] = [folderOf(file), folderOf(targetOf(file, path))];
      if (from !== to && FLOORS[to]! >= FLOORS[from]!) wrong.push(`${file} -> ${path}`);
    }
  }
  expect(wrong).toEqual([]);
});

test("no import cycles between files, types aside", () => {
  const graph = new Map(
    sources.map((f) => [
      f,
      importsOf(f)
        .filter((i) => i.path.startsWith(".") && !i.typeOnly)
        .map((i) => targetOf(f, i.path)),
    ]),
  );
  const state = new Map<string, "open" | "done">();
  const visit = (file: string, path: readonly string[]): string[] | null => {
    if (state.get(file) === "done") return null;
    if (state.get(file) === "open") return [...path.slice(path.indexOf(file)), file];
    state.set(file, "open");
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next, [...path, file]);
      if (cycle) return cycle;
    }
    state.set(file, "done");
    return null;
  };
  for (const file of sources) expect(visit(file, [])).toBeNull();
});

test("node: modules appear only where the house allows", () => {
  const wrong = sources.filter(
    (f) => importsOf(f).some((i) => i.path.startsWith("node:")) && !NODE_ALLOWED.some((p) => p.test(f)),
  );
  expect(wrong).toEqual([]);
});

test("gRPC is known to one file, which loads it when a session needs it", () => {
  const mentions = (f: string): boolean => readFileSync(join(ROOT, f), "utf8").includes('"@grpc/grpc-js"');
  expect(sources.filter(mentions)).toEqual(["run/remote/channel-node.ts"]);
  expect(
    importsOf("run/remote/channel-node.ts").filter((i) => !i.typeOnly && !i.path.startsWith(".")),
  ).toEqual([]);
});

test("no source file is longer than the ceiling, and each says what it is", () => {
  for (const file of sources) {
    const text = readFileSync(join(ROOT, file), "utf8");
    expect(text.split("\n").length, file).toBeLessThanOrEqual(MAX_LINES + 1);
    expect(text, `${file} begins with a @file comment`).toMatch(/^(#!.*\n)?\/\*\*[\s\S]*?@file/);
  }
});

test("no test file is longer than the ceiling", () => {
  const tests = [...listed(ROOT), ...listed(import.meta.dirname)].filter((f) => f.endsWith(".test.ts"));
  for (const file of tests)
    expect(readFileSync(file, "utf8").split("\n").length, file).toBeLessThanOrEqual(MAX_LINES + 1);
});
