/**
 * @file The HDF5 library in the worker: tools/inspector.mjs puts this module in the place of h5wasm's. The page sends the library when it is
 * first asked for. Start at `ready`.
 */

import { VarscopeError } from "../base/index.ts";
import type { ToWorker } from "./protocol.ts";

declare function importScripts(url: string): void;

/** What hdf5.js defines. */
interface Hdf5Library {
  varscopeHdf5(): { readonly ready: Promise<unknown> };
}

/** h5wasm's module, as h5wasm gives it. @throws VarscopeError UNAVAILABLE - the page cannot load it */
export const ready: Promise<unknown> = new Promise<Blob>((resolve, reject) => {
  addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
    if (!("hdf5" in data)) return;
    if (data.hdf5 !== null) resolve(data.hdf5);
    else
      reject(
        new VarscopeError("UNAVAILABLE", "the HDF5 library did not load", {
          at: "hdf5.js",
          hint: "keep hdf5.js beside the page",
        }),
      );
  });
  globalThis.postMessage({ need: "hdf5" });
}).then((blob) => {
  // Its address is made here: one that the page made is of another origin where the page comes from a disk.
  importScripts(URL.createObjectURL(blob));
  return (globalThis as unknown as Hdf5Library).varscopeHdf5().ready;
});
