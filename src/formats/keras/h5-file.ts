/**
 * @file An HDF5 file over a source: its groups, attributes and datasets, read a part at a time. Start at `openH5File`.
 * Links that lead out of the file, soft links and virtual datasets are not followed.
 */

import type { Source } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { pagesOf } from "./h5-pages.ts";
import {
  type H5Calls,
  type H5Metadata,
  type H5Mount,
  type H5Read,
  type Hdf5,
  h5Failure,
  loadHdf5,
} from "./hdf5.ts";

/** What a name in a group is. */
export type H5Kind = "group" | "dataset";

/** A dataset's facts. */
export interface H5Dataset {
  readonly metadata: H5Metadata;
  /** numbers of its filters */
  readonly filters: readonly number[];
}

/** An open HDF5 file. */
export interface H5File {
  readonly source: Source;
  readonly size: number;
  /** Names in a group, in the file's order. */
  names(path: string): Promise<readonly string[]>;
  /** @throws VarscopeError PERMISSION_DENIED - a link that is not followed */
  kind(path: string): Promise<H5Kind | "other">;
  attributeNames(path: string): Promise<readonly string[]>;
  /** Text of an attribute, or a list of texts; undefined where it holds something else. */
  text(path: string, attribute: string): Promise<H5Text | undefined>;
  dataset(path: string): Promise<H5Dataset>;
  /** Bytes of a box of a dataset of fixed-size values, little-endian; null: all of it. */
  bytes(path: string, bytes: number, box: H5Box | null): Promise<Uint8Array>;
  /** Strings of a box of a dataset. */
  stringValues(path: string, metadata: H5Metadata, box: H5Box | null): Promise<readonly Uint8Array[]>;
  /** Where the last read of `bytes` took place in the file. */
  lastRead(path: string, bytes: number, box: H5Box): Promise<H5Read | undefined>;
  close(): Promise<void>;
}

/** An attribute: one text, or a list of them. */
export type H5Text = string | readonly string[];

/** A box in HDF5's words. */
export interface H5Box {
  readonly start: readonly number[];
  readonly size: readonly number[];
}

const H5F_ACC_RDONLY = 0;
/** Kinds of get_type. @see HDF5 src/H5Gpublic.h H5G_obj_t */
const GROUP = 0;
const DATASET = 1;
/** Strings of one attribute, at most, together; HDF5 may point to the same bytes many times. */
const STRING_BYTES = 256 << 20;

/** Opens an HDF5 file. @throws VarscopeError DATA_LOSS - it is none */
export async function openH5File(source: Source): Promise<H5File> {
  const library = await loadHdf5();
  const mount = library.mount(await pagesOf(source));
  const session = sessionOf(library, mount, source.name);
  try {
    await session.run("/", (h5, id) => h5.get_type(id, "/"));
  } catch (e) {
    await session.close();
    throw e;
  }
  return {
    source,
    size: mount.pages.size,
    names: (path) => session.run(path, (h5, id) => h5.get_names(id, path, false)),
    kind: (path) => session.run(path, (h5, id) => kindOf(h5, id, path)),
    attributeNames: (path) => session.run(path, (h5, id) => h5.get_attribute_names(id, path)),
    text: (path, name) => session.run(path, (h5, id) => attributeText(h5, id, path, name)),
    dataset: (path) =>
      session.run(path, (h5, id) => {
        const metadata = h5.get_dataset_metadata(id, path);
        // Only chunks can be filtered.
        const filters = metadata.chunks === null ? [] : h5.get_dataset_filters(id, path).map((f) => f.id);
        return { metadata, filters };
      }),
    bytes: (path, bytes, box) => session.run(path, (h5, id) => datasetBytes(h5, id, path, bytes, box)),
    stringValues: (path, metadata, box) =>
      session.run(path, (h5, id) => datasetStrings(h5, id, path, metadata, box)),
    lastRead: (path, bytes, box) =>
      session.run(path, (h5, id) => {
        mount.reads = [];
        datasetBytes(h5, id, path, bytes, box);
        return mount.reads.at(-1);
      }),
    close: async () => {
      await session.close();
      await source.close();
    },
  };
}

interface Session {
  run<T>(path: string, work: (h5: H5Calls, id: bigint) => T): Promise<T>;
  close(): Promise<void>;
}

/** Runs operations again until all that they read is there. */
function sessionOf(library: Hdf5, mount: H5Mount, name: string): Session {
  let opened: { readonly id: bigint; readonly generation: number } | undefined;
  let closed = false;
  const open = (h5: H5Calls): bigint => {
    if (opened?.generation === library.generation()) return opened.id;
    const id = h5.open(mount.path, H5F_ACC_RDONLY, false, -1, -1);
    if (id < 0n) return h5Failure();
    opened = { id, generation: library.generation() };
    return id;
  };
  const attempt = <T>(
    path: string,
    work: (h5: H5Calls, id: bigint) => T,
  ): { readonly value: T } | undefined => {
    mount.reads = undefined;
    try {
      const value = library.run(mount, (h5) => work(h5, open(h5)));
      return mount.pages.missing() ? undefined : { value };
    } catch (e) {
      if (mount.pages.missing()) return undefined;
      const { code, what, hint, cause } = e as VarscopeError;
      throw new VarscopeError(code, what, {
        at: path === "/" ? name : `${name}:${path.slice(1)}`,
        cause,
        ...(hint === undefined ? {} : { hint }),
      });
    }
  };
  return {
    run: async (path, work) => {
      if (closed) throw new VarscopeError("FAILED_PRECONDITION", "the file is closed", { at: name });
      mount.pages.begin();
      for (;;) {
        const done = attempt(path, work);
        if (done !== undefined) return done.value;
        await mount.pages.fetch(); // each round brings a page at least, and their number is bounded
      }
    },
    close: async () => {
      if (closed) return;
      closed = true;
      if (opened?.generation === library.generation()) {
        const { id } = opened;
        library.run(mount, (h5) => h5.close_file(id));
      }
      library.unmount(mount);
    },
  };
}

function kindOf(h5: H5Calls, id: bigint, path: string): H5Kind | "other" {
  const soft = h5.get_symbolic_link(id, path);
  if (soft !== null)
    throw new VarscopeError(
      "PERMISSION_DENIED",
      `a soft link to ${JSON.stringify(soft)}, which is not followed`,
      {
        hint: "copy what it leads to into its place (h5py, h5repack)",
      },
    );
  const type = h5.get_type(id, path);
  return type === GROUP ? "group" : type === DATASET ? "dataset" : "other";
}

/** Memory of the library for `bytes` bytes, while `work` runs. */
function withMemory<T>(h5: H5Calls, bytes: number, work: (at: number) => T): T {
  const at = h5._malloc(Math.max(1, bytes));
  if (at === 0) throw new VarscopeError("RESOURCE_EXHAUSTED", `no memory for ${bytes} bytes`);
  try {
    return work(at);
  } finally {
    h5._free(at);
  }
}

function attributeText(h5: H5Calls, id: bigint, path: string, name: string): H5Text | undefined {
  const metadata = h5.get_attribute_metadata(id, path, name);
  // An empty list has no type of its own: numpy makes it float64.
  if (metadata.shape?.includes(0)) return [];
  if (metadata.type !== 3 || metadata.shape === null) return undefined;
  const count = metadata.total_size;
  needBytes(count * metadata.size, STRING_BYTES);
  const texts = withMemory(h5, count * metadata.size, (at) => {
    h5.HEAPU8.fill(0, at, at + count * metadata.size);
    if (h5.get_attribute_data(id, path, name, BigInt(at)) < 0) return h5Failure();
    try {
      return stringsAt(h5, at, count, metadata);
    } finally {
      if (metadata.vlen) h5.reclaim_vlen_memory(id, path, name, BigInt(at));
    }
  });
  const text = new TextDecoder();
  const decoded = texts.map((b) => text.decode(b));
  return metadata.shape.length === 0 ? decoded[0] : decoded;
}

function needBytes(bytes: number, most: number): void {
  if (!(bytes <= most))
    throw new VarscopeError("RESOURCE_EXHAUSTED", `${bytes} bytes of strings; at most ${most} are read`);
}

/** Strings in the library's memory: of fixed size, or pointers to text that ends with a zero. */
function stringsAt(h5: H5Calls, at: number, count: number, { size, vlen, strpad }: H5Metadata): Uint8Array[] {
  const out: Uint8Array[] = [];
  const { HEAPU8 } = h5;
  const view = new DataView(HEAPU8.buffer, HEAPU8.byteOffset);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const start = vlen ? view.getUint32(at + 4 * i, true) : at + size * i;
    const limit = vlen ? HEAPU8.length : start + size;
    let end = limit;
    if (!vlen && strpad === 1) while (end > start && HEAPU8[end - 1] === 0) end--;
    else if (start === 0) end = 0;
    else if (HEAPU8.subarray(0, limit).includes(0, start)) end = HEAPU8.indexOf(0, start);
    total += end - start;
    needBytes(total, STRING_BYTES);
    out.push(HEAPU8.slice(start, end));
  }
  return out;
}

const bigs = (numbers: readonly number[]): bigint[] => numbers.map(BigInt);

function readInto(h5: H5Calls, id: bigint, path: string, box: H5Box | null, at: number): void {
  const [count, offset] = box === null ? [null, null] : [bigs(box.size), bigs(box.start)];
  const strides = box === null ? null : box.size.map(() => 1n);
  if (h5.get_dataset_data(id, path, count, offset, strides, BigInt(at)) < 0) h5Failure();
}

function datasetBytes(h5: H5Calls, id: bigint, path: string, bytes: number, box: H5Box | null): Uint8Array {
  return withMemory(h5, bytes, (at) => {
    readInto(h5, id, path, box, at);
    return h5.HEAPU8.slice(at, at + bytes);
  });
}

function datasetStrings(
  h5: H5Calls,
  id: bigint,
  path: string,
  metadata: H5Metadata,
  box: H5Box | null,
): readonly Uint8Array[] {
  const count = box === null ? metadata.total_size : box.size.reduce((a, b) => a * b, 1);
  needBytes(count * metadata.size, STRING_BYTES);
  return withMemory(h5, count * metadata.size, (at) => {
    h5.HEAPU8.fill(0, at, at + count * metadata.size);
    readInto(h5, id, path, box, at);
    try {
      return stringsAt(h5, at, count, metadata);
    } finally {
      if (metadata.vlen) h5.reclaim_vlen_memory_count(id, path, "", BigInt(at), bigs(box?.size ?? [count]));
    }
  });
}
