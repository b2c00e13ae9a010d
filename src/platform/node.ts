/**
 * @file The machine in Node: files, clock, cores, hardware CRC. The same names as web.ts; `#platform` is one of both.
 * Start at `fileSource` and `stageFile`.
 */

import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, hostname, networkInterfaces } from "node:os";
import * as path from "node:path";
import {
  type ErrorCode,
  crc32 as portableCrc32,
  crc32c as portableCrc32c,
  VarscopeError,
} from "../base/index.ts";
import type { Files } from "./files.ts";
import { needRange, type Source } from "./source.ts";
import { type Chunks, gathered, joinParts, type Staged, type WriteOptions } from "./stage.ts";

export { type Files, heldFiles } from "./files.ts";
export { bytesSource, type Source } from "./source.ts";
export type { Chunks, Staged, WriteOptions } from "./stage.ts";
export { blobSource, type HttpOptions, httpFiles, httpSource } from "./web-source.ts";

const CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "NOT_FOUND",
  ENOTDIR: "NOT_FOUND",
  EACCES: "PERMISSION_DENIED",
  EPERM: "PERMISSION_DENIED",
  EROFS: "PERMISSION_DENIED",
  EEXIST: "ALREADY_EXISTS",
  ENOSPC: "RESOURCE_EXHAUSTED",
  EDQUOT: "RESOURCE_EXHAUSTED",
  EMFILE: "RESOURCE_EXHAUSTED",
  EISDIR: "FAILED_PRECONDITION",
  ENOTEMPTY: "FAILED_PRECONDITION",
};

/** A system error in our class, with its path. */
function failed(e: unknown, at: string): VarscopeError {
  if (e instanceof VarscopeError) return e;
  const { code = "", message } = e as NodeJS.ErrnoException;
  const what = code === "ENOENT" ? "no such file or folder" : message.replace(/^(\w+): /, "");
  return new VarscopeError(CODES[code] ?? "UNKNOWN", what, { at, cause: e });
}

/** `work`, its system errors in our class. */
async function guarded<T>(at: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (e) {
    throw failed(e, at);
  }
}

/** One read or write: large enough to cost nothing, small enough to overlap with checksums. */
const CHUNK_BYTES = 8 << 20;

/** Reads of one tensor under way at once; the system's thread pool has 4. */
const READS = 4;

/** A file as a source. The file opens with the first access. */
export function fileSource(file: string): Source {
  let opened: Promise<fs.promises.FileHandle> | undefined;
  let bytes: Promise<number> | undefined;
  const handle = (): Promise<fs.promises.FileHandle> => {
    opened ??= guarded(file, () => fs.promises.open(file, "r"));
    return opened;
  };
  const size = (): Promise<number> => {
    bytes ??= guarded(file, async () => (await (await handle()).stat()).size);
    return bytes;
  };
  const readInto = async (offset: number, target: Uint8Array): Promise<void> => {
    needRange(file, offset, target.length, await size());
    const from = await handle();
    let next = 0;
    const reader = async (): Promise<void> => {
      while (next < target.length) {
        const start = next;
        next = Math.min(next + CHUNK_BYTES, target.length);
        await fill(from, target.subarray(start, next), offset + start);
      }
    };
    const readers = Math.min(READS, Math.ceil(target.length / CHUNK_BYTES));
    await Promise.all(Array.from({ length: readers }, reader));
  };
  const fill = (from: fs.promises.FileHandle, part: Uint8Array, position: number): Promise<void> =>
    guarded(file, async () => {
      for (let done = 0; done < part.length; ) {
        const { bytesRead } = await from.read(part, done, part.length - done, position + done);
        if (bytesRead === 0) needRange(file, position + done, part.length - done, position + done);
        done += bytesRead;
      }
    });
  return {
    name: file,
    size,
    readInto,
    read: async (offset, length) => {
      needRange(file, offset, length, await size());
      const target = new Uint8Array(length);
      await readInto(offset, target);
      return target;
    },
    close: async () => {
      const last = opened;
      opened = Promise.reject(new VarscopeError("FAILED_PRECONDITION", "the file is closed", { at: file }));
      opened.catch(() => {});
      await (await last?.catch(() => undefined))?.close();
    },
  };
}

/** All bytes of a file. @throws VarscopeError NOT_FOUND - there is none */
export const readFile = (file: string): Promise<Uint8Array> =>
  guarded(file, async () => {
    const buffer = await fs.promises.readFile(file);
    return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  });

let thisMachine: string | undefined;

/** Names the processes that can be asked about: those of this machine, or container, since its start. */
function machine(): string {
  thisMachine ??= createHash("sha256").update(`${hostname()} ${surelyThisOne()}`).digest("hex").slice(0, 8);
  return thisMachine;
}

/** What no other machine of the same name has: the start of this Linux and its processes' namespace, elsewhere the addresses of its network cards. */
function surelyThisOne(): string {
  try {
    return fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8") + fs.readlinkSync("/proc/self/ns/pid");
  } catch {
    const cards = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    return [...new Set(cards.map(({ mac }) => mac))].sort().join();
  }
}

/** `<name>.tmp-<machine>-<process>-<random>`: it says who writes, so that what a killed process left can be told. */
const TEMPORARY = /\.tmp-([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{8}$/;

/** No writer leaves its file alone for so long. */
const ABANDONED_SECONDS = 24 * 60 * 60;

/**
 * A new name beside `file` for what is to become it. What killed processes left in the folder is removed: at once where they ran on this
 * machine, after a day where that cannot be asked.
 */
export async function temporaryBeside(file: string): Promise<string> {
  const folder = path.dirname(file);
  const names = await fs.promises.readdir(folder).catch(() => []);
  for (const name of names.filter((n) => TEMPORARY.test(n))) {
    const left = path.join(folder, name);
    // one that is gone meanwhile, or open on Windows, is nobody's error
    if (await isLeft(left)) await fs.promises.rm(left, { recursive: true, force: true }).catch(() => {});
  }
  return `${file}.tmp-${machine()}-${process.pid}-${randomBytes(4).toString("hex")}`;
}

async function isLeft(file: string): Promise<boolean> {
  const [, where, pid] = TEMPORARY.exec(file)!;
  if (where === machine()) return !isRunning(Number(pid));
  const changed = await modifiedSeconds(file).catch(() => null);
  return changed !== null && now() - changed > ABANDONED_SECONDS;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // no signal: only asks
    return true;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code !== "ESRCH"; // another user's runs too
  }
}

/**
 * Writes `chunks` to a new file beside `file` and on to the disk; `commit` then puts it in the place of `file` in one step.
 * On failure or abort the new file is removed.
 */
export async function stageFile(file: string, chunks: Chunks, options: WriteOptions = {}): Promise<Staged> {
  const temporary = await temporaryBeside(file);
  const discard = (): Promise<void> => fs.promises.rm(temporary, { force: true });
  try {
    await writeChunks(temporary, chunks, options);
  } catch (e) {
    await discard().catch(() => {});
    throw failed(e, file);
  }
  return { file, commit: (as = file) => guarded(as, () => fs.promises.rename(temporary, as)), discard };
}

/** Writes under way at once; more would only hold memory. */
const WRITES = 3;

async function writeChunks(temporary: string, chunks: Chunks, options: WriteOptions): Promise<void> {
  const out = await fs.promises.open(temporary, "wx");
  const writes = new Set<Promise<void>>();
  let broken: { readonly cause: unknown } | undefined;
  try {
    let position = 0;
    for await (const chunk of gathered(chunks, CHUNK_BYTES)) {
      needRunning(options.signal);
      while (writes.size >= WRITES) await Promise.race(writes);
      if (broken !== undefined) break;
      const write = writeAll(out, chunk, position)
        .catch((cause: unknown) => {
          broken = { cause };
        })
        .finally(() => writes.delete(write));
      writes.add(write);
      position += chunk.length;
    }
    await Promise.all(writes);
    if (broken !== undefined) throw broken.cause;
    needRunning(options.signal);
    if (options.sync !== false) await out.sync();
  } finally {
    await Promise.all(writes);
    await out.close();
  }
}

async function writeAll(out: fs.promises.FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    done += (await out.write(chunk, done, chunk.length - done, position + done)).bytesWritten;
  }
}

function needRunning(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new VarscopeError("CANCELLED", "the write was aborted", { cause: signal.reason });
  }
}

/** Writes `chunks` as `file`: all of it, or nothing. An existing file is replaced in one step. */
export async function writeFileAtomic(
  file: string,
  chunks: Chunks,
  options: WriteOptions = {},
): Promise<void> {
  const staged = await stageFile(file, chunks, options);
  try {
    await staged.commit();
  } catch (e) {
    await staged.discard().catch(() => {});
    throw e;
  }
}

/** Moves a file, over an existing one if there is one. */
export const rename = (from: string, to: string): Promise<void> =>
  guarded(from, () => fs.promises.rename(from, to));

/** Adds bytes at the end of a file, which is made if there is none. A process that is killed meanwhile may leave a part of them. */
export const appendFile = (file: string, bytes: Uint8Array): Promise<void> =>
  guarded(file, () => fs.promises.appendFile(file, bytes));

/** Removes a file; a missing one is fine. */
export const remove = (file: string): Promise<void> =>
  guarded(file, () => fs.promises.rm(file, { force: true }));

/** Removes an empty folder. @throws VarscopeError FAILED_PRECONDITION - it is not empty */
export const removeDir = (folder: string): Promise<void> => guarded(folder, () => fs.promises.rmdir(folder));

/** Whether there is a file (or folder) of that name. */
export const exists = async (file: string): Promise<boolean> =>
  fs.promises.access(file).then(
    () => true,
    () => false,
  );

/** Whether there is a folder of that name. */
export const isDir = async (file: string): Promise<boolean> =>
  fs.promises.stat(file).then(
    (s) => s.isDirectory(),
    () => false,
  );

/** Time of the last change, in seconds since 1970. @throws VarscopeError NOT_FOUND - there is no such file */
export const modifiedSeconds = (file: string): Promise<number> =>
  guarded(file, async () => (await fs.promises.stat(file)).mtimeMs / 1000);

/** Names in a folder, sorted. @throws VarscopeError NOT_FOUND - there is no such folder */
export const listDir = (folder: string): Promise<string[]> =>
  guarded(folder, async () => (await fs.promises.readdir(folder)).sort());

/** The files of this machine. */
export const diskFiles: Files = { source: fileSource, exists, isDir, list: listDir };

/** Makes a folder and those above it; an existing one is fine. */
export const makeDir = async (folder: string): Promise<void> => {
  await guarded(folder, () => fs.promises.mkdir(folder, { recursive: true }));
};

export const { basename, dirname, isAbsolute } = path;
/** Joins parts as Python's os.path.join: an absolute part forgets those before it. */
export const joinPath = (...parts: string[]): string => joinParts(parts, path.isAbsolute);
/** The absolute path. */
export const absolutePath = (file: string): string => path.resolve(file);
/** `file` as seen from the folder `from`. */
export const relativePath = (from: string, file: string): string => path.relative(from, file);

/** Memory that is about to be overwritten whole: what is in it is not cleared first, which costs as much as a read of it. */
export const unsetBytes = (length: number): Uint8Array =>
  length <= MAX_UNSET_BYTES ? new Uint8Array(Buffer.allocUnsafeSlow(length).buffer) : new Uint8Array(length);

/** Beyond 4 GiB Node has no such memory. */
const MAX_UNSET_BYTES = 2 ** 32 - 1;

/** Seconds since 1970. */
export const now = (): number => Date.now() / 1000;

/** Name of this machine. */
export const hostName = (): string => hostname();

/** Processor cores that this process may use. */
export const cores = (): number => availableParallelism();

type Crc = (bytes: Uint8Array, previous?: number) => number;

function nativeCrcs(): { readonly crc32: Crc; readonly crc32c: Crc } {
  try {
    return createRequire(import.meta.url)("@node-rs/crc32") as { crc32: Crc; crc32c: Crc };
  } catch {
    return { crc32: portableCrc32, crc32c: portableCrc32c }; // no native part for this system: JavaScript computes the same
  }
}

/** CRCs of `bytes`, going on from `previous`, by the processor's own instructions where it can: CRC-32C, and the CRC-32 of zip. */
export const { crc32, crc32c } = nativeCrcs();
