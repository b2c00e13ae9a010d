/**
 * @file The HDF5 library: the one file that knows h5wasm, HDF5 compiled to WebAssembly. It is loaded with the first file; its
 * file system holds nothing but the files opened here, each read through pages. Start at `loadHdf5`.
 *
 * @see h5wasm src/hdf5_util.cc, which the calls of `H5Calls` come from
 */

import { VarscopeError } from "../../base/index.ts";
import { heapCheck } from "./h5-heaps.ts";
import type { Pages } from "./h5-pages.ts";

/** What the library says of the type of a dataset or attribute. */
export interface H5Type {
  /** class number: 0 integer, 1 float, 3 string, 4 bits, 5 opaque, 6 compound, 8 enum */
  readonly type: number;
  readonly size: number;
  readonly signed: boolean;
  readonly vlen: boolean;
  readonly littleEndian: boolean;
  /** of text: 1 where it is filled up with zeros, else it ends with the first */
  readonly strpad?: number;
  readonly enum_type?: { readonly members: Readonly<Record<string, number>> };
  readonly compound_type?: {
    readonly members: readonly (H5Type & { readonly name: string; readonly offset: number })[];
  };
}

/** The same with its extent. */
export interface H5Metadata extends H5Type {
  readonly total_size: number;
  readonly shape: readonly number[] | null;
  readonly chunks: readonly number[] | null;
  readonly virtual_sources?: readonly { readonly file_name: string; readonly dset_name: string }[];
}

/** The calls of the library that are used. */
export interface H5Calls {
  readonly HEAPU8: Uint8Array;
  _malloc(bytes: number): number;
  _free(at: number): void;
  open(file: string, mode: number, trackOrder: boolean, low: number, high: number): bigint;
  close_file(id: bigint): number;
  get_names(id: bigint, path: string, recursive: boolean): readonly string[];
  get_type(id: bigint, path: string): number;
  get_symbolic_link(id: bigint, path: string): string | null;
  get_attribute_names(id: bigint, path: string): readonly string[];
  get_attribute_metadata(id: bigint, path: string, name: string): H5Metadata;
  get_attribute_data(id: bigint, path: string, name: string, at: bigint): number;
  get_dataset_metadata(id: bigint, path: string): H5Metadata;
  get_dataset_filters(id: bigint, path: string): readonly { readonly id: number; readonly name: string }[];
  get_dataset_data(
    id: bigint,
    path: string,
    count: readonly bigint[] | null,
    offset: readonly bigint[] | null,
    strides: readonly bigint[] | null,
    at: bigint,
  ): number;
  reclaim_vlen_memory(id: bigint, path: string, attribute: string, at: bigint): number;
  reclaim_vlen_memory_count(
    id: bigint,
    path: string,
    attribute: string,
    at: bigint,
    count: readonly bigint[],
  ): number;
}

type Write = (stream: unknown, buffer: Uint8Array, offset: number, length: number) => number;

interface Stream {
  stream_ops: { write?: Write };
}

interface Node {
  stream_ops: object;
  node_ops: { readonly getattr: (node: Node) => object };
}

interface Module extends H5Calls {
  readonly FS: {
    readonly streams: (Stream | null)[];
    readonly ErrnoError: new (errno: number) => Error;
    open(path: string, ...rest: unknown[]): Stream;
    close(stream: Stream): void;
    writeFile(path: string, bytes: Uint8Array): void;
    unlink(path: string): void;
    readdir(path: string): string[];
    lookupPath(path: string): { readonly node: Node };
  };
  ccall(name: string, result: string, types: readonly string[], values: readonly unknown[]): unknown;
  _varscope?: () => number;
}

/** WASI's errno. */
const EACCES = 2;
const EIO = 29;

/** One read that an operation made of a file. */
export interface H5Read {
  readonly offset: number;
  readonly length: number;
}

/** A file in the library's own file system. */
export interface H5Mount {
  readonly path: string;
  readonly pages: Pages;
  /** reads of the operation under way, newest last; undefined: not kept */
  reads: H5Read[] | undefined;
  /** bytes that the operation has read */
  readBytes: number;
  /** what was found in the bytes that it asked for */
  fault: VarscopeError | undefined;
}

/** The loaded library. */
export interface Hdf5 {
  readonly calls: H5Calls;
  /** grows when the library is put back to its beginning: ids from before are void */
  readonly generation: () => number;
  /** Makes a file over pages. */
  mount(pages: Pages): H5Mount;
  unmount(mount: H5Mount): void;
  /** Does `work` with the stack and the file system guarded. @throws VarscopeError DATA_LOSS, UNIMPLEMENTED - with what the library says */
  run<T>(mount: H5Mount, work: (calls: H5Calls) => T): T;
}

let loaded: Promise<Hdf5> | undefined;

/** The library, loaded once. */
export function loadHdf5(): Promise<Hdf5> {
  loaded ??= import("h5wasm").then(async (h5wasm) => libraryOf((await h5wasm.ready) as unknown as Module));
  return loaded;
}

/** Memory of the library, at most: a file that claims more is damaged, and cleaning up after it takes time. */
const MOST_MEMORY_BYTES = 512 << 20;

/** Puts a bound on the library's memory, which it does not show: it is met while it grows. */
function boundMemory(module: H5Calls): void {
  const { prototype } = WebAssembly.Memory;
  const { grow } = prototype;
  let memory: WebAssembly.Memory | undefined;
  prototype.grow = function (this: WebAssembly.Memory, pages: number) {
    memory = this;
    return grow.call(this, pages);
  };
  module._free(module._malloc(module.HEAPU8.length));
  prototype.grow = grow;
  if (memory === undefined) return;
  memory.grow = function (this: WebAssembly.Memory, pages: number) {
    const bytes = this.buffer.byteLength + pages * 65_536;
    if (bytes > MOST_MEMORY_BYTES) throw new RangeError(`${bytes} bytes of memory`);
    return grow.call(this, pages);
  };
}

/** Text that the library writes about one failure, at most. */
const SAID_CHARS = 16_384;

function libraryOf(module: Module): Hdf5 {
  const { FS } = module;
  let said = "";
  const listen: Write = (_stream, buffer, offset, length) => {
    if (said.length < SAID_CHARS)
      for (let i = 0; i < length; i++) said += String.fromCharCode(buffer[offset + i]!);
    return length;
  };
  for (const stream of FS.streams) if (stream) stream.stream_ops = { ...stream.stream_ops, write: listen };
  // A dataset may name any file as the place of its values; the devices could even ask the user.
  for (const name of FS.readdir("/dev"))
    if (name !== "." && name !== ".." && name !== "shm") FS.unlink(`/dev/${name}`);
  const outside = forbidOthers(module);
  boundMemory(module);
  const beginning = usedPart(module.HEAPU8);
  let generation = 0;
  let mounted = 0;
  let made = 0;
  let hasFailed = false;

  const restore = (): void => {
    for (const stream of FS.streams.slice(3)) if (stream) FS.close(stream);
    module.HEAPU8.fill(0, beginning.length);
    module.HEAPU8.set(beginning);
    generation++;
    hasFailed = false;
  };
  return {
    calls: module,
    generation: () => generation,
    mount: (pages) => {
      const path = `/varscope-${++made}.h5`;
      const mount: H5Mount = { path, pages, reads: undefined, readBytes: 0, fault: undefined };
      outside.allowed.add(mount.path);
      FS.writeFile(mount.path, new Uint8Array(0));
      const { node } = FS.lookupPath(mount.path);
      const { getattr } = node.node_ops;
      node.node_ops = { ...node.node_ops, getattr: (n) => ({ ...getattr(n), size: pages.size }) };
      node.stream_ops = streamOf(mount, () => new FS.ErrnoError(EIO));
      mounted++;
      return mount;
    },
    unmount: (mount) => {
      outside.allowed.delete(mount.path);
      FS.unlink(mount.path);
      if (--mounted === 0 && hasFailed) restore(); // what failed operations left behind
    },
    run: (mount, work) => {
      said = "";
      outside.asked = undefined;
      mount.readBytes = 0;
      mount.fault = undefined;
      const { value, error } = onCleanStack(module, () => work(module));
      const isWhole = error === undefined && said === ""; // a list that broke off comes as a shorter one
      hasFailed ||= !isWhole && !mount.pages.missing(); // one that waits for a page left nothing behind
      if (error !== undefined && isBroken(error.cause)) restore();
      if (outside.asked !== undefined) throw escaped(outside.asked);
      if (mount.fault !== undefined) throw mount.fault;
      if (isWhole) return value as never;
      throw failed(error?.cause, said);
    },
  };
}

/** `ccall` puts the stack pointer back, which an error thrown through the library would leave where it was. */
function onCleanStack<T>(
  module: Module,
  work: () => T,
): { readonly value?: T; readonly error?: { readonly cause: unknown } } {
  let done: { value?: T; error?: { readonly cause: unknown } } = {};
  module._varscope = () => {
    try {
      done = { value: work() };
    } catch (cause) {
      done = { error: { cause } };
    }
    return 0;
  };
  module.ccall("varscope", "number", ["string"], ["-"]);
  return done;
}

/** The memory up to its last byte that is not 0. */
function usedPart(memory: Uint8Array): Uint8Array {
  let end = memory.length;
  while (end > 0 && memory[end - 1] === 0) end--;
  return memory.slice(0, end);
}

interface Outside {
  readonly allowed: Set<string>;
  asked: string | undefined;
}

/** Refuses every file but the mounted ones, and notes the name. */
function forbidOthers({ FS }: Module): Outside {
  const outside: Outside = { allowed: new Set(), asked: undefined };
  const open = FS.open.bind(FS);
  FS.open = (path, ...rest) => {
    if (outside.allowed.has(path)) return open(path, ...rest);
    if (!path.endsWith("/lib/plugin")) outside.asked ??= path; // where the library looks for filters
    throw new FS.ErrnoError(EACCES);
  };
  return outside;
}

/** What a read costs beside its bytes: small ones in circles take the time. */
const READ_BYTES = 512;

function streamOf(mount: H5Mount, failure: () => Error): object {
  const { pages } = mount;
  const checkHeaps = heapCheck(pages);
  const isSound = (offset: number, bytes: Uint8Array): boolean => {
    try {
      return checkHeaps(offset, bytes);
    } catch (e) {
      mount.fault = e as VarscopeError; // the library gets an errno: a throw would leave it in the middle
      return false;
    }
  };
  // Many times the file: a structure that leads in circles.
  const most = 8 * pages.size + (1 << 30);
  return {
    read: (_stream: unknown, buffer: Uint8Array, offset: number, length: number, position: number) => {
      const fits = Math.max(0, Math.min(length, pages.size - position));
      mount.readBytes += fits + READ_BYTES;
      if (mount.readBytes > most) throw failure();
      mount.reads?.push({ offset: position, length: fits });
      const target = new Uint8Array(buffer.buffer, buffer.byteOffset + offset, fits);
      if (!pages.readNow(position, target) || !isSound(position, target)) throw failure();
      return fits;
    },
    write: () => {
      throw failure();
    },
    llseek: (stream: { position: number }, offset: number, whence: number) =>
      offset + (whence === 1 ? stream.position : whence === 2 ? pages.size : 0),
  };
}

const isWasmError = (e: unknown): boolean =>
  e instanceof Error && (e.name === "RuntimeError" || e instanceof RangeError);

/** Whether the library is no longer what it was: a trap, an abort, a stack too deep. */
const isBroken = (e: unknown): boolean => !(e instanceof VarscopeError) && isWasmError(e);

function escaped(path: string): VarscopeError {
  return new VarscopeError("PERMISSION_DENIED", `it leads out of the file, to ${JSON.stringify(path)}`, {
    hint: "copy what it leads to into one file (h5repack, h5py)",
  });
}

/** The library's last and deepest sentence. */
function failed(cause: unknown, said: string): VarscopeError {
  if (cause instanceof VarscopeError) return cause;
  const deepest = [...said.matchAll(/^ *#\d+: .* in \w+\(\): (.*)$/gm)].at(-1)?.[1];
  const why = deepest ?? (isBroken(cause) ? "the library broke off" : "no reason given");
  return new VarscopeError("DATA_LOSS", `HDF5 cannot read it: ${why}`, { cause });
}

/** The sentence for a call that gave a failure back instead of throwing. */
export const h5Failure = (): never => {
  throw new Error("the call failed");
};
