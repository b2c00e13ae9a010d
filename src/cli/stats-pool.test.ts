import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { statsOfAll } from "../edit/inspect.ts";
import { openModel } from "../edit/open-model.ts";
import { formatJson } from "./json.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** Threads take built files; `npm test` builds them first. */
const isBuilt = existsSync(join(ROOT, "dist", "cli", "stats-pool.js"));
const HEALTHY = join(ROOT, "tests", "goldens", "healthy");

/** Counts the variables of one container as those of another path, in threads however small it is; null where there is one core. */
const SCRIPT = `
const [from, path] = process.argv.slice(1);
const { statsInThreads } = await import("./dist/cli/stats-pool.js");
const { openModel } = await import("./dist/edit/open-model.js");
const { formatJson } = await import("./dist/cli/json.js");
const model = await openModel(from);
const found = await statsInThreads(path, model.variables, {}, 0).catch(({ code }) => [["error", code]]);
await model.close();
console.log(formatJson(found === null ? null : Object.fromEntries(found)));
`;
const inThreads = (from: string, path = from): unknown =>
  JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "-e", SCRIPT, from, path], {
      cwd: ROOT,
      encoding: "utf8",
    }),
  );

test.skipIf(!isBuilt).each(["tf1_ref.ckpt", "keras3.keras"])(
  "threads count %s as one would",
  async (name) => {
    const path = join(HEALTHY, name);
    const model = await openModel(path);
    const want = await statsOfAll(model, model.variables);
    await model.close();
    const found = inThreads(path);
    if (found !== null) expect(found).toEqual(JSON.parse(formatJson(Object.fromEntries(want))));
  },
);

test.skipIf(!isBuilt)("what goes wrong in a thread is said as it is", () => {
  const found = inThreads(join(HEALTHY, "tf1_ref.ckpt"), join(HEALTHY, "none"));
  if (found !== null) expect(found).toEqual({ error: "NOT_FOUND" });
});
