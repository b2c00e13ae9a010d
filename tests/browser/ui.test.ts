/** `varscope ui`: the page over a container on disk, and who else may ask its server. */
import { copyFileSync, cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { inspect } from "../../src/edit/inspect.ts";
import { findChromium, launch } from "./chromium.ts";
import { allRowsOf, buildPage, openPage } from "./inspector-page.ts";

const GOLDENS = join(import.meta.dirname, "..", "goldens", "healthy");
const chromium = findChromium();
let dir: string;
beforeAll(async () => {
  await buildPage();
  dir = mkdtempSync(join(tmpdir(), "varscope-ui-"));
  for (const end of [".index", ".data-00000-of-00001"])
    copyFileSync(join(GOLDENS, `tf1_ref.ckpt${end}`), join(dir, `model.ckpt${end}`));
  writeFileSync(join(dir, "secret.txt"), "nobody's business");
  writeFileSync(join(dir, "model.ckpt.notes"), "nor this");
}, 60_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Runs `varscope ui` while `work` does; gives its address. */
async function serving(path: string, work: (url: string) => Promise<void>): Promise<void> {
  const abort = new AbortController();
  let out = "";
  const done = runCli(["ui", path], {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (out += text) },
    signal: abort.signal,
  });
  try {
    while (!/^http\S+\n/.test(out)) {
      expect(out.startsWith("["), out).toBe(false);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await work(out.split("\n")[0]!);
  } finally {
    abort.abort();
    expect(await done).toBe(0);
  }
}

/** Status and body of a request with any path and header, which fetch would tidy. */
const ask = (
  url: string,
  options: {
    readonly path?: string;
    readonly method?: string;
    readonly headers?: Record<string, string>;
  } = {},
): Promise<{ status: number; body: string; range: string | undefined }> =>
  new Promise((resolve, reject) => {
    const { hostname, port, pathname } = new URL(url);
    const { path = pathname, method = "GET", headers = {} } = options;
    const sent = request({ hostname, port, path, method, headers }, (response) => {
      let body = "";
      response.setEncoding("latin1").on("data", (text: string) => {
        body += text;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode!, body, range: response.headers["content-range"] }),
      );
    });
    sent.on("error", reject);
    sent.end();
  });

describe("the server of varscope ui", () => {
  test("gives the container's files by ranges, and no others", async () => {
    await serving(join(dir, "model.ckpt"), async (url) => {
      const page = await ask(url);
      const served = JSON.parse(/id="served">(.*?)<\/script>/.exec(page.body)![1]!);
      expect(served.open).toBe("model.ckpt");
      expect(served.files.map((f: { path: string }) => f.path).sort()).toEqual([
        "model.ckpt.data-00000-of-00001",
        "model.ckpt.index",
      ]);
      const { pathname } = new URL(url);
      const part = await ask(url, { path: `${pathname}files/0`, headers: { range: "bytes=2-5" } });
      expect([part.status, part.body.length]).toEqual([206, 4]);
      expect(part.range).toMatch(/^bytes 2-5\/\d+$/);
      expect(
        (await ask(url, { path: `${pathname}files/0`, headers: { range: "bytes=99999999-" } })).status,
      ).toBe(416);
      for (const path of [
        "files/2",
        "files/secret.txt",
        "secret.txt",
        "../secret.txt",
        "files/../../secret.txt",
        "files/%2e%2e/secret.txt",
        "package.json",
      ])
        expect((await ask(url, { path: `${pathname}${path}` })).status, path).toBe(404);
    });
  });

  test("answers nobody without its secret, no other host, and writes nothing", async () => {
    await serving(join(dir, "model.ckpt"), async (url) => {
      expect((await ask(url, { path: "/" })).status).toBe(403);
      expect((await ask(url, { path: "/guess/files/0" })).status).toBe(403);
      expect((await ask(url, { headers: { host: "attacker.example" } })).status).toBe(403);
      for (const method of ["POST", "PUT", "DELETE"]) expect((await ask(url, { method })).status).toBe(405);
      expect((await ask(url, { method: "HEAD" })).status).toBe(200);
    });
  });

  test.skipIf(process.platform === "win32")(
    "a SavedModel's folder is served without what its links lead to",
    async () => {
      const folder = join(dir, "saved");
      cpSync(join(GOLDENS, "saved_model_tf1"), folder, { recursive: true });
      symlinkSync(join(dir, "secret.txt"), join(folder, "link.txt"));
      await serving(folder, async (url) => {
        const { files } = JSON.parse(/id="served">(.*?)<\/script>/.exec((await ask(url)).body)![1]!);
        const names = files.map((f: { path: string }) => f.path);
        expect(names).toContain("saved/saved_model.pb");
        expect(names).toContain("saved/variables/variables.index");
        expect(names).not.toContain("saved/link.txt");
      });
    },
  );

  test("says what is missing", async () => {
    let err = "";
    const streams = { stdout: { write: () => {} }, stderr: { write: (text: string) => (err += text) } };
    expect(await runCli(["ui", join(dir, "nothing")], streams)).toBe(1);
    expect(err).toMatch(/^\[NOT_FOUND\] /);
  });
});

test.skipIf(chromium === undefined)("the page of varscope ui opens the container by itself", async () => {
  const browser = await launch(chromium!);
  await serving(join(dir, "model.ckpt"), async (url) => {
    const { page, errors, requests, close } = await openPage(browser, url);
    await page.getByRole("grid", { name: "Variables" }).waitFor();
    await page.getByRole("button", { name: "Variables", exact: true }).click();
    await page.locator(".work").waitFor({ state: "detached" });
    const { variables } = await inspect(join(dir, "model.ckpt"));
    expect((await allRowsOf(page, variables.length)).map((cells) => cells[0]).sort()).toEqual(
      variables.map((v) => v.name).sort(),
    );
    expect(requests.filter((r) => !/^(blob|data):/.test(r)).every((r) => r.startsWith(url))).toBe(true);
    expect(errors).toEqual([]);
    await close();
  });
  await browser.close();
});
