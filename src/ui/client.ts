/** @file The page's side of the worker: requests as promises. Start at `startReader`. */

import type { FromWorker, Progress, Replies, Request, ToWorker } from "./protocol.ts";

/** A request under way. */
export interface Asked<T> {
  readonly result: Promise<T>;
  cancel(): void;
}

/** The worker as the page sees it. */
export interface Reader {
  ask<R extends Request>(request: R, onProgress?: (progress: Progress) => void): Asked<Replies[R["do"]]>;
}

/** Source of the worker, put there by tools/inspector.mjs: a page from a disk can start no worker from a file. */
declare const WORKER_TEXT: string;

/** What hdf5.js defines: the HDF5 library as a function, whose text goes to the worker. */
interface Hdf5Page {
  varscopeHdf5?: () => unknown;
}

/** Starts the worker. */
export function startReader(): Reader {
  const url = URL.createObjectURL(new Blob([WORKER_TEXT], { type: "text/javascript" }));
  const worker = new Worker(url);
  const waiting = new Map<number, Waiting>();
  let count = 0;
  const say = (message: ToWorker): void => worker.postMessage(message);
  const failAll = (what: string): void => {
    for (const { reject } of waiting.values()) reject(new Error(what));
    waiting.clear();
  };
  worker.onerror = (e) => failAll(`[INTERNAL] the reader stopped: ${e.message}`);
  worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
    if ("need" in data) void loadHdf5().then((hdf5) => say({ hdf5 }));
    else settle(waiting, data);
  };
  return {
    ask: <R extends Request>(request: R, onProgress: (progress: Progress) => void = () => {}) => {
      const id = count++;
      const result = new Promise<unknown>((resolve, reject) =>
        waiting.set(id, { resolve, reject, onProgress }),
      );
      say({ id, request });
      return { result: result as Promise<Replies[R["do"]]>, cancel: () => say({ id, cancel: true }) };
    },
  };
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onProgress(progress: Progress): void;
}

function settle(waiting: Map<number, Waiting>, data: Exclude<FromWorker, { readonly need: string }>): void {
  const asked = waiting.get(data.id);
  if (asked === undefined) return;
  if ("progress" in data) {
    asked.onProgress(data.progress);
    return;
  }
  waiting.delete(data.id);
  if ("error" in data) asked.reject(new Error(data.error));
  else asked.resolve(data.result);
}

/** The HDF5 library, 1 MB packed, loads with the first .h5: by a script element, which works from a disk too. null where it does not load. */
function loadHdf5(): Promise<Blob | null> {
  return new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = "hdf5.js";
    script.onerror = () => resolve(null);
    script.onload = () => {
      const text = `globalThis.varscopeHdf5 = ${String((globalThis as Hdf5Page).varscopeHdf5)}`;
      resolve(new Blob([text], { type: "text/javascript;charset=utf-8" }));
    };
    document.head.append(script);
  });
}
