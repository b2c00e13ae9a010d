/** The inspector's page under test: opens it from the disk, drops files, reads its tables. */
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";

const ROOT = join(import.meta.dirname, "..", "..");
export const DIST = join(ROOT, "dist", "inspector");
export const PAGE = pathToFileURL(join(DIST, "index.html")).href;

/** Builds the page, which takes a second or two, so that it is never stale. */
export async function buildPage(): Promise<readonly { name: string; bytes: number; packed: number }[]> {
  const tool = pathToFileURL(join(ROOT, "tools", "inspector.mjs")).href;
  const { buildInspector } = (await import(/* @vite-ignore */ tool)) as {
    buildInspector(): Promise<readonly { name: string; bytes: number; packed: number }[]>;
  };
  return buildInspector();
}

/** A page and what went wrong or over the network in it. */
export interface Opened {
  readonly page: Page;
  readonly errors: string[];
  readonly requests: string[];
  close(): Promise<void>;
}

export async function openPage(browser: Browser, url = PAGE): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const errors: string[] = [];
  const requests: string[] = [];
  page.on("pageerror", (e) => errors.push(e.message));
  page.on("console", (m) => m.type() === "error" && errors.push(m.text()));
  page.on("request", (r) => requests.push(r.url()));
  await page.goto(url);
  return { page, errors, requests, close: () => context.close() };
}

/** A file to drop. */
export interface Dropped {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Files of the disk, to be dropped together. */
export const fromDisk = (...paths: string[]): Dropped[] =>
  paths.map((path) => ({ name: basename(path), bytes: readFileSync(path) }));

/** Drops files onto the page. */
export async function drop(page: Page, files: readonly Dropped[]): Promise<void> {
  const plain = files.map((f) => ({ name: f.name, base64: Buffer.from(f.bytes).toString("base64") }));
  await page.evaluate((given) => {
    const transfer = new DataTransfer();
    for (const { name, base64 } of given)
      transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
    document.body.dispatchEvent(
      new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: transfer }),
    );
  }, plain);
}

/** Chooses a folder by the page's own button. */
export const chooseFolder = (page: Page, path: string): Promise<void> =>
  page.locator('input[aria-label="Folder"]').setInputFiles(path);

/** The table's cells, of the rows that are drawn. */
export const rowsOf = (page: Page, grid = "Variables"): Promise<string[][]> =>
  page
    .getByRole("grid", { name: grid })
    .locator(".row:not(.head)")
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.textContent ?? "")));

/** All rows of the table of variables, for which the window is made high enough. */
export async function allRowsOf(page: Page, count: number): Promise<string[][]> {
  await page.setViewportSize({ width: 1440, height: 250 + 32 * count });
  await page.waitForFunction((n) => document.querySelectorAll(".row:not(.head)").length === n, count);
  return rowsOf(page);
}

/** A number of the summary. */
export const figure = (page: Page, title: string): Promise<string> =>
  page
    .locator(".summary dl > div", { hasText: title })
    .locator("dd")
    .textContent()
    .then((text) => text ?? "");
