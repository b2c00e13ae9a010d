/**
 * Builds the inspector's page into dist/inspector/: index.html, inspector.css, inspector.js (the page, with its worker inside), hdf5.js
 * (the HDF5 library, which loads with the first .h5). The same sources give the same bytes.
 *
 *   node tools/inspector.mjs [--quiet]
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import * as esbuild from "esbuild";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const UI = join(ROOT, "src", "ui");
const OUT = join(ROOT, "dist", "inspector");

const SETTINGS = {
  absWorkingDir: ROOT,
  bundle: true,
  write: false,
  format: "iife",
  platform: "browser",
  target: "es2022",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  logLevel: "error",
};

/** Sources as they are for a browser: #platform is web.ts, and the HDF5 library comes from the page. */
const forBrowser = {
  name: "browser",
  setup(build) {
    const instead = (filter, ...path) =>
      build.onResolve({ filter }, () => ({ path: join(ROOT, "src", ...path) }));
    instead(/^#platform$/, "platform", "web.ts");
    instead(/^h5wasm$/, "ui", "hdf5.ts");
    build.onResolve({ filter: /^#ort$/ }, () => ({ errors: [{ text: "the page runs no graphs" }] }));
  },
};

async function bundle(entry, options = {}) {
  const { outputFiles } = await esbuild.build({
    ...SETTINGS,
    plugins: [forBrowser],
    entryPoints: [entry],
    ...options,
  });
  return outputFiles[0].text;
}

/** The library as a function, since the page hands its text on to the worker. */
async function hdf5() {
  const { outputFiles } = await esbuild.build({
    ...SETTINGS,
    entryPoints: ["h5wasm"],
    globalName: "h5wasm",
    logOverride: { "empty-import-meta": "silent" },
  });
  return `globalThis.varscopeHdf5=function(){${outputFiles[0].text}return h5wasm};\n`;
}

/** Name -> text of each file of the page. */
export async function inspectorFiles() {
  const worker = await bundle(join(UI, "worker.ts"));
  const page = await bundle(join(UI, "main.tsx"), {
    jsx: "automatic",
    jsxImportSource: "preact",
    define: { WORKER_TEXT: JSON.stringify(worker) },
  });
  return {
    "index.html": readFileSync(join(UI, "index.html"), "utf8").replaceAll("\r\n", "\n"),
    "inspector.css": await styles(),
    "inspector.js": page,
    "hdf5.js": await hdf5(),
  };
}

/** The dark colours stand once in the source: for the system's choice and for the user's. */
async function styles() {
  const css = readFileSync(join(UI, "inspector.css"), "utf8");
  const dark = /:root:not\(\[data-theme="light"\]\) \{([^}]*)\}/.exec(css)[1];
  const both = css.replace(/\/\* the same again.*\*\//, `:root[data-theme="dark"] {${dark}}`);
  return (await esbuild.transform(both, { loader: "css", minify: true })).code;
}

/** In one step, and not where it stands already: somebody may be reading it. */
function writeNew(file, text) {
  if (existsSync(file) && readFileSync(file, "utf8") === text) return;
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, text);
  renameSync(temporary, file);
}

/** Writes the page. */
export async function buildInspector(out = OUT) {
  const files = Object.entries(await inspectorFiles());
  mkdirSync(out, { recursive: true });
  for (const [name, text] of files) writeNew(join(out, name), text);
  return files.map(([name, text]) => ({
    name,
    bytes: Buffer.byteLength(text),
    packed: gzipSync(text).length,
  }));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const kib = (bytes) => `${(bytes / 1024).toFixed(bytes < 10240 ? 1 : 0)} KiB`;
  const built = await buildInspector();
  for (const { name, bytes, packed } of process.argv.includes("--quiet") ? [] : built)
    console.log(`dist/inspector/${name}  ${kib(bytes)}, ${kib(packed)} in gzip`);
}
