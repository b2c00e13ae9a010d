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
