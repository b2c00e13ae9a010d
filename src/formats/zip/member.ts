/**
 * @file The bytes of a zip archive's member: a window on a stored one, a deflated one inflated piece by piece, so that what
 * inflates to more than it claims stops at once. Start at `memberSource`.
 */

import { Inflate } from "fflate";
import { bytesSource, crc32, type Source } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { bad, LOCAL_BYTES, quoted, viewOf, type Zip, type ZipMember } from "./zip.ts";

/** A deflated member larger than this is not inflated into memory. */
export const MAX_INFLATED_BYTES = 1 << 30;
/** Stored bytes that are read at once. */
const READ_BYTES = 1 << 20;
const FIRST_READ_BYTES = 16 << 10;
/** Deflated bytes that are inflated at once: they make at most 1032 times as many. */
const INFLATE_BYTES = 8 << 10;

const LOCAL = 0x04034b50;
/** Sizes and CRC stand behind the data, and in the directory; here they are 0. */
const FLAG_DESCRIPTOR = 8;

/**
 * A member as a source; its local header is checked with the first access. Of a stored member only the bytes asked for are read; its CRC
 * is checked by `memberPieces` alone. A deflated one is inflated whole with the first access.
 */
export function memberSource(zip: Zip, member: ZipMember): Source {
  const { source } = zip;
  const name = `${source.name}:${member.name}`;
  let opened: Promise<Source> | undefined;
  const open = async (): Promise<Source> => {
    if (member.method === "deflated") return bytesSource(await memberBytes(zip, member), name);
    return windowSource(source, await dataStart(zip, member), member.bytes, name);
  };
  const inner = (): Promise<Source> => {
    opened ??= open();
    return opened;
  };
  return {
    name,
    size: async () => member.bytes,
    read: async (offset, length) => (await inner()).read(offset, length),
    readInto: async (offset, target) => (await inner()).readInto(offset, target),
    close: async () => {},
  };
}

/** A part of a source; closing it leaves the source open. */
function windowSource(source: Source, start: number, bytes: number, name: string): Source {
  const place = (offset: number, length: number): number => {
    if (offset < 0 || length < 0 || !(offset + length <= bytes))
      throw new VarscopeError("DATA_LOSS", `${length} bytes wanted, the member has ${bytes}`, {
        at: `${name}@${offset}`,
      });
    return start + offset;
  };
  return {
    name,
    size: async () => bytes,
    read: async (offset, length) => source.read(place(offset, length), length),
    readInto: async (offset, target) => source.readInto(place(offset, target.length), target),
    close: async () => {},
  };
}

/** Byte of the archive at which the member's data begin; its local header must say what the directory says. */
async function dataStart({ source }: Zip, member: ZipMember): Promise<number> {
  const { headerAt, rawName, storedBytes } = member;
  const head = await source.read(headerAt, LOCAL_BYTES + rawName.length);
  const view = viewOf(head);
  const wrong = (what: string): VarscopeError =>
    bad(source, headerAt, `${quoted(member.name)}: its header ${what}`);
  if (view.getUint32(0, true) !== LOCAL) throw wrong("is not where the directory says");
  const nameBytes = view.getUint16(26, true);
  if (nameBytes !== rawName.length || rawName.some((byte, i) => head[LOCAL_BYTES + i] !== byte))
    throw wrong("has another name than the directory");
  if (view.getUint16(8, true) !== (member.method === "stored" ? 0 : 8))
    throw wrong("has another method than the directory");
  if ((view.getUint16(6, true) & FLAG_DESCRIPTOR) === 0) {
    const claims: readonly (readonly [number, number])[] = [
      [view.getUint32(14, true), member.crc],
      [view.getUint32(18, true), storedBytes],
      [view.getUint32(22, true), member.bytes],
    ];
    const differs = claims.some(([here, there], i) => here !== there && !(i > 0 && here === 0xffffffff));
    if (differs) throw wrong("has another size or CRC than the directory");
  }
  const start = headerAt + LOCAL_BYTES + nameBytes + view.getUint16(28, true);
  if (start + storedBytes > (await source.size())) throw wrong(`leaves no room for ${storedBytes} bytes`);
  return start;
}

/**
 * All bytes of a member in order, some MiB at a time; size and CRC are checked with the last of them.
 *
 * @throws VarscopeError DATA_LOSS - damaged, or it inflates to another size than it claims
 */
export async function* memberPieces(zip: Zip, member: ZipMember): AsyncGenerator<Uint8Array> {
  let crc = 0;
  let bytes = 0;
  for await (const piece of member.method === "stored"
    ? storedPieces(zip, member)
    : inflatedPieces(zip, member)) {
    bytes += piece.length;
    if (bytes > member.bytes) break;
    crc = crc32(piece, crc);
    yield piece;
  }
  const wrong = (what: string): VarscopeError =>
    bad(zip.source, member.headerAt, `${quoted(member.name)} ${what}`);
  if (bytes !== member.bytes)
    throw wrong(
      `inflates to ${bytes > member.bytes ? "more than " : ""}${Math.min(bytes, member.bytes)} bytes, it claims ${member.bytes}`,
    );
  if (crc !== member.crc) throw wrong(`has CRC ${hex(crc)}, the archive says ${hex(member.crc)}`);
}

const hex = (crc: number): string => `0x${crc.toString(16).padStart(8, "0")}`;

async function* storedPieces(zip: Zip, member: ZipMember): AsyncGenerator<Uint8Array> {
  const start = await dataStart(zip, member);
  for (let at = 0; at < member.bytes; at += READ_BYTES)
    yield await zip.source.read(start + at, Math.min(READ_BYTES, member.bytes - at));
}

async function* inflatedPieces(zip: Zip, member: ZipMember): AsyncGenerator<Uint8Array> {
  const start = await dataStart(zip, member);
  const made: Uint8Array[] = [];
  let bytes = 0;
  const inflate = new Inflate((chunk) => {
    made.push(chunk);
    bytes += chunk.length;
  });
  const enough = Math.min(READ_BYTES, member.bytes + 1); // one more than it claims is a bomb: no more of it
  let size = FIRST_READ_BYTES; // of an array often only its header is wanted
  for (let at = 0; at < member.storedBytes; size = Math.min(2 * size, READ_BYTES)) {
    const read = await zip.source.read(start + at, Math.min(size, member.storedBytes - at));
    at += read.length;
    for (let from = 0; from < read.length; from += INFLATE_BYTES) {
      const last = at === member.storedBytes && from + INFLATE_BYTES >= read.length;
      push(inflate, read.subarray(from, from + INFLATE_BYTES), last, zip, member);
      if (bytes < enough && from + INFLATE_BYTES < read.length) continue;
      if (bytes > 0) yield made.length === 1 ? made[0]! : joined(made, bytes);
      made.length = bytes = 0;
    }
  }
}

function joined(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  const out = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** `fflate`'s errors in our class. */
function push(inflate: Inflate, part: Uint8Array, last: boolean, { source }: Zip, member: ZipMember): void {
  try {
    inflate.push(part, last);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new VarscopeError("DATA_LOSS", `${quoted(member.name)} cannot be inflated: ${why}`, {
      at: `${source.name}@${member.headerAt}`,
      cause,
    });
  }
}

/**
 * All bytes of a member, or its first ones, in one array; size and CRC are checked where it is read whole.
 *
 * @throws VarscopeError RESOURCE_EXHAUSTED - more than 1 GiB; DATA_LOSS - damaged
 */
export async function memberBytes(zip: Zip, member: ZipMember, most = member.bytes): Promise<Uint8Array> {
  const want = Math.min(most, member.bytes);
  if (want > MAX_INFLATED_BYTES) {
    throw new VarscopeError(
      "RESOURCE_EXHAUSTED",
      `${quoted(member.name)} has ${want} bytes; at most ${MAX_INFLATED_BYTES} are read at once`,
      {
        at: zip.source.name,
        hint: "write the archive uncompressed (numpy.savez), so that it can be read in parts",
      },
    );
  }
  const out = new Uint8Array(want);
  let used = 0;
  for await (const piece of memberPieces(zip, member)) {
    out.set(piece.subarray(0, want - used), used);
    used = Math.min(want, used + piece.length);
    if (used === want && want < member.bytes) break;
  }
  return out;
}
