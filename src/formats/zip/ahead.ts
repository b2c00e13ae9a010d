/** @file Small reads that lie close together, made by one larger read. Start at `aheadSource`. */

import type { Source } from "#platform";

/** The same source, read at least `aheadBytes` at once; the last piece is kept. For reads that go forward. */
export function aheadSource(source: Source, aheadBytes = 64 << 10): Source {
  let start = 0;
  let held = new Uint8Array(0);
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    if (!(length < aheadBytes)) return source.read(offset, length);
    if (offset < start || offset + length > start + held.length) {
      const rest = (await source.size()) - offset;
      if (!(rest >= length) || length < 0) return source.read(offset, length); // which says what is wrong
      const bytes = await source.read(offset, Math.min(aheadBytes, rest));
      [start, held] = [offset, bytes as Uint8Array<ArrayBuffer>];
    }
    return held.subarray(offset - start, offset - start + length);
  };
  return {
    ...source,
    read,
    readInto: async (offset, target) => target.set(await read(offset, target.length)),
  };
}
