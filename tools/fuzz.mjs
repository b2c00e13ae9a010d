/** Bundles tests/fuzz into build/fuzz and runs it: node tools/fuzz.mjs [options of tests/fuzz/main.ts] */
import { spawnSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
await build({
  absWorkingDir: ROOT,
  entryPoints: ["tests/fuzz/main.ts", "tests/fuzz/worker.ts"],
  outdir: "build/fuzz",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  conditions: ["source"],
  packages: "external",
  sourcemap: "inline",
});
const { status } = spawnSync(
  process.execPath,
  ["--enable-source-maps", join(ROOT, "build", "fuzz", "main.mjs"), ...process.argv.slice(2)],
  { cwd: ROOT, stdio: "inherit" },
);
process.exit(status ?? 1);
