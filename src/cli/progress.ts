/** @file Progress of long work on a terminal; nothing in a pipe. Start at `progressOn`. */

import { formatBytes, type Sink } from "./terminal.ts";

/** A line that is rewritten while work goes on. */
export interface Progress {
  /** `done` of `all` bytes; `all` of 0 is unknown */
  report(done: number, all: number): void;
  /** takes the line away */
  end(): void;
}

/** Work shorter than this shows nothing. */
const QUIET_MS = 400;
const REDRAW_MS = 100;
const BAR_CELLS = 24;

/** Progress of `what` on `sink`, if that is a terminal. */
export function progressOn(sink: Sink, what: string): Progress {
  if (sink.isTTY !== true) return { report: () => {}, end: () => {} };
  const start = performance.now();
  let drawn = start + QUIET_MS - REDRAW_MS;
  let shown = false;
  return {
    report: (done, all) => {
      const now = performance.now();
      if (now - drawn < REDRAW_MS) return;
      drawn = now;
      shown = true;
      sink.write(
        `\r\u001b[2K${what}  ${all > 0 ? barOf(done / all) : ""}${formatBytes(done)}${speedOf(done, now - start)}`,
      );
    },
    end: () => {
      if (shown) sink.write("\r\u001b[2K");
    },
  };
}

function barOf(share: number): string {
  const cells = Math.round(Math.min(1, share) * BAR_CELLS);
  return `${"█".repeat(cells)}${"░".repeat(BAR_CELLS - cells)} ${String(Math.floor(Math.min(1, share) * 100)).padStart(3)}%  `;
}

const speedOf = (bytes: number, ms: number): string =>
  `, ${formatBytes(Math.round((bytes / Math.max(ms, 1)) * 1000))}/s`;
