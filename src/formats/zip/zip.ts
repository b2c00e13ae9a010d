/**
 * @file Opening a zip archive: its end record and central directory, zip64 too. What it claims is checked before any of it is
 * believed: places inside the file, no two members over one another, names that stay inside a folder. Start at `openZip`.
 *
 * @see PKWARE APPNOTE.TXT 6.3.10, sections 4.3 to 4.5
 */

import type { Source } from "#platform";
import { VarscopeError } from "../../base/index.ts";

export interface ZipLimits {
  /** members: 1,000,000 */
  readonly members?: number;
  /** bytes of the central directory: 256 MiB */
  readonly directoryBytes?: number;
}

/** A file in an archive. */
export interface ZipMember {
  readonly name: string;
  /** inflated */
  readonly bytes: number;
  /** in the archive */
  readonly storedBytes: number;
  readonly method: "stored" | "deflated";
  /** CRC-32 of the inflated bytes */
  readonly crc: number;
  /** byte of its local header */
  readonly headerAt: number;
  /** name as it stands in the archive */
  readonly rawName: Uint8Array;
}

/** An open archive. */
export interface Zip {
  readonly source: Source;
  /** files in the order of the directory; folders are left out */
  readonly members: readonly ZipMember[];
  find(name: string): ZipMember | undefined;
}

const END = 0x06054b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const LOCATOR64 = 0x07064b50;
const LOCATOR64_BYTES = 20;
const END64 = 0x06064b50;
const END64_BYTES = 56;
const ENTRY = 0x02014b50;
const ENTRY_BYTES = 46;
export const LOCAL_BYTES = 30;
/** Bytes that deflate can make of one. @see zlib.net/zlib_tech.html "Maximum Compression Factor" */
const MAX_RATIO = 1032;
const FLAG_ENCRYPTED = 0x2041; // encrypted, strongly encrypted, or with a masked directory
const FLAG_UTF8 = 0x800;

interface Directory {
  readonly start: number;
  readonly bytes: number;
  readonly count: number;
}

/**
 * Opens an archive; reads its end and its directory only.
 *
 * @throws VarscopeError DATA_LOSS - no archive, cut short, or its claims contradict the file or one another; INVALID_ARGUMENT - a
 *   name that leaves its folder; UNIMPLEMENTED - encrypted, several disks, or another compression than deflate; RESOURCE_EXHAUSTED - over a limit
 */
export async function openZip(source: Source, limits: ZipLimits = {}): Promise<Zip> {
  const { members: most = 1_000_000, directoryBytes = 256 << 20 } = limits;
  const directory = await findDirectory(source);
  const { count, bytes, start } = directory;
  if (count > most || bytes > directoryBytes) {
    const what = `${count} members in a directory of ${bytes} bytes; at most ${most} in ${directoryBytes} are read`;
    throw new VarscopeError("RESOURCE_EXHAUSTED", what, { at: `${source.name}@${start}` });
  }
  if (count * ENTRY_BYTES > bytes)
    throw bad(
      source,
      start,
      `${count} members need ${count * ENTRY_BYTES} bytes, the directory has ${bytes}`,
    );
  const members = readEntries(await source.read(start, bytes), directory, source);
  needApart(members, start, source);
  const byName = new Map<string, ZipMember>();
  for (const member of members) {
    if (byName.has(member.name))
      throw bad(source, member.headerAt, `two members are called ${quoted(member.name)}`);
    byName.set(member.name, member);
  }
  return {
    source,
    members: members.filter((m) => !m.name.endsWith("/")),
    find: (name) => byName.get(name),
  };
}

export const bad = (source: Source, at: number, what: string): VarscopeError =>
  new VarscopeError("DATA_LOSS", what, { at: `${source.name}@${at}` });

/** A name for a message: hostile ones may be long, or hold anything. */
export const quoted = (name: string): string =>
  JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name);

/** The end record, which a comment may follow, and the zip64 record before it. */
async function findDirectory(source: Source): Promise<Directory> {
  const size = await source.size();
  const tailStart = Math.max(0, size - END_BYTES - MAX_COMMENT_BYTES);
  const tail = viewOf(await source.read(tailStart, size - tailStart));
  let at = tail.byteLength - END_BYTES;
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === END && tail.getUint16(at + 20, true) === tail.byteLength - END_BYTES - at)
  )
    at--;
  if (at < 0) {
    throw new VarscopeError("DATA_LOSS", "no zip archive: it has no end record", {
      at: source.name,
      hint: "it is cut short or another file; take it from its origin again",
    });
  }
  const end = tailStart + at;
  const found = {
    count: tail.getUint16(at + 10, true),
    bytes: tail.getUint32(at + 12, true),
    start: tail.getUint32(at + 16, true),
  };
  const disks = [4, 6].map((field) => tail.getUint16(at + field, true));
  const wide = found.count === 0xffff || found.bytes === 0xffffffff || found.start === 0xffffffff;
  const located =
    wide && end >= LOCATOR64_BYTES ? viewOf(await source.read(end - LOCATOR64_BYTES, LOCATOR64_BYTES)) : null;
  if (located?.getUint32(0, true) === LOCATOR64)
    return findDirectory64(source, located, end - LOCATOR64_BYTES);
  if (disks.some((disk) => disk !== 0)) throw severalDisks(source, end);
  return needEndAt(source, found, end);
}

async function findDirectory64(source: Source, locator: DataView, end: number): Promise<Directory> {
  const at = wideNumber(locator, 8, source, end);
  if (at + END64_BYTES > end)
    throw bad(source, end, `the zip64 end record is said to be at ${at}, past ${end - END64_BYTES}`);
  const record = viewOf(await source.read(at, END64_BYTES));
  if (record.getUint32(0, true) !== END64)
    throw bad(source, at, "no zip64 end record is where its locator says");
  if (record.getUint32(16, true) !== 0 || record.getUint32(20, true) !== 0) throw severalDisks(source, at);
  const [count, bytes, start] = [32, 40, 48].map((field) => wideNumber(record, field, source, at)) as [
    number,
    number,
    number,
  ];
  return needEndAt(source, { count, bytes, start }, at);
}

/** The directory must end where its end record begins: else something is before the archive, or the numbers are wrong. */
function needEndAt(source: Source, found: Directory, end: number): Directory {
  if (found.start + found.bytes === end) return found;
  const what = `the directory is said to be ${found.bytes} bytes at ${found.start}, its end record begins at ${end}`;
  throw bad(source, end, what);
}

const severalDisks = (source: Source, at: number): VarscopeError =>
  new VarscopeError("UNIMPLEMENTED", "the archive goes over several disks", { at: `${source.name}@${at}` });

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function wideNumber(view: DataView, field: number, source: Source, at: number): number {
  const value = view.getBigUint64(field, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw bad(source, at + field, `${value} is beyond every file`);
  return Number(value);
}

function readEntries(bytes: Uint8Array, { start, count }: Directory, source: Source): ZipMember[] {
  const view = viewOf(bytes);
  const members: ZipMember[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const left = bytes.length - at;
    if (left < ENTRY_BYTES || view.getUint32(at, true) !== ENTRY)
      throw bad(source, start + at, `member ${i} of ${count} does not begin here`);
    const [name, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true)) as [
      number,
      number,
      number,
    ];
    const length = ENTRY_BYTES + name + extra + comment;
    if (length > left) throw bad(source, start + at, `member ${i} needs ${length} bytes, ${left} are there`);
    members.push(readEntry(bytes.subarray(at, at + length), name, extra, start + at, source));
    at += length;
  }
  if (at !== bytes.length) throw bad(source, start + at, `${bytes.length - at} bytes follow the last member`);
  return members;
}

function readEntry(
  bytes: Uint8Array,
  nameBytes: number,
  extraBytes: number,
  at: number,
  source: Source,
): ZipMember {
  const view = viewOf(bytes);
  const rawName = bytes.slice(ENTRY_BYTES, ENTRY_BYTES + nameBytes);
  const flags = view.getUint16(8, true);
  const name = needName(decodeName(rawName, flags), at, source);
  const unread = (what: string): VarscopeError =>
    new VarscopeError("UNIMPLEMENTED", `${quoted(name)} is ${what}`, { at: `${source.name}@${at}` });
  if ((flags & FLAG_ENCRYPTED) !== 0) throw unread("encrypted");
  const method = view.getUint16(10, true);
  if (method !== 0 && method !== 8)
    throw unread(`compressed by method ${method}; only 0 (stored) and 8 (deflate) are read`);
  const extra = bytes.subarray(ENTRY_BYTES + nameBytes, ENTRY_BYTES + nameBytes + extraBytes);
  const { sizes, disk } = wideSizes(
    {
      bytes: view.getUint32(24, true),
      storedBytes: view.getUint32(20, true),
      headerAt: view.getUint32(42, true),
    },
    view.getUint16(34, true),
    extra,
    at,
    source,
  );
  if (disk !== 0) throw severalDisks(source, at);
  const { bytes: inflated, storedBytes } = sizes;
  if (method === 0 ? inflated !== storedBytes : inflated > storedBytes * MAX_RATIO)
    throw bad(
      source,
      at,
      `${quoted(name)} claims ${inflated} bytes out of ${storedBytes} ${method === 0 ? "stored" : "deflated"} ones`,
    );
  return {
    name,
    rawName,
    ...sizes,
    method: method === 0 ? "stored" : "deflated",
    crc: view.getUint32(16, true),
  };
}

type Sizes = Pick<ZipMember, "bytes" | "storedBytes" | "headerAt">;

/** Numbers that do not fit in 32 bits stand in extra field 1, in this order, each only where it does not fit. */
function wideSizes(
  given: Sizes,
  disk: number,
  extra: Uint8Array,
  at: number,
  source: Source,
): { readonly sizes: Sizes; readonly disk: number } {
  const wide = (["bytes", "storedBytes", "headerAt"] as const).filter((key) => given[key] === 0xffffffff);
  if (wide.length === 0 && disk !== 0xffff) return { sizes: given, disk };
  const field = extraField(extra, 1);
  const want = 8 * wide.length + (disk === 0xffff ? 4 : 0);
  if (field === undefined || field.length < want)
    throw bad(source, at, `its zip64 field needs ${want} bytes, ${field?.length ?? 0} are there`);
  const view = viewOf(field);
  const sizes = Object.fromEntries(wide.map((key, i) => [key, wideNumber(view, 8 * i, source, at)]));
  return {
    sizes: { ...given, ...sizes },
    disk: disk === 0xffff ? view.getUint32(8 * wide.length, true) : disk,
  };
}

function extraField(extra: Uint8Array, id: number): Uint8Array | undefined {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const end = at + 4 + view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === id && end <= extra.length) return extra.subarray(at + 4, end);
    at = end;
  }
  return undefined;
}

function decodeName(raw: Uint8Array, flags: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw);
  } catch {
    if ((flags & FLAG_UTF8) !== 0) return new TextDecoder("utf-8", { ignoreBOM: true }).decode(raw);
    return new TextDecoder("latin1").decode(raw);
  }
}

/** What is wrong with a member's name; undefined for a fine one. */
export function nameFault(name: string): string | undefined {
  if (name === "") return "it is empty";
  if (name.includes("\0")) return "it holds a zero byte";
  if (name.includes("\\")) return "it holds a backslash";
  if (name.startsWith("/") || /^[A-Za-z]:/.test(name)) return "it is absolute";
  return name.split("/").includes("..") ? "it leaves its folder" : undefined;
}

function needName(name: string, at: number, source: Source): string {
  const fault = nameFault(name);
  if (fault === undefined) return name;
  throw new VarscopeError("INVALID_ARGUMENT", `the name ${quoted(name)} is refused: ${fault}`, {
    at: `${source.name}@${at}`,
    hint: "an honest program writes no such archive; do not unpack it",
  });
}

/** No two members share bytes, and none reaches into the directory: zip bombs are made of members that do. */
function needApart(members: readonly ZipMember[], directoryStart: number, source: Source): void {
  const inOrder = [...members].sort((a, b) => a.headerAt - b.headerAt);
  for (const [i, member] of inOrder.entries()) {
    const end = member.headerAt + LOCAL_BYTES + member.rawName.length + member.storedBytes;
    const next = inOrder[i + 1];
    const limit = next?.headerAt ?? directoryStart;
    if (end <= limit) continue;
    const over = next === undefined ? "the directory" : quoted(next.name);
    throw bad(source, member.headerAt, `${quoted(member.name)} reaches to ${end}, over ${over} at ${limit}`);
  }
}
