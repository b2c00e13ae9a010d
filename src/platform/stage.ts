/** @file What node.ts and web.ts say alike: types of atomic writing, and joining paths. Start at `Staged`. */

/** Bytes in order, made as they are asked for. */
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface WriteOptions {
  /** aborts the write; nothing is left of it */
  readonly signal?: AbortSignal;
  /** wait until the bytes are on the disk: true; false survives a crash of the process, not of the machine */
  readonly sync?: boolean;
}

/** A file that is written whole under a temporary name, beside its place. */
export interface Staged {
  readonly file: string;
  /** Moves it to its place, or to another name in the same folder, over what is there. */
  commit(as?: string): Promise<void>;
  /** Removes it; fine after `commit`. */
  discard(): Promise<void>;
}

/** Parts joined as Python's os.path.join does: nothing normalised, an absolute part forgets those before it. */
export function joinParts(parts: readonly string[], isAbsolute: (part: string) => boolean): string {
  let joined = "";
  for (const part of parts) {
    if (joined === "" || isAbsolute(part)) joined = part;
    else joined = /[/\\]$/.test(joined) ? `${joined}${part}` : `${joined}/${part}`;
  }
  return joined;
}

/** Chunks this small are copied together, since a write costs more than a copy. */
const SMALL_BYTES = 64 << 10;

/** The same bytes in pieces of at most `most`: large ones cut, small ones copied together. */
export async function* gathered(chunks: Chunks, most: number): AsyncGenerator<Uint8Array> {
  let held = new Uint8Array(0);
  let used = 0;
  for await (const chunk of chunks) {
    const small = chunk.length < SMALL_BYTES;
    if (used > 0 && !(small && used + chunk.length <= held.length)) {
      yield held.subarray(0, used);
      held = new Uint8Array(0); // the one before is being written
      used = 0;
    }
    if (small) {
      if (held.length === 0) held = new Uint8Array(16 * SMALL_BYTES);
      held.set(chunk, used);
      used += chunk.length;
      continue;
    }
    for (let start = 0; start < chunk.length; start += most) yield chunk.subarray(start, start + most);
  }
  if (used > 0) yield held.subarray(0, used);
}
