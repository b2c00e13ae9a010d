/**
 * @file Pages of a source, held in memory so that a synchronous library can read an asynchronous source: what is not there is
 * noted, fetched, and the read is tried again. Start at `pagesOf`.
 */

import type { Source } from "#platform";
import { VarscopeError } from "../../base/index.ts";

/** One page; HDF5 keeps its metadata in blocks of 2 KiB between the values. */
const PAGE_BYTES = 64 << 10;
/** A file this small is read whole, in one read. */
const WHOLE_BYTES = 4 << 20;
/** Pages that stay in memory. */
const CACHE_BYTES = 64 << 20;
/** What one operation of the library may need at once, such as a large chunk. */
const OPERATION_BYTES = 512 << 20;
/** Most pages that are fetched ahead when the reads follow each other. */
const AHEAD_PAGES = (4 << 20) / PAGE_BYTES;

/** A source that can be read at once, as far as it was fetched. */
export interface Pages {
  readonly size: number;
  /** Fills `target`; false where a page is missing, which is then noted. */
  readNow(offset: number, target: Uint8Array): boolean;
  /** Whether a read failed since the last fetch. */
  missing(): boolean;
  /** Fetches what is noted. @throws VarscopeError RESOURCE_EXHAUSTED - one operation needs too much */
  fetch(): Promise<void>;
  /** Starts an operation: pages of earlier ones may be forgotten. */
  begin(): void;
}

interface Page {
  readonly bytes: Uint8Array;
  operation: number;
}

/** Pages of `source`. Reads that begin where the last fetch ended fetch twice as much each time. */
export async function pagesOf(source: Source): Promise<Pages> {
  const size = await source.size();
  const pageBytes = size <= WHOLE_BYTES ? Math.max(size, 1) : PAGE_BYTES;
  const pages = new Map<number, Page>();
  const wanted: { first: number; end: number }[] = [];
  let operation = 0;
  let used = 0;
  let lastEnd = -1;
  let ahead = 1;
  const pageCount = Math.ceil(size / pageBytes);

  const touch = (index: number): Page | undefined => {
    const page = pages.get(index);
    if (page === undefined) return undefined;
    if (page.operation !== operation) used += page.bytes.length;
    page.operation = operation;
    pages.delete(index); // to the end: the newest
    pages.set(index, page);
    return page;
  };
  const readNow = (offset: number, target: Uint8Array): boolean => {
    if (target.length === 0) return true; // behind the end there is no page to wait for
    const first = Math.floor(offset / pageBytes);
    const end = Math.ceil((offset + target.length) / pageBytes);
    for (let i = first; i < end; i++) {
      if (pages.has(i)) continue;
      wanted.push({ first: i, end });
      return false;
    }
    for (let i = first; i < end; i++) {
      const { bytes } = touch(i)!;
      const from = Math.max(0, offset - i * pageBytes);
      const to = Math.min(bytes.length, offset + target.length - i * pageBytes);
      target.set(bytes.subarray(from, to), i * pageBytes + from - offset);
    }
    return true;
  };
  const makeRoom = (bytes: number): void => {
    let held = pages.size * pageBytes + bytes;
    for (const [index, page] of pages) {
      if (held <= CACHE_BYTES) return;
      if (page.operation === operation) continue;
      pages.delete(index);
      held -= pageBytes;
    }
  };
  const load = async (first: number, end: number): Promise<void> => {
    const bytes = (end - first) * pageBytes;
    if (used + bytes > OPERATION_BYTES)
      throw new VarscopeError("RESOURCE_EXHAUSTED", `one read needs over ${OPERATION_BYTES} bytes at once`, {
        at: source.name,
      });
    makeRoom(bytes);
    const start = first * pageBytes;
    const got = await source.read(start, Math.min(end * pageBytes, size) - start);
    for (let i = first; i < end; i++) {
      const part = got.subarray((i - first) * pageBytes, (i + 1 - first) * pageBytes);
      if (!pages.has(i)) pages.set(i, { bytes: first + 1 === end ? part : part.slice(), operation: -1 });
    }
  };
  return {
    size,
    readNow,
    missing: () => wanted.length > 0,
    begin: () => {
      operation++;
      used = 0;
      wanted.length = 0;
    },
    fetch: async () => {
      for (const { first, end } of wanted.splice(0)) {
        ahead = first === lastEnd ? Math.min(2 * ahead, AHEAD_PAGES) : 1;
        const to = Math.min(pageCount, Math.max(end, first + ahead));
        lastEnd = to;
        await load(first, to);
      }
    },
  };
}
