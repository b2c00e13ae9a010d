/**
 * @file NumPy's .npy: magic, version, a Python dict with dtype, order and shape, then the values. Start at `readNpy`.
 *
 * @see numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */

import {
  bytesOf,
  DTYPES,
  type DType,
  formatShape,
  fromBytes,
  getElement,
  sizeOf,
  stridesOf,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
const ALIGN_BYTES = 64;
/** A header is some 100 bytes; numpy too refuses more. @see numpy lib/_format_impl.py _MAX_HEADER_SIZE */
const MAX_HEADER_BYTES = 10_000;
/** Digits that numpy leaves room for, so that the first dimension can grow in place. */
const GROWTH_DIGITS = 21;

/** Dtype by numpy's kind and bytes. float8 and int4 all look like V1 and cannot be told apart. */
const DESCRS: Readonly<Record<string, DType>> = {
  b1: "bool",
  i1: "int8",
  i2: "int16",
  i4: "int32",
  i8: "int64",
  u1: "uint8",
  u2: "uint16",
  u4: "uint32",
  u8: "uint64",
  f2: "float16",
  f4: "float32",
  f8: "float64",
  c8: "complex64",
  c16: "complex128",
  V2: "bfloat16", // as ml_dtypes writes it
};

export interface NpyOptions {
  /** for messages */
  readonly file?: string;
  /** what the values are where the file does not say: float8 and other types of ml_dtypes are void (V1) in it */
  readonly dtype?: DType;
}

/** What a header says. */
export interface NpyHeader {
  readonly descr: string;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** first byte of the values */
  readonly start: number;
  /** bytes of all values */
  readonly bytes: number;
  /** as `readNpy` gives them; null where it refuses them */
  readonly dtype: DType | null;
  /** whether the values are in memory as in the file: row-major, little-endian, of fixed size */
  readonly plain: boolean;
}

/** Bytes of a file that hold its header, if it has one that is read. */
export const NPY_HEADER_BYTES = 12 + MAX_HEADER_BYTES;

/**
 * The tensor of a .npy file; a view of `bytes` where they are aligned. Strings (S, U) become string tensors, U as UTF-8.
 *
 * @throws VarscopeError DATA_LOSS - no .npy, or cut short; UNIMPLEMENTED - a later version, pickled objects, structures
 */
export function readNpy(bytes: Uint8Array, options: NpyOptions = {}): Tensor {
  const { file = "npy" } = options;
  const header = readNpyHeader(bytes, options);
  const { descr, dtype, shape, start } = header;
  if (dtype === null) throw refusedNpy(descr, file);
  const have = bytes.length - start;
  if (!(header.bytes <= have)) {
    throw new VarscopeError(
      "DATA_LOSS",
      `${descr} ${formatShape(shape)} needs ${header.bytes} bytes, ${have} are there`,
      {
        at: `${file}@${start}`,
      },
    );
  }
  const values = bytes.subarray(start, start + header.bytes);
  if (dtype === "string") return rowMajor(header, readTexts(values, header, have));
  const { kind, bytes: width } = DTYPES[dtype];
  const isBig = descr.startsWith(">");
  return rowMajor(
    header,
    fromBytes(dtype, shape, isBig ? swapped(values, kind === "complex" ? width / 2 : width) : values),
  );
}

/** numpy's dtype of simple values: byte order, kind, bytes (of U: characters) of one. */
const DESCR = /^([<>|=])([biufcSUVO])(\d{1,9})?$/;

/** Dtype and bytes of one value; a null dtype is one that is not read. */
function itemOf(
  descr: string,
  told: DType | undefined,
): { readonly dtype: DType | null; readonly bytes: number } {
  const match = DESCR.exec(descr);
  if (match === null) return { dtype: null, bytes: 0 };
  const [, , kind, size = ""] = match as unknown as [string, string, string, string];
  const bytes = Number(size) * (kind === "U" ? 4 : 1);
  if (kind === "S" || kind === "U") return { dtype: "string", bytes };
  const dtype = told !== undefined && kind === "V" ? told : DESCRS[kind + size];
  return { dtype: dtype !== undefined && DTYPES[dtype].bytes === bytes ? dtype : null, bytes };
}

/** Why an array is not read. */
export function refusedNpy(descr: string, file: string): VarscopeError {
  if (/O/.test(descr)) {
    return new VarscopeError(
      "UNIMPLEMENTED",
      `the array holds pickled Python objects (dtype '${descr}'), which can run code`,
      {
        at: file,
        hint: "save it from numpy as an array of numbers or of bytes (S)",
      },
    );
  }
  return new VarscopeError("UNIMPLEMENTED", `dtype '${descr}' has no counterpart here`, {
    at: file,
    hint: "save it from numpy as an array of numbers, or say its dtype",
  });
}

/**
 * The header of a .npy file of which `bytes` has the beginning. A dtype that is not read is null in it; nothing is said of whether the values
 * are there.
 *
 * @throws VarscopeError DATA_LOSS - no .npy, or its header is cut short; UNIMPLEMENTED - a later version
 */
export function readNpyHeader(bytes: Uint8Array, { file = "npy", dtype: told }: NpyOptions = {}): NpyHeader {
  const bad = (what: string, at = 0): VarscopeError =>
    new VarscopeError("DATA_LOSS", what, { at: `${file}@${at}` });
  if (MAGIC.some((byte, i) => bytes[i] !== byte))
    throw bad("not an .npy file: it does not begin with \\x93NUMPY");
  const major = bytes[6];
  if (major !== 1 && major !== 2 && major !== 3) {
    throw new VarscopeError("UNIMPLEMENTED", `.npy version ${major}, only 1 to 3 are known`, {
      at: `${file}@6`,
    });
  }
  const prefix = major === 1 ? 10 : 12;
  if (bytes.length < prefix) throw bad(`the header needs ${prefix} bytes, ${bytes.length} are there`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, prefix);
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const start = prefix + length;
  if (length > MAX_HEADER_BYTES)
    throw bad(`a header of ${length} bytes; at most ${MAX_HEADER_BYTES} are read`, 8);
  if (start > bytes.length) throw bad(`the header needs ${start} bytes, ${bytes.length} are there`, 8);
  const text = new TextDecoder(major === 3 ? "utf-8" : "latin1").decode(bytes.subarray(prefix, start));
  const isStructure = /'descr'\s*:\s*\[/.test(text);
  const descr = isStructure ? "a structure" : /'descr'\s*:\s*'([^'\\]*)'/.exec(text)?.[1];
  const fortran = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const dims = /'shape'\s*:\s*\(([\d\s,]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || dims === undefined) {
    throw bad(
      `the header has no descr, fortran_order and shape: ${JSON.stringify(text.slice(0, 80))}`,
      prefix,
    );
  }
  const shape = dims
    .split(",")
    .map((d) => d.trim())
    .filter((d) => d !== "")
    .map(Number);
  if (
    shape.length > 64 ||
    !Number.isSafeInteger(shape.includes(0) ? 0 : sizeOf(shape)) ||
    !shape.every(Number.isSafeInteger)
  ) {
    throw bad(`shape (${dims}) is beyond 64 dimensions or 2^53 values`, prefix);
  }
  const item = itemOf(descr, told);
  const count = shape.includes(0) ? 0 : sizeOf(shape);
  const isFortran = fortran === "True";
  const plain =
    item.dtype !== null &&
    item.dtype !== "string" &&
    !descr.startsWith(">") &&
    !(isFortran && shape.length > 1);
  return { descr, fortran: isFortran, shape, start, dtype: item.dtype, bytes: count * item.bytes, plain };
}

function swapped(values: Uint8Array, width: number): Uint8Array {
  const out = values.slice();
  for (let start = 0; start < out.length; start += width) out.subarray(start, start + width).reverse();
  return out;
}

/** S: bytes without the zeros that fill them up; U: UTF-32 to UTF-8. */
function readTexts(values: Uint8Array, { descr, shape }: NpyHeader, have: number): Tensor {
  const kind = descr[1];
  const bigEndian = descr.startsWith(">");
  const count = shape.includes(0) ? 0 : sizeOf(shape);
  const itemBytes = itemOf(descr, undefined).bytes;
  if (itemBytes === 0 && count > have + 1) {
    throw new VarscopeError("DATA_LOSS", `${count} empty strings in ${have} bytes`, { at: "npy" });
  }
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  const data = Array.from({ length: count }, (_, i): Uint8Array => {
    const [start, end] = [i * itemBytes, (i + 1) * itemBytes];
    if (kind === "S") {
      let last = end;
      while (last > start && values[last - 1] === 0) last--;
      return values.slice(start, last);
    }
    let text = "";
    for (let at = start; at < end; at += 4) {
      const code = view.getUint32(at, !bigEndian);
      text += code > 0x10ffff ? "\ufffd" : String.fromCodePoint(code);
    }
    return new TextEncoder().encode(text.replace(/\0+$/, ""));
  });
  return { dtype: "string", shape, data };
}

/** The tensor in row-major order; Fortran's files run the first axis fastest. */
function rowMajor({ fortran, shape }: NpyHeader, t: Tensor): Tensor {
  if (!fortran || shape.length < 2) return t;
  const width = DTYPES[t.dtype].kind === "complex" ? 2 : 1;
  const strides = stridesOf([...shape].reverse()).reverse();
  const data = Array.isArray(t.data) ? [...t.data] : (t.data as Float32Array).slice();
  const index = shape.map(() => 0);
  const total = data.length / width;
  for (let to = 0, from = 0; to < total; to++) {
    for (let k = 0; k < width; k++)
      (data as number[])[to * width + k] = (t.data as Float32Array)[from * width + k]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return { ...t, data };
}

/** Numpy's dtype of a tensor, with the bytes of its values. */
function encoded(t: Tensor): { readonly descr: string; readonly values: Uint8Array } {
  if (t.dtype === "string") return encodedTexts(t.data as readonly Uint8Array[]);
  return { descr: npyDescr(t.dtype), values: npyValues(t) };
}

/** Whether a dtype is written as another one: numpy alone has no integers of 2 and 4 bits. */
const isSmall = (dtype: DType): boolean => /^u?int[24]$/.test(dtype);

/** Numpy's name of a dtype of fixed size. */
export function npyDescr(dtype: DType): string {
  const { kind, bytes } = DTYPES[dtype];
  if (dtype === "bfloat16" || dtype.startsWith("float8")) return `<V${bytes}`;
  const letter = { float: "f", int: "i", uint: "u", bool: "b", complex: "c" }[kind as "float"];
  return `${bytes === 1 ? "|" : "<"}${letter}${bytes}`;
}

/** The bytes of values of fixed size as a .npy file has them. */
export function npyValues(t: Tensor): Uint8Array {
  if (!isSmall(t.dtype)) return bytesOf(t);
  // whole bytes hold the same numbers
  const values = Int8Array.from({ length: t.data.length }, (_, i) => Number(getElement(t, i)));
  return new Uint8Array(values.buffer);
}

function encodedTexts(texts: readonly Uint8Array[]): { readonly descr: string; readonly values: Uint8Array } {
  const width = texts.reduce((most, text) => Math.max(most, text.length), 1);
  const values = new Uint8Array(width * texts.length);
  texts.forEach((text, i) => {
    if (text.at(-1) === 0) {
      throw new VarscopeError("INVALID_ARGUMENT", `string ${i} ends in a zero byte, which .npy would lose`, {
        hint: "write it without, or keep it in a checkpoint",
      });
    }
    values.set(text, i * width);
  });
  return { descr: `|S${width}`, values };
}

/**
 * Bytes of a .npy file, version 1, as numpy.save writes them; strings as S.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a dtype without values, or a string that ends in a zero byte
 */
export function writeNpy(t: Tensor): Uint8Array {
  const { descr, values } = encoded(t);
  const header = writeNpyHeader(descr, t.shape);
  const out = new Uint8Array(header.length + values.length);
  out.set(header);
  out.set(values, header.length);
  return out;
}

/** All that stands before the values of a .npy file. */
export function writeNpyHeader(descr: string, shape: readonly number[]): Uint8Array {
  const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  let header = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${tuple}, }`;
  if (shape.length > 0) header += " ".repeat(Math.max(0, GROWTH_DIGITS - String(shape[0]).length));
  const prefix = MAGIC.length + 4;
  const length = ALIGN_BYTES * Math.ceil((prefix + header.length + 1) / ALIGN_BYTES) - prefix;
  const out = new Uint8Array(prefix + length);
  out.set([...MAGIC, 1, 0, length & 0xff, length >> 8]);
  out.set(new TextEncoder().encode(`${header.padEnd(length - 1)}\n`), prefix);
  return out;
}
