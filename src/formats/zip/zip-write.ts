/**
 * @file Writing zip archives as a stream: members stored, dated 1980-01-01, so that the same members make the same bytes. Start at
 * `writeZip`.
 *
 * @see PKWARE APPNOTE.TXT 6.3.10, section 4.3; Python Lib/zipfile, whose bytes these are
 */

import { type Chunks, crc32 } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { nameFault, quoted } from "./zip.ts";

/** A file to put into an archive. */
export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array | Chunks;
}

export interface ZipOptions {
  /** sizes of 64 bits in all local headers, as numpy.savez writes them: false */
  readonly wide?: boolean;
}

const DATE = 0x21; // 1980-01-01
const MADE_BY = 3 << 8; // Unix, so that the mode below means something
const MODE = 0o600 * 2 ** 16;
const FLAG_DESCRIPTOR = 8;
const FLAG_UTF8 = 0x800;
const NARROW = 0xffffffff;
/** Members up to this size are held until their CRC is known; of larger ones size and CRC follow the data. */
const HELD_BYTES = 8 << 20;

interface Written {
  readonly name: Uint8Array;
  readonly flags: number;
  readonly version: number;
  readonly headerAt: number;
  readonly crc: number;
  readonly bytes: number;
}

/**
 * Bytes of an archive of the parts, in their order.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a name twice, or one that `openZip` refuses
 */
export async function* writeZip(
  parts: Iterable<ZipPart> | AsyncIterable<ZipPart>,
  options: ZipOptions = {},
): AsyncGenerator<Uint8Array> {
  const written: Written[] = [];
  const names = new Set<string>();
  let at = 0;
  for await (const part of parts) {
    needNewName(part.name, names);
    const headerAt = at;
    const pieces = part.data instanceof Uint8Array ? [part.data] : part.data;
    const member = writeMember(part.name, pieces, headerAt, options);
    for (let next = await member.next(); ; next = await member.next()) {
      if (next.done) {
        written.push(next.value);
        break;
      }
      at += next.value.length;
      yield next.value;
    }
  }
  yield directoryOf(written, at);
}

function needNewName(name: string, names: Set<string>): void {
  const fault =
    nameFault(name) ?? (names.has(name) ? "another member has it" : undefined) ?? lengthFault(name);
  if (fault !== undefined)
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `a zip archive cannot have a member ${quoted(name)}: ${fault}`,
      { hint: "rename it" },
    );
  names.add(name);
}

const lengthFault = (name: string): string | undefined =>
  new TextEncoder().encode(name).length > 0xffff ? "it is longer than 65535 bytes" : undefined;

async function* writeMember(
  name: string,
  pieces: Chunks,
  headerAt: number,
  { wide = false }: ZipOptions,
): AsyncGenerator<Uint8Array, Written> {
  const raw = new TextEncoder().encode(name);
  const utf8 = raw.length === name.length ? 0 : FLAG_UTF8;
  const held: Uint8Array[] = [];
  let [bytes, crc, streams] = [0, 0, false];
  const member = (): Written => ({
    name: raw,
    flags: utf8 | (streams ? FLAG_DESCRIPTOR : 0),
    version: wide || streams ? 45 : 20,
    headerAt,
    crc,
    bytes,
  });
  for await (const piece of pieces) {
    bytes += piece.length;
    crc = crc32(piece, crc);
    if (streams) yield piece;
    else held.push(piece);
    if (!streams && bytes > HELD_BYTES) {
      streams = true; // how large it becomes is not known: 64 bits
      yield localHeader({ ...member(), crc: 0, bytes: 0 }, true);
      yield* held.splice(0);
    }
  }
  if (streams) {
    yield numbers([4, 0x08074b50], [4, crc], [8, bytes], [8, bytes]);
  } else {
    yield localHeader(member(), wide);
    yield* held;
  }
  return member();
}

function localHeader({ name, flags, version, crc, bytes }: Written, wide: boolean): Uint8Array {
  const size = wide ? NARROW : bytes;
  const fixed = numbers(
    [4, 0x04034b50],
    [2, version],
    [2, flags],
    [2, 0],
    [2, 0],
    [2, DATE],
    [4, crc],
    [4, size],
    [4, size],
    [2, name.length],
    [2, wide ? 20 : 0],
  );
  return joined([fixed, name, wide ? numbers([2, 1], [2, 16], [8, bytes], [8, bytes]) : new Uint8Array(0)]);
}

/** The directory, and the end record, with its zip64 form where a number needs it. */
function directoryOf(written: readonly Written[], start: number): Uint8Array {
  const entries = joined(written.map(directoryEntry));
  const count = written.length;
  const end = start + entries.length;
  const wide = count >= 0xffff || start >= NARROW || entries.length >= NARROW;
  const narrowCount = Math.min(count, 0xffff);
  const parts = [entries];
  if (wide) {
    parts.push(
      numbers(
        [4, 0x06064b50],
        [8, 44],
        [2, 45],
        [2, 45],
        [4, 0],
        [4, 0],
        [8, count],
        [8, count],
        [8, entries.length],
        [8, start],
      ),
      numbers([4, 0x07064b50], [4, 0], [8, end], [4, 1]),
    );
  }
  const [bytes, at] = [Math.min(entries.length, NARROW), Math.min(start, NARROW)];
  parts.push(
    numbers([4, 0x06054b50], [2, 0], [2, 0], [2, narrowCount], [2, narrowCount], [4, bytes], [4, at], [2, 0]),
  );
  return joined(parts);
}

function directoryEntry({ name, flags, version, headerAt, crc, bytes }: Written): Uint8Array {
  const wide = [...(bytes >= NARROW ? [bytes, bytes] : []), ...(headerAt >= NARROW ? [headerAt] : [])];
  const size = Math.min(bytes, NARROW);
  const needed = wide.length > 0 ? 45 : version;
  const fixed = numbers(
    [4, 0x02014b50],
    [2, MADE_BY | needed],
    [2, needed],
    [2, flags],
    [2, 0],
    [2, 0],
    [2, DATE],
    [4, crc],
    [4, size],
    [4, size],
    [2, name.length],
    [2, wide.length > 0 ? 4 + 8 * wide.length : 0],
    [2, 0],
    [2, 0],
    [2, 0],
    [4, MODE],
    [4, Math.min(headerAt, NARROW)],
  );
  const extra =
    wide.length > 0
      ? numbers([2, 1], [2, 8 * wide.length], ...wide.map((n) => [8, n] as const))
      : new Uint8Array(0);
  return joined([fixed, name, extra]);
}

/** Little-endian numbers, each with its bytes. */
function numbers(...fields: readonly (readonly [2 | 4 | 8, number])[]): Uint8Array {
  const out = new Uint8Array(fields.reduce((n, [width]) => n + width, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [width, value] of fields) {
    if (width === 2) view.setUint16(at, value, true);
    else if (width === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += width;
  }
  return out;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
