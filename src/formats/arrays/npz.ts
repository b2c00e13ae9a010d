/**
 * @file Reading numpy's .npz: a zip archive of .npy files. Opening reads their headers; stored values are read in place, compressed ones
 * are inflated when they are asked for. Pickled objects are listed and never unpickled. Start at `openNpz`.
 *
 * @see numpy lib/_npyio_impl.py NpzFile, savez, savez_compressed
 */

import { crc32, type Source } from "#platform";
import { bytesOf, DTYPES, formatShape, fromBytes, type Tensor, VarscopeError } from "../../base/index.ts";
import { NPY_HEADER_BYTES, type NpyHeader, readNpy, readNpyHeader, refusedNpy } from "../../wire/index.ts";
import {
  collectionOf,
  needRunning,
  type ReadOptions,
  rawVariable,
  type StoredVariable,
  type VariableCollection,
} from "../collection/index.ts";
import {
  aheadSource,
  memberBytes,
  memberPieces,
  memberSource,
  openZip,
  type Zip,
  type ZipMember,
} from "../zip/index.ts";
import { placeOf } from "./dotted.ts";

const SUFFIX = ".npy";
/** A header of version 1 is 128 bytes, unless its shape is long. */
const FIRST_BYTES = 256;

/** An array in its archive. */
interface Place {
  readonly zip: Zip;
  readonly member: ZipMember;
  readonly header: NpyHeader;
  /** CRC-32 of the header */
  readonly headCrc: number;
  /** archive and member, for messages */
  readonly at: string;
}

/**
 * An .npz as a collection. What is no .npy in it is left out; arrays of objects, structures and dates are listed as `variant`, and reading one
 * says what it is.
 *
 * @throws VarscopeError DATA_LOSS - damaged; as `openZip`
 */
export async function openNpz(source: Source, path: string): Promise<VariableCollection> {
  const zip = await openZip(source);
  const arrays = zip.members.filter((m) => m.name.endsWith(SUFFIX)).sort((a, b) => a.headerAt - b.headerAt);
  const ahead = { ...zip, source: aheadSource(source) };
  const keys = new Set(arrays.map((m) => keyOf(m)));
  const variables: StoredVariable[] = [];
  for (const member of arrays) {
    const place = await placeArray(zip, ahead, member);
    const key = keyOf(member);
    const bare = key.replace(/:0$/, "");
    const name = bare !== "" && !keys.has(bare) ? bare : key;
    const { dtype, shape, bytes } = place.header;
    const facts = { name, key, shape, ...placeOf(name, shape, (n) => keys.has(n)) };
    variables.push(
      dtype === null
        ? { ...facts, dtype: "variant", bytes: 0, read: async () => refuse(place) }
        : place.header.plain
          ? plainVariable({ ...facts, dtype }, place)
          : { ...facts, dtype, bytes, read: (options) => readWhole(place, options) },
    );
  }
  return collectionOf({ path, format: "npz", variables, close: () => source.close() });
}

const keyOf = ({ name }: ZipMember): string => name.slice(0, -SUFFIX.length);

async function placeArray(zip: Zip, ahead: Zip, member: ZipMember): Promise<Place> {
  const at = `${zip.source.name}:${member.name}`;
  const head = async (most: number): Promise<Uint8Array> =>
    member.method === "stored"
      ? memberSource(ahead, member).read(0, Math.min(most, member.bytes))
      : memberBytes(ahead, member, most);
  const first = await head(FIRST_BYTES);
  const prefix = new DataView(first.buffer, first.byteOffset, first.length);
  const claimed =
    first.length < 12 ? 0 : first[6] === 1 ? 10 + prefix.getUint16(8, true) : 12 + prefix.getUint32(8, true);
  const isLong = claimed > first.length && claimed <= NPY_HEADER_BYTES;
  const bytes = isLong ? await head(claimed) : first;
  const header = readNpyHeader(bytes, { file: at });
  const { descr, dtype, shape, start } = header;
  if (dtype !== null && header.bytes !== member.bytes - start) {
    const what = `${descr} ${formatShape(shape)} takes ${header.bytes} bytes, the member has ${member.bytes - start}`;
    throw new VarscopeError("DATA_LOSS", what, { at });
  }
  return { zip, member, header, headCrc: crc32(bytes.subarray(0, start)), at };
}

/** @throws VarscopeError UNIMPLEMENTED - always: what the array holds is not read */
function refuse({ header, at }: Place): never {
  throw refusedNpy(header.descr, at);
}

async function readWhole({ zip, member, at }: Place, { signal }: ReadOptions): Promise<Tensor> {
  needRunning(signal, at);
  return readNpy(await memberBytes(zip, member), { file: at });
}

/** A variable of values as they are in memory. */
function plainVariable(facts: Parameters<typeof rawVariable>[0], place: Place): StoredVariable {
  const { zip, member, header } = place;
  const raw = rawVariable(facts, { source: memberSource(zip, member), offset: header.start });
  if (member.method === "deflated")
    return {
      ...facts,
      bytes: raw.bytes,
      read: (options) => readWhole(place, options),
      stream: (options) => inflatedStream(place, options),
    };
  return {
    ...raw,
    read: async (options) => {
      const t = await raw.read(options);
      needCrc(place, crc32(bytesOf(t), place.headCrc));
      return t;
    },
    async *stream(options) {
      let crc = place.headCrc;
      for await (const t of raw.stream!(options)) {
        crc = crc32(bytesOf(t), crc);
        yield t;
      }
      needCrc(place, crc);
    },
  };
}

function needCrc({ member, at }: Place, crc: number): void {
  if (crc === member.crc) return;
  const hex = (n: number): string => `0x${n.toString(16).padStart(8, "0")}`;
  throw new VarscopeError("DATA_LOSS", `it has CRC ${hex(crc)}, the archive says ${hex(member.crc)}`, { at });
}

/** Inflated values, of which never more than some MiB are held. */
async function* inflatedStream(
  { zip, member, header, at }: Place,
  { signal }: ReadOptions,
): AsyncGenerator<Tensor> {
  const dtype = header.dtype!;
  const width = DTYPES[dtype].bytes;
  let skip = header.start;
  let rest = new Uint8Array(0);
  for await (const piece of memberPieces(zip, member)) {
    needRunning(signal, at);
    const values = piece.subarray(Math.min(skip, piece.length));
    skip -= piece.length - values.length;
    const bytes = new Uint8Array(rest.length + values.length);
    bytes.set(rest);
    bytes.set(values, rest.length);
    const count = Math.floor(bytes.length / width);
    rest = bytes.slice(count * width);
    if (count > 0) yield fromBytes(dtype, [count], bytes.subarray(0, count * width));
  }
}
