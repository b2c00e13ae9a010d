/**
 * @file String tensors as a data file holds them: lengths (varints), masked CRC-32C of the lengths as u32 (u64 beyond
 * 4 GiB), the bytes. Start at `readStrings`.
 *
 * @see TensorFlow core/util/tensor_bundle/tensor_bundle.cc WriteStringTensor
 */

import { crc32c, maskCrc, VarscopeError } from "../../base/index.ts";
import { pushVarint, readVarint } from "../../wire/index.ts";

/** CRC of the lengths as little-endian u32. */
function crcOfLengths(lengths: readonly number[]): number {
  const bytes = new Uint8Array(lengths.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, length] of lengths.entries()) view.setUint32(4 * i, length, true);
  return crc32c(bytes);
}

const littleEndian = (value: number): Uint8Array =>
  Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);

export interface StoredStrings {
  /** what stands in the data file, in order */
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  /** CRC that the entry holds, not masked: of the lengths as u32, their checksum and the strings */
  readonly crc: number;
}

/** The stored form of string elements. */
export function writeStrings(elements: readonly Uint8Array[]): StoredStrings {
  const lengths = elements.map((e) => e.length);
  const varints: number[] = [];
  for (const length of lengths) pushVarint(varints, length);
  let crc = crcOfLengths(lengths);
  const checksum = littleEndian(maskCrc(crc));
  crc = crc32c(checksum, crc);
  for (const element of elements) crc = crc32c(element, crc);
  const chunks = [Uint8Array.from(varints), checksum, ...elements];
  return { chunks, bytes: chunks.reduce((n, chunk) => n + chunk.length, 0), crc };
}

/**
 * The elements and the entry's CRC of them; elements are views.
 *
 * @param name - of the tensor, for messages
 * @param at - `file@byte` of the tensor
 * @throws VarscopeError DATA_LOSS - lengths do not fit the bytes, or their checksum differs
 */
export function readStrings(
  stored: Uint8Array,
  count: number,
  name: string,
  at: string,
): { readonly elements: readonly Uint8Array[]; readonly crc: number } {
  const lengths: number[] = [];
  let next = 0;
  for (let i = 0; i < count; i++) {
    const length = readVarint(stored, next, stored.length, at);
    lengths.push(length.value);
    next = length.next;
  }
  const total = lengths.reduce((n, length) => n + length, next + 4);
  if (total !== stored.length) {
    throw new VarscopeError(
      "DATA_LOSS",
      `the ${count} strings of "${name}" need ${total} bytes, the entry has ${stored.length}`,
      { at },
    );
  }
  let crc = crcOfLengths(lengths);
  const checksum = stored.subarray(next, next + 4);
  if (littleEndian(maskCrc(crc)).some((byte, i) => byte !== checksum[i])) {
    throw new VarscopeError(
      "DATA_LOSS",
      `The length checksum does not match: the lengths of the strings of "${name}" are damaged`,
      { at },
    );
  }
  crc = crc32c(stored.subarray(next), crc);
  let start = next + 4;
  const elements = lengths.map((length) => {
    start += length;
    return stored.subarray(start - length, start);
  });
  return { elements, crc };
}
