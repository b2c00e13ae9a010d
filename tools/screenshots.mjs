/**
 * Takes the pictures of docs/inspector.md: the digits checkpoint of `npm start`, and the same net 20 steps later.
 *
 *   npm start && node tools/screenshots.mjs
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const ROOT = join(import.meta.dirname, "..");
const DIGITS = join(ROOT, "runs", "digits");
const PREFIX = join(DIGITS, "model.ckpt-660");
const LATER = join(ROOT, "runs", "later", "model.ckpt-680");
const BROWSERS = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];
const MOST_BYTES = 250_000;

/** 20 more steps, on the images held out. */
function trainOn() {
  mkdirSync(join(ROOT, "runs", "later"), { recursive: true });
  const feeds = ["images=@test-images.npy", "labels=@test-labels.npy", "training=true"].flatMap((feed) => [
    "--feed",
    feed,
  ]);
  const args = [
    "run",
    `${PREFIX}.meta`,
    "--checkpoint",
    PREFIX,
    ...feeds,
    "--target",
    "Adam",
    "--steps",
    "20",
    "--save",
    LATER,
    "--force",
  ];
  execFileSync(process.execPath, [join(ROOT, "dist", "cli", "main.js"), ...args], {
    cwd: DIGITS,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

const filesOf = (prefix) => [".index", ".data-00000-of-00001"].map((end) => prefix + end);

async function shoot(page, name) {
  const path = join(ROOT, "docs", `inspector-${name}.png`);
  await page.mouse.move(0, 0);
  await page.screenshot({ path });
  const { size } = statSync(path);
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes; at most ${MOST_BYTES}`);
  console.log(`docs/inspector-${name}.png  ${size} bytes`);
}

/** The page with the checkpoint open and all its numbers read. */
async function opened(browser, colorScheme) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 860 }, colorScheme });
  await page.goto(pathToFileURL(join(ROOT, "dist", "inspector", "index.html")).href);
  await page.locator('input[aria-label="Files"]').setInputFiles(filesOf(PREFIX));
  await page.getByRole("tab", { name: /Findings ./ }).waitFor();
  await page.locator(".work").waitFor({ state: "detached" });
  return page;
}

const executablePath = BROWSERS.find((file) => file !== undefined && existsSync(file));
trainOn();
const browser = await chromium.launch({
  executablePath,
  args: process.getuid?.() === 0 ? ["--no-sandbox", "--disable-gpu"] : [],
});

const light = await opened(browser, "light");
await light.locator(".row", { hasText: "block_b_bn" }).click();
await light.locator(".member .line").nth(3).waitFor();
await shoot(light, "light");

const dark = await opened(browser, "dark");
for (const layer of ["stem_bn", "head", "block_a"])
  await dark
    .locator(".row", { hasText: new RegExp(`^${layer}(batch|kernel)`) })
    .locator(".fold")
    .click();
await dark
  .locator(".row", { hasText: /^kernelweight/ })
  .first()
  .click();
await dark.locator(".detail canvas").waitFor();
await shoot(dark, "dark");

const compared = await opened(browser, "light");
await compared.getByRole("tab", { name: "Compare" }).click();
await compared.locator('input[aria-label="Files"]').setInputFiles(filesOf(LATER));
await compared.getByRole("searchbox").fill("(kernel|gamma|beta|moving_\\w+|bias|step)$");
await compared.locator(".row", { hasText: "moving_variance" }).first().click();
await compared.locator(".detail .picture").nth(1).waitFor();
await shoot(compared, "compare");
await browser.close();
