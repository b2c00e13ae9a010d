/** The inspector's page in headless Chromium: each format opens, numbers equal Node's, nothing leaves the page. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inspect } from "../../src/edit/inspect.ts";
import { openModel } from "../../src/edit/open-model.ts";
import { statsOf } from "../../src/edit/stats.ts";
import { number, shape } from "../../src/ui/words.ts";
import { serveBytes } from "./byte-server.ts";
import { findChromium, launch } from "./chromium.ts";
import {
  allRowsOf,
  buildPage,
  chooseFolder,
  drop,
  figure,
  fromDisk,
  openPage,
  PAGE,
  rowsOf,
} from "./inspector-page.ts";
import { manyTensors, safetensors } from "./made.ts";

const HEALTHY = join(import.meta.dirname, "..", "goldens", "healthy");
const file = (name: string): string => join(HEALTHY, name);
const chromium = findChromium();
if (chromium === undefined)
  console.log("no Chromium here (CHROMIUM, PATH): the inspector's browser tests are skipped");

let browser: Browser;
beforeAll(async () => {
  await buildPage();
  if (chromium !== undefined) browser = await launch(chromium);
}, 60_000);
afterAll(() => browser?.close());

/** What people drop, and the path that Node opens. */
const CONTAINERS: readonly (readonly [format: string, dropped: readonly string[], path: string])[] = [
  ["checkpoint-v2", ["tf1_ref.ckpt.index", "tf1_ref.ckpt.data-00000-of-00001"], "tf1_ref.ckpt"],
  ["checkpoint-v1", ["../checkpoint-v1/shapes"], "../checkpoint-v1/shapes"],
  ["checkpoint-object", ["keras2_object.index", "keras2_object.data-00000-of-00001"], "keras2_object"],
  ["checkpoint-object", ["keras3_object.index", "keras3_object.data-00000-of-00001"], "keras3_object"],
  ["keras-v3", ["keras3.keras"], "keras3.keras"],
  ["keras-weights", ["keras3.weights.h5"], "keras3.weights.h5"],
  ["keras-h5", ["keras2.h5"], "keras2.h5"],
  ["npz", ["weights.npz"], "weights.npz"],
  ["safetensors", ["torch.safetensors"], "torch.safetensors"],
  ["graph-def", ["frozen.pb"], "frozen.pb"],
  ["meta-graph", ["inference.meta"], "inference.meta"],
];

/** Script and layout of each of `count` steps of a fast wheel, in ms: runs in the page. */
async function scrollThrough(count: number): Promise<number[]> {
  const list = document.querySelector<HTMLElement>(".list")!;
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => requestAnimationFrame(resolve));
    const start = performance.now();
    list.scrollTop += 120;
    list.dispatchEvent(new Event("scroll"));
    // the page draws in microtasks
    await Promise.resolve();
    await Promise.resolve();
    void list.offsetHeight;
    times.push(performance.now() - start);
  }
  return times;
}

/** The page shows the variables that Node finds at `path`, with Node's statistics. */
async function expectTable(page: Page, path: string, format: string): Promise<void> {
  await page.getByRole("grid", { name: "Variables" }).waitFor();
  const wanted = await inspect(path, { stats: format !== "meta-graph" });
  expect(await page.locator(".format").textContent()).toBe(format);
  expect(wanted.format).toBe(format);
  expect(await figure(page, "tensors")).toBe(String(wanted.totals.tensors));
  expect(await figure(page, "parameters")).toBe(wanted.totals.modelParameters.toLocaleString("en-US"));
  await page.getByRole("button", { name: "Variables", exact: true }).click();
  if (format !== "meta-graph") await page.locator(".work").waitFor({ state: "detached" });
  const rows = new Map((await allRowsOf(page, wanted.variables.length)).map((cells) => [cells[0], cells]));
  expect([...rows.keys()].sort()).toEqual(wanted.variables.map((v) => v.name).sort());
  for (const v of wanted.variables) {
    const numbers =
      v.stats === undefined
        ? ["", "", "", ""]
        : [v.stats.min, v.stats.max, v.stats.mean, v.stats.std].map(number);
    expect(rows.get(v.name)!.slice(2), v.name).toEqual([
      v.dtype,
      shape(v.shape),
      expect.any(String),
      expect.any(String),
      ...numbers,
      "",
    ]);
  }
}

describe.skipIf(chromium === undefined)("the inspector", () => {
  test.each(CONTAINERS)(
    "opens %s (%j) and shows Node's table and statistics",
    async (format, dropped, path) => {
      const { page, errors, requests, close } = await openPage(browser);
      await drop(page, fromDisk(...dropped.map(file)));
      await expectTable(page, file(path), format);
      expect(errors).toEqual([]);
      const names = requests
        .filter((r) => !r.startsWith("blob:") && !r.startsWith("data:"))
        .map((r) => r.slice(r.lastIndexOf("/") + 1));
      const usesHdf5 = format.startsWith("keras");
      expect(names.filter((n) => n !== "hdf5.js" || !usesHdf5)).toEqual([
        "index.html",
        "inspector.css",
        "inspector.js",
      ]);
      await close();
    },
  );

  test.each(["saved_model_tf1", "saved_model_keras3"])(
    "opens the folder of a SavedModel (%s)",
    async (name) => {
      const { page, errors, close } = await openPage(browser);
      await chooseFolder(page, file(name));
      await expectTable(page, file(name), "saved-model");
      expect(errors).toEqual([]);
      await close();
    },
  );

  test("a batch normalization is one row with its four variables, and opens", async () => {
    const { page, close } = await openPage(browser);
    await drop(page, fromDisk(file("tf1_ref.ckpt.index"), file("tf1_ref.ckpt.data-00000-of-00001")));
    const row = page.locator(".row", { hasText: "batch norm" }).first();
    await row.locator(".dot.good").waitFor();
    expect(await row.locator(".chip b").allInnerTexts()).toEqual(["γ", "β", "μ", "σ²"]);
    const before = (await rowsOf(page)).length;
    await row.locator(".fold").click();
    const names = (await rowsOf(page)).map((cells) => cells[0]);
    expect(names.length).toBeGreaterThanOrEqual(before + 4);
    expect(names.join(" ")).toMatch(/gamma.*beta.*moving_mean.*moving_variance/);
    await close();
  });

  test("filters by regex, role and dtype; sorts; refuses a wrong regex", async () => {
    const { page, close } = await openPage(browser);
    const path = file("tf1_ref.ckpt");
    await drop(page, fromDisk(`${path}.index`, `${path}.data-00000-of-00001`));
    await page.getByRole("button", { name: "Variables", exact: true }).click();
    const { variables } = await inspect(path);
    const shown = async (): Promise<string[]> => (await rowsOf(page)).map((cells) => cells[0]!);
    await page.keyboard.press("/");
    await page.keyboard.type("moving_(mean|variance)$");
    expect((await shown()).sort()).toEqual(
      variables
        .map((v) => v.name)
        .filter((n) => /moving_(mean|variance)$/.test(n))
        .sort(),
    );
    const search = page.getByRole("searchbox");
    await search.fill("moving_(");
    expect(await search.getAttribute("aria-invalid")).toBe("true");
    await search.fill("");
    const role = page.locator(".facet button", { hasText: /^moving-mean/ });
    await role.click();
    expect(await shown()).toEqual(variables.filter((v) => v.role === "moving-mean").map((v) => v.name));
    await role.click();
    await page.locator(".facet button", { hasText: /^int/ }).first().click();
    expect((await shown()).sort()).toEqual(
      variables
        .filter((v) => /^int/.test(v.dtype))
        .map((v) => v.name)
        .sort(),
    );
    await page.locator(".facet button", { hasText: /^int/ }).first().click();
    await page.getByRole("button", { name: /^Bytes/ }).click();
    const sizes = (await shown()).map((name) => variables.find((v) => v.name === name)!.bytes);
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    await close();
  });

  test("a tensor's statistics and histogram are Node's to the last digit", async () => {
    const { page, close } = await openPage(browser);
    const path = file("tf1_ref.ckpt");
    await drop(page, fromDisk(`${path}.index`, `${path}.data-00000-of-00001`));
    await page.getByRole("button", { name: "Variables", exact: true }).click();
    const model = await openModel(path);
    const largest = [...model.variables].sort((a, b) => b.bytes - a.bytes)[0]!;
    const stats = statsOf(await model.read(largest.name))!;
    await model.close();
    await page.getByRole("searchbox").fill(`^${largest.name}$`);
    await page.locator(".row:not(.head)").click();
    for (const key of ["min", "max", "mean", "std", "zeros", "nan", "inf"] as const)
      expect(await page.locator(`[data-stat=${key}]`).getAttribute("title"), key).toBe(String(stats[key]));
    const bins = await page.locator(".bin title").allTextContents();
    expect(bins.map((t) => Number(t.split(": ")[1]!.replaceAll(",", "")))).toEqual(stats.histogram!.counts);
    expect(bins[0]).toMatch(`${number(stats.histogram!.from)} to `);
    expect(await page.locator(".detail pre").textContent()).toMatch(/^\[\[/);
    expect(await page.locator(".detail canvas").count()).toBe(1);
    await page.keyboard.press("Escape");
    expect(await page.locator(".detail").count()).toBe(0);
    await close();
  });

  test("keys move through the table, open and close a layer", async () => {
    const { page, close } = await openPage(browser);
    await drop(page, fromDisk(file("tf1_ref.ckpt.index"), file("tf1_ref.ckpt.data-00000-of-00001")));
    const grid = page.getByRole("grid", { name: "Variables" });
    await grid.focus();
    await page.keyboard.press("Home");
    const first = await page.locator(".row.active").textContent();
    await page.keyboard.press("ArrowDown");
    expect(await page.locator(".row.active").textContent()).not.toBe(first);
    await page.keyboard.press("ArrowUp");
    const closed = await grid.getAttribute("aria-rowcount");
    await page.keyboard.press("ArrowRight");
    expect(Number(await grid.getAttribute("aria-rowcount"))).toBeGreaterThan(Number(closed));
    await page.keyboard.press("ArrowLeft");
    expect(await grid.getAttribute("aria-rowcount")).toBe(closed);
    await close();
  });

  test("says what the doctor finds", async () => {
    const { page, close } = await openPage(browser);
    await drop(page, [
      {
        name: "sick.safetensors",
        bytes: safetensors({
          "bn/gamma": [1, 1],
          "bn/beta": [0, 0],
          "bn/moving_mean": [0.1, Number.NaN],
          "bn/moving_variance": [1, -2],
        }),
      },
    ]);
    const row = page.locator(".row", { hasText: "batch norm" });
    await row.locator(".dot.bad").first().waitFor();
    await page.getByRole("tab", { name: /Findings/ }).click();
    const text = await page.locator(".findings").textContent();
    expect(text).toMatch(/NaN/);
    expect(text).toMatch(/negative/i);
    expect(await page.locator(".finding.error").count()).toBeGreaterThanOrEqual(2);
    await close();
  });

  test("compares two files, the largest difference first", async () => {
    const { page, close } = await openPage(browser);
    await drop(page, [
      {
        name: "a.safetensors",
        bytes: safetensors({ "d/kernel": [1, 2], "d/bias": [1], "e/kernel": [5], same: [7] }),
      },
    ]);
    await page.getByRole("tab", { name: "Compare" }).click();
    await drop(page, [
      {
        name: "b.safetensors",
        bytes: safetensors({ "d/kernel": [1, 2.5], "d/bias": [4], "f/kernel": [6, 6], same: [7] }),
      },
    ]);
    await page.getByRole("grid", { name: "Differences" }).waitFor();
    const rows = await rowsOf(page, "Differences");
    expect(rows.map((cells) => cells[0])).toEqual(["d/bias", "d/kernel", "e/kernel", "f/kernel"]);
    expect(rows.slice(0, 2).map((cells) => cells.slice(2))).toEqual([
      ["100 %", "3", "0.75"],
      ["50.0 %", "0.5", "0.2"],
    ]);
    expect(rows.slice(2).map((cells) => cells[1])).toEqual(["only in A", "only in B"]);
    expect(await page.locator(".counts").textContent()).toMatch(
      /2 changed.*1 only in A.*1 only in B.*1 equal/s,
    );
    await page.locator(".row", { hasText: "d/bias" }).click();
    expect(await page.locator(".detail h3.side").allInnerTexts()).toEqual(["A", "B"]);
    await close();
  });

  test("10,000 variables scroll smoothly and are filtered at once", async () => {
    const { page, close } = await openPage(browser);
    await drop(page, [{ name: "many.safetensors", bytes: manyTensors(10_000) }]);
    await page.getByRole("grid").waitFor();
    expect(await figure(page, "tensors")).toBe("10,000");
    await page.getByRole("button", { name: "Variables", exact: true }).click();
    const busy = page.getByRole("progressbar", { name: "Statistics" });
    await busy.waitFor({ state: "detached", timeout: 30_000 });
    expect(await page.getByRole("grid").getAttribute("aria-rowcount")).toBe("10000");
    const frames = (await page.evaluate(scrollThrough, 160)).sort((a, b) => a - b);
    const [quarter, half] = [frames[40]!, frames[80]!];
    console.log(
      `10,000 variables: a frame of scrolling takes ${quarter.toFixed(1)} ms of script and layout in the quickest quarter, ${half.toFixed(1)} ms in the median`,
    );
    expect(await page.locator(".row").count()).toBeLessThan(80);
    const started = performance.now();
    await page.getByRole("searchbox").fill("layer_777/");
    await page.waitForFunction(
      () => document.querySelector(".list")!.getAttribute("aria-rowcount") !== "10000",
    );
    console.log(`and a filter ${(performance.now() - started).toFixed(0)} ms`);
    expect((await rowsOf(page)).every((cells) => cells[0]!.startsWith("layer_777/"))).toBe(true);
    await close();
  });

  test("follows the system's colours until somebody chooses", async () => {
    const { page, close } = await openPage(browser);
    const ground = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await page.emulateMedia({ colorScheme: "light" });
    const light = await ground();
    await page.emulateMedia({ colorScheme: "dark" });
    const dark = await ground();
    expect(dark).not.toBe(light);
    await page.getByRole("button", { name: "Dark or light" }).click();
    expect(await ground()).toBe(light);
    await page.emulateMedia({ colorScheme: "light" });
    await page.getByRole("button", { name: "Dark or light" }).click();
    expect(await ground()).toBe(dark);
    await close();
  });

  test("an address is read by ranges: only what is needed", async () => {
    const [rows, columns] = [16_384, 1024];
    const head = safetensors({ small: [1, 2, 3] }, { "big/kernel": [rows, columns] });
    const server = await serveBytes({
      "model.safetensors": { head, size: head.length + rows * columns * 4 },
    });
    const { page, errors, requests, close } = await openPage(browser);
    await page.getByRole("textbox", { name: "Address" }).fill(`${server.url}model.safetensors`);
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await page.getByRole("grid").waitFor();
    expect(await figure(page, "values")).toBe("64 MiB");
    await page.locator(".row", { hasText: "small" }).click();
    await page.locator("[data-stat=max]").waitFor();
    expect(await page.locator("[data-stat=max]").textContent()).toBe("3");
    console.log(
      `of 64 MiB behind an address ${server.sent.bytes} bytes were read, in ${server.sent.requests} requests`,
    );
    expect(server.sent.bytes).toBeLessThan(300_000);
    // Of a large tensor the part that is shown; all of it only when asked.
    await page.locator(".row", { hasText: "kernel" }).click();
    await page.locator(".detail canvas").waitFor();
    expect(server.sent.bytes).toBeLessThan(3_500_000);
    await page.locator(".detail").getByRole("button", { name: "Statistics 64 MiB" }).click();
    await page.locator("[data-stat=zeros]").waitFor();
    expect(await page.locator("[data-stat=zeros]").getAttribute("title")).toBe(String(rows * columns));
    expect(errors).toEqual([]);
    expect(
      requests.filter((r) => r.startsWith("http")).every((r) => r === `${server.url}model.safetensors`),
    ).toBe(true);
    await close();
    server.close();
  });

  test("a server without ranges gives the file whole, with a note", async () => {
    const head = safetensors({ w: [1, 2, 3] });
    const server = await serveBytes({ "model.safetensors": { head, size: head.length } }, false);
    const { page, close } = await openPage(
      browser,
      `${PAGE}#url=${encodeURIComponent(`${server.url}model.safetensors`)}`,
    );
    await page.locator(".note").waitFor();
    expect(await page.locator(".note").textContent()).toMatch(/loaded whole .*no range requests/);
    expect((await rowsOf(page))[0]![0]).toBe("w");
    await close();
    server.close();
  });

  test("a hostile or wrong file gives its error, and the page lives on", async () => {
    const { page, errors, close } = await openPage(browser);
    const huge = new Uint8Array(64);
    new DataView(huge.buffer).setBigUint64(0, 1n << 60n, true);
    const index = readFileSync(file("tf1_ref.ckpt.index"));
    const wrong = [
      [{ name: "huge.safetensors", bytes: huge }],
      [{ name: "cut.index", bytes: index.subarray(0, 40) }],
      [{ name: "alone.index", bytes: index.subarray(0, index.length - 9) }],
      [{ name: "noise.h5", bytes: Uint8Array.from({ length: 4096 }, (_, i) => (i * 7919) & 255) }],
      [{ name: "half.keras", bytes: readFileSync(file("keras3.keras")).subarray(0, 3000) }],
      [{ name: "empty.npz", bytes: new Uint8Array(0) }],
    ];
    for (const files of wrong) {
      await drop(page, files);
      await page.getByRole("alert").waitFor();
      expect(await page.getByRole("alert").textContent()).toMatch(/^\[[A-Z_]+\] /);
    }
    await drop(page, fromDisk(file("weights.npz")));
    await page.getByRole("grid").waitFor();
    expect(errors).toEqual([]);
    await close();
  });
});
