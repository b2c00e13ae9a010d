/** @file Sources that a page reads: small reads in blocks, servers without ranges loaded whole. Start at `addressFiles`. */

import { bytesSource, type Files, httpSource, type Source } from "#platform";
import { isVarscopeError, VarscopeError } from "../base/index.ts";

/** A read costs a round trip, so small ones take a whole block, and some blocks are kept. */
const BLOCK_BYTES = 64 << 10;
const KEPT_BLOCKS = 64;

/** The same source; reads below a block come from blocks that are kept. */
export function blockSource(source: Source): Source {
  const kept = new Map<number, Promise<Uint8Array>>();
  const block = (i: number, size: number): Promise<Uint8Array> => {
    const known = kept.get(i);
    const start = i * BLOCK_BYTES;
    const bytes = known ?? source.read(start, Math.min(BLOCK_BYTES, size - start));
    kept.delete(i); // the last used stands last
    kept.set(i, bytes);
    if (known === undefined) bytes.catch(() => kept.delete(i));
    if (kept.size > KEPT_BLOCKS) kept.delete(kept.keys().next().value!);
    return bytes;
  };
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    const size = await source.size();
    const isOdd = !(length < BLOCK_BYTES && offset >= 0 && offset + length <= size);
    if (isOdd || length === 0) return source.read(offset, length);
    const [first, last] = [Math.floor(offset / BLOCK_BYTES), Math.floor((offset + length - 1) / BLOCK_BYTES)];
    const from = offset - first * BLOCK_BYTES;
    const head = await block(first, size);
    if (first === last) return head.slice(from, from + length);
    const out = new Uint8Array(length);
    out.set(head.subarray(from));
    out.set((await block(last, size)).subarray(0, length - (BLOCK_BYTES - from)), BLOCK_BYTES - from);
    return out;
  };
  return {
    ...source,
    read,
    readInto: async (offset, target) => {
      if (target.length >= BLOCK_BYTES) await source.readInto(offset, target);
      else target.set(await read(offset, target.length));
    },
  };
}

/** A file from a server without ranges must fit in memory beside everything else. */
const MOST_WHOLE_BYTES = 512 << 20;

/** Files of web servers; of a server without ranges the file is loaded whole, and `note` is told. */
export function addressFiles(note: (text: string) => void): Files {
  const known = new Map<string, Source>();
  const source = (url: string): Source => {
    const found = known.get(url) ?? blockSource(addressSource(url, note));
    known.set(url, found);
    return found;
  };
  const exists = async (url: string): Promise<boolean> => {
    try {
      await source(url).size();
      return true;
    } catch (e) {
      if (isVarscopeError(e, "UNAVAILABLE")) throw e; // no answer is not an absence
      return false;
    }
  };
  const list = async (url: string): Promise<string[]> => {
    throw new VarscopeError("UNIMPLEMENTED", "a web server's folders cannot be listed", {
      at: url,
      hint: "give the address of a file, or a checkpoint's prefix",
    });
  };
  return { source, exists, isDir: async () => false, list };
}

function addressSource(url: string, note: (text: string) => void): Source {
  const ranged = httpSource(url);
  let chosen: Promise<Source> | undefined;
  const choose = async (): Promise<Source> => {
    try {
      if ((await ranged.size()) > 0) await ranged.read(0, 1);
      return ranged;
    } catch (e) {
      if (!isVarscopeError(e, "UNIMPLEMENTED")) throw e;
      const bytes = await loadWhole(url);
      note(
        `${url} was loaded whole (${bytes.length.toLocaleString("en-US")} bytes): its server has no range requests`,
      );
      return bytesSource(bytes, url);
    }
  };
  const get = (): Promise<Source> => {
    chosen ??= choose();
    return chosen;
  };
  return {
    name: url,
    size: async () => (await get()).size(),
    read: async (offset, length) => (await get()).read(offset, length),
    readInto: async (offset, target) => (await get()).readInto(offset, target),
    close: async () => {},
  };
}

async function loadWhole(url: string): Promise<Uint8Array> {
  const response = await fetch(url);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body!.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    bytes += part.value.length;
    if (bytes > MOST_WHOLE_BYTES) {
      await reader.cancel();
      throw new VarscopeError(
        "RESOURCE_EXHAUSTED",
        `the file has more than ${MOST_WHOLE_BYTES} bytes and its server no range requests`,
        {
          at: url,
          hint: "serve it from a server with range support, or download it and drop it here",
        },
      );
    }
    chunks.push(part.value);
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}
