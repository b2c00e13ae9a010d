/** A headless Chromium that is installed here. Nothing is downloaded: where there is none, the browser's tests are skipped with one line. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"];

/** Where browsers are where they are not in PATH. */
const PLACES = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  join(process.env.PROGRAMFILES ?? "", "Google/Chrome/Application/chrome.exe"),
  join(process.env["PROGRAMFILES(X86)"] ?? "", "Microsoft/Edge/Application/msedge.exe"),
];

/** Path of a browser: `CHROMIUM` of the environment, then what is in PATH, then the usual places. */
export function findChromium(): string | undefined {
  const given = process.env.CHROMIUM;
  if (given) return given;
  const ends = process.platform === "win32" ? [".exe"] : [""];
  const inPath = (process.env.PATH ?? "")
    .split(delimiter)
    .flatMap((folder) => NAMES.flatMap((name) => ends.map((end) => join(folder, name + end))));
  return [...inPath, ...PLACES].find((file) => existsSync(file));
}

/** Starts the browser so that it speaks to nobody by itself. */
export const launch = (executablePath: string): Promise<Browser> =>
  chromium.launch({
    executablePath,
    args: [
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      // its sandbox does not start as root
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
    ],
  });
