/** @file Statistics of large containers on all cores: each thread opens the container and reads its share. Start at `statsInThreads`. */

import { Worker } from "node:worker_threads";
import { cores } from "#platform";
import { type ErrorCode, type ErrorDetails, VarscopeError } from "../base/index.ts";
import type { Stats } from "../edit/stats.ts";
import type { VariableEntry } from "../formats/collection/index.ts";

/** What a thread is to do. */
export interface StatsJob {
  readonly path: string;
  readonly names: readonly string[];
}

/** What a thread says: how many bytes it has read, and at last the statistics, or what went wrong. */
export type StatsAnswer =
  | { readonly done: number }
  | { readonly stats: readonly (readonly [string, Stats])[] }
  | { readonly error: ErrorDetails & { readonly code: ErrorCode; readonly what: string } };

/** A thread takes some 0.1 s to start, in which one reads about this much. */
const WORTH_BYTES = 128 << 20;
/** More would wait for the disk together. */
const MOST_THREADS = 8;

/** Whether threads can be started: from built files, since a thread takes no TypeScript. */
const canStart = import.meta.url.endsWith(".js");

export interface PoolOptions {
  readonly signal?: AbortSignal;
  onProgress?(done: number, all: number): void;
}

/**
 * Statistics by name, computed in threads; null where that is not worth it, and the caller had better do it.
 *
 * @param worthBytes - bytes of values from which threads are started
 * @throws VarscopeError CANCELLED; and what reading throws
 */
export async function statsInThreads(
  path: string,
  variables: readonly VariableEntry[],
  options: PoolOptions = {},
  worthBytes = WORTH_BYTES,
): Promise<ReadonlyMap<string, Stats> | null> {
  const all = variables.reduce((n, v) => n + v.bytes, 0);
  const threads = Math.min(cores(), MOST_THREADS, variables.length);
  if (!canStart || threads < 2 || all < worthBytes) return null;
  const done = new Array<number>(threads).fill(0);
  const shares = sharesOf(variables, threads);
  const found = await Promise.all(
    shares.map((names, i) =>
      inThread({ path, names }, options.signal, (bytes) => {
        done[i] = bytes;
        options.onProgress?.(
          done.reduce((a, b) => a + b),
          all,
        );
      }),
    ),
  );
  return new Map(found.flat());
}

/** Names for each thread, of about equal bytes: the largest first, each to the thread that has least. */
function sharesOf(variables: readonly VariableEntry[], threads: number): string[][] {
  const shares = Array.from({ length: threads }, () => ({ bytes: 0, names: [] as string[] }));
  for (const v of [...variables].sort((a, b) => b.bytes - a.bytes)) {
    const least = shares.reduce((a, b) => (b.bytes < a.bytes ? b : a));
    least.bytes += v.bytes;
    least.names.push(v.name);
  }
  return shares.map(({ names }) => names);
}

function inThread(
  job: StatsJob,
  signal: AbortSignal | undefined,
  onProgress: (bytes: number) => void,
): Promise<readonly (readonly [string, Stats])[]> {
  const worker = new Worker(new URL("./stats-worker.js", import.meta.url), {
    workerData: job,
    execArgv: [], // flags of this process (--input-type, --conditions) are not for the thread
  });
  const stop = (): void => void worker.terminate();
  signal?.addEventListener("abort", stop, { once: true });
  return new Promise<readonly (readonly [string, Stats])[]>((resolve, reject) => {
    worker.on("message", (answer: StatsAnswer) => {
      if ("stats" in answer) resolve(answer.stats);
      else if ("done" in answer) onProgress(answer.done);
      else reject(new VarscopeError(answer.error.code, answer.error.what, answer.error));
    });
    worker.on("error", reject);
    worker.on("exit", () =>
      reject(
        new VarscopeError("CANCELLED", "inspecting was aborted", { at: job.path, cause: signal?.reason }),
      ),
    );
  }).finally(() => {
    signal?.removeEventListener("abort", stop);
    stop();
  });
}
