/**
 * The commands of package.json, on any system and from a bare clone: installs what is missing, builds, then does the job.
 *
 *   node tools/task.mjs start | test | bench
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const [job = "test", ...rest] = process.argv.slice(2);

/** Runs a Node script; ends this process where it fails. */
function node(script, args = [], options = {}) {
  const result = spawnSync(process.execPath, [script, ...args], { cwd: ROOT, stdio: "inherit", ...options });
  if (result.status !== 0 && !options.mayFail) process.exit(result.status ?? 1);
  return result.status ?? 1;
}

const time = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

function install() {
  const lock = join(ROOT, "package-lock.json");
  if (time(join(ROOT, "node_modules", ".package-lock.json")) >= time(lock)) return;
  const npm = process.env.npm_execpath;
  if (npm === undefined) {
    console.error("run this through npm: npm start, npm test");
    process.exit(2);
  }
  node(npm, ["ci"]);
}

function build() {
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  node(tsc, ["-p", "tsconfig.build.json"]);
  node(tsc, ["-p", "tsconfig.examples.json"]);
  node(join("tools", "inspector.mjs"), ["--quiet"]);
}

/** Runs the tests and ends with the plain line `N passed, N failed`. */
function test() {
  const report = join(ROOT, "runs", "tests.json");
  mkdirSync(dirname(report), { recursive: true });
  const vitest = join(ROOT, "node_modules", "vitest", "vitest.mjs");
  const status = node(
    vitest,
    ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...rest],
    { mayFail: true },
  );
  const {
    numPassedTests: passed,
    numFailedTests: failed,
    numPendingTests: skipped,
  } = JSON.parse(readFileSync(report, "utf8"));
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  process.exit(status);
}

install();
build();
if (job === "start") node(join("build", "examples", "digits.js"), rest);
else if (job === "test") test();
else if (job === "bench") node(join("build", "bench", "index.js"), rest);
else {
  console.error(`unknown job '${job}': start, test or bench`);
  process.exit(2);
}
