/** @file `varscope ui`: the inspector's page for a container on disk, served to this machine alone. Start at `uiCommand`. */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { VarscopeError } from "../base/index.ts";
import { containerFiles } from "./container-files.ts";
import { startPageServer } from "./page-server.ts";
import type { Streams } from "./terminal.ts";

export interface UiFlags {
  /** any that is free */
  readonly port?: number;
  /** open the browser */
  readonly open?: boolean;
}

/**
 * Serves until the streams' signal.
 *
 * @throws VarscopeError NOT_FOUND - nothing is at the path; FAILED_PRECONDITION - the page is not built; UNAVAILABLE - the port is taken
 */
export async function uiCommand(
  path: string,
  { port = 0, open = false }: UiFlags,
  { stdout, signal }: Streams,
): Promise<void> {
  const folder = pageFolder();
  const server = await startPageServer(folder, await containerFiles(path), port);
  try {
    stdout.write(`${server.url}\nCtrl-C ends\n`);
    if (open) openBrowser(server.url);
    await new Promise<void>((resolve) => {
      if (signal?.aborted) resolve();
      signal?.addEventListener("abort", () => resolve(), { once: true });
    });
  } finally {
    await server.close();
  }
}

/** Beside the built code, or where the build puts it as seen from the sources. */
function pageFolder(): string {
  const places = [
    join(import.meta.dirname, "..", "inspector"),
    join(import.meta.dirname, "..", "..", "dist", "inspector"),
  ];
  const found = places.find((place) => existsSync(join(place, "index.html")));
  if (found !== undefined) return found;
  throw new VarscopeError("FAILED_PRECONDITION", "the page is not built", {
    at: places[0]!,
    hint: "run 'npm run build' first",
  });
}

/** No shell: the address is an argument of a program. Where there is no browser, the printed address is there. */
function openBrowser(url: string): void {
  const [program, ...args] =
    process.platform === "win32"
      ? ["rundll32", "url.dll,FileProtocolHandler"]
      : [process.platform === "darwin" ? "open" : "xdg-open"];
  const child = spawn(program!, [...args, url], { stdio: "ignore", detached: true });
  child.on("error", () => {});
  child.unref();
}
