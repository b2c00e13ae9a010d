/**
 * @file The heaps of an HDF5 file, checked before the library sees them: it goes from object to object of a global heap by their sizes, and
 * from hole to hole of a local one by their links, and would go on for good where one has no bytes or leads back. Start at `heapCheck`.
 *
 * @see HDF5 src/H5HGcache.c H5HG__cache_heap_deserialize, src/H5HLcache.c H5HL__fl_deserialize
 */

import { VarscopeError } from "../../base/index.ts";
import type { Pages } from "./h5-pages.ts";

/** GCOL, version 1. */
const GLOBAL = [0x47, 0x43, 0x4f, 0x4c, 1];
/** HEAP, version 0. */
const LOCAL = [0x48, 0x45, 0x41, 0x50, 0];
const SUPERBLOCK = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];
/** Global heaps below are refused by the library. @see HDF5 src/H5HGpkg.h H5HG_MINSIZE */
const MIN_GLOBAL_BYTES = 4096;
/** An object takes this at least, its header. */
const OBJECT_BYTES = 16;

/** What the superblock says. */
interface Layout {
  /** where addresses count from */
  readonly base: number;
  readonly addressBytes: number;
  readonly lengthBytes: number;
}

/** Counts the parts of the heap at `start`, at most `most`; undefined: a page is missing. */
type Walk = (pages: Pages, start: number, layout: Layout, most: number) => number | undefined;

/** Checks the heaps that begin in `bytes`, read at `offset`. False: a page is missing. @throws VarscopeError DATA_LOSS */
export type HeapCheck = (offset: number, bytes: Uint8Array) => boolean;

const startsWith = (bytes: Uint8Array, at: number, wanted: readonly number[]): boolean =>
  wanted.every((byte, i) => bytes[at + i] === byte);

const numberAt = (bytes: Uint8Array, at: number, width: number): number =>
  bytes.subarray(at, at + width).reduceRight((n, byte) => n * 256 + byte, 0);

/** A check over pages. Heaps are found by their first bytes wherever they are read, for the library reads some of them in parts. */
export function heapCheck(pages: Pages): HeapCheck {
  const sound = new Set<number>();
  // Heaps that are no part of each other have no more objects together.
  let most = Math.ceil(pages.size / OBJECT_BYTES);
  const check = (start: number, walk: Walk): boolean => {
    if (sound.has(start)) return true;
    const layout = layoutOf(pages);
    const steps = layout && walk(pages, start, layout, most);
    if (steps === undefined) return false;
    most -= steps;
    sound.add(start);
    return true;
  };
  return (offset, bytes) => {
    if (bytes.length === 0) return true;
    // A heap may begin in one read and go on in the next.
    const over = GLOBAL.length - 1;
    const before = Math.min(offset, over);
    const seam = new Uint8Array(before === 0 ? 0 : before + Math.min(bytes.length, over));
    if (!pages.readNow(offset - before, seam)) return false;
    return (
      placesOf(GLOBAL, seam, offset - before).every((at) => check(at, globalHeap)) &&
      placesOf(LOCAL, seam, offset - before).every((at) => check(at, localHeap)) &&
      placesOf(GLOBAL, bytes, offset).every((at) => check(at, globalHeap)) &&
      placesOf(LOCAL, bytes, offset).every((at) => check(at, localHeap))
    );
  };
}

/** Where `wanted` stands in bytes that begin at `offset` of the file. */
function placesOf(wanted: readonly number[], bytes: Uint8Array, offset: number): number[] {
  const found: number[] = [];
  for (let i = bytes.indexOf(wanted[0]!); i >= 0; i = bytes.indexOf(wanted[0]!, i + 1))
    if (startsWith(bytes, i, wanted)) found.push(offset + i);
  return found;
}

/** The superblock stands at 0, 512, 1024, 2048, ... Undefined: a page is missing. */
function layoutOf(pages: Pages): Layout | undefined {
  const head = new Uint8Array(16);
  for (let base = 0; base + head.length <= pages.size; base = Math.max(512, 2 * base)) {
    if (!pages.readNow(base, head)) return undefined;
    const at = head[8]! < 2 ? 13 : 9;
    if (startsWith(head, 0, SUPERBLOCK)) return { base, addressBytes: head[at]!, lengthBytes: head[at + 1]! };
  }
  return { base: 0, addressBytes: 8, lengthBytes: 8 };
}

const globalHeap: Walk = (pages, start, { lengthBytes }, most) => {
  const header = new Uint8Array(8 + Math.ceil(lengthBytes / 8) * 8);
  if (start + header.length > pages.size) return 0;
  if (!pages.readNow(start, header)) return undefined;
  const bytes = numberAt(header, 8, lengthBytes);
  const end = start + bytes;
  if (bytes < MIN_GLOBAL_BYTES || end > pages.size) return 0; // by chance, or the library says so
  let steps = 0;
  for (let at = start + header.length; at + header.length <= end; steps++) {
    if (!pages.readNow(at, header)) return undefined;
    const length = numberAt(header, 8, lengthBytes);
    const isFree = header[0] === 0 && header[1] === 0;
    const takes = isFree ? length : header.length + Math.ceil(length / 8) * 8;
    if (takes === 0 || at + takes > end)
      throw broken("global", start, `an object of ${takes} bytes where ${end - at} are left`);
    if (steps >= most) throw broken("global", start, "more objects than the file has room for");
    at += takes;
  }
  return steps;
};

const localHeap: Walk = (pages, start, { base, addressBytes, lengthBytes }, most) => {
  const header = new Uint8Array(8 + 2 * lengthBytes + addressBytes);
  if (start + header.length > pages.size) return 0;
  if (!pages.readNow(start, header)) return undefined;
  const bytes = numberAt(header, 8, lengthBytes);
  const data = base + numberAt(header, 8 + 2 * lengthBytes, addressBytes);
  if (data + bytes > pages.size) return 0; // by chance, or the library says so
  const room = Math.floor(bytes / (2 * lengthBytes));
  const link = new Uint8Array(lengthBytes);
  let steps = 0;
  // 1 ends the list
  for (let at = numberAt(header, 8 + lengthBytes, lengthBytes); at !== 1; steps++) {
    if (at + 2 * lengthBytes > bytes) break; // the library says so
    if (steps >= Math.min(room, most)) throw broken("local", start, "a list of holes that leads in a circle");
    if (!pages.readNow(data + at, link)) return undefined;
    at = numberAt(link, 0, lengthBytes);
  }
  return steps;
};

const broken = (kind: string, start: number, what: string): VarscopeError =>
  new VarscopeError("DATA_LOSS", `HDF5's ${kind} heap at byte ${start} has ${what}`, {
    hint: "take the file from its origin again",
  });
