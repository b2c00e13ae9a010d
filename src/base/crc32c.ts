/** @file CRC-32C, and the CRC-32 of zip, in portable JavaScript; `#platform` has the processor's own. Start at `crc32c`. */

const POLYNOMIAL = 0x82f63b78; // Castagnoli, bits reversed. @see RFC 3720, appendix B.4
const ZIP_POLYNOMIAL = 0xedb88320; // bits reversed. @see RFC 1952, section 8
const MASK_DELTA = 0xa282ead8; // so that the CRC of data that holds CRCs stays strong. @see TensorFlow lib/hash/crc32c.h

/** Eight tables of 256: table k advances a byte over k more bytes. */
const TABLES = makeTables(POLYNOMIAL);
const ZIP_TABLES = makeTables(ZIP_POLYNOMIAL);

function makeTables(polynomial: number): Uint32Array[] {
  const tables = Array.from({ length: 8 }, () => new Uint32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    tables[0]![byte] = crc;
  }
  for (let k = 1; k < 8; k++) {
    for (let byte = 0; byte < 256; byte++) {
      const before = tables[k - 1]![byte]!;
      tables[k]![byte] = (before >>> 8) ^ tables[0]![before & 0xff]!;
    }
  }
  return tables;
}

/**
 * CRC-32C of `bytes`, as an unsigned 32-bit number.
 *
 * @param previous - CRC of the bytes before these, to go on from
 * @see Kounavis and Berry 2005, "A Systematic Approach to Building High Performance Software-based CRC Generators"
 */
export const crc32c = (bytes: Uint8Array, previous = 0): number => crcWith(TABLES, bytes, previous);

/** CRC-32 of `bytes` as zip and gzip have it, going on from `previous`. */
export const crc32 = (bytes: Uint8Array, previous = 0): number => crcWith(ZIP_TABLES, bytes, previous);

function crcWith(tables: readonly Uint32Array[], bytes: Uint8Array, previous: number): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
  let crc = ~previous;
  let i = 0;
  for (const end = bytes.length - 7; i < end; i += 8) {
    const low = crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    crc =
      t7![low & 0xff]! ^
      t6![(low >>> 8) & 0xff]! ^
      t5![(low >>> 16) & 0xff]! ^
      t4![low >>> 24]! ^
      t3![bytes[i + 4]!]! ^
      t2![bytes[i + 5]!]! ^
      t1![bytes[i + 6]!]! ^
      t0![bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ t0![(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}

/** A CRC as TensorFlow stores it: rotated by 15 bits, plus a constant. */
export const maskCrc = (crc: number): number => (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;

/** The CRC of its stored form. */
export function unmaskCrc(masked: number): number {
  const rotated = (masked - MASK_DELTA) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** CRC-32C of two byte strings, one after the other, from the CRC of each and the second's length in bytes. */
export function combineCrc(first: number, second: number, secondBytes: number): number {
  // Appending zeros is linear over GF(2): `step` maps a CRC to the one after 2^k zero bytes.
  let step = Array.from({ length: 32 }, (_, bit) => (bit === 0 ? POLYNOMIAL : 1 << (bit - 1)));
  for (let k = 0; k < 3; k++) step = squared(step); // one bit, two, four, eight
  let crc = first;
  for (let rest = secondBytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) crc = applied(step, crc);
    step = squared(step);
  }
  return (crc ^ second) >>> 0;
}

function applied(matrix: readonly number[], vector: number): number {
  let sum = 0;
  for (let bit = 0, rest = vector; rest !== 0; bit++, rest >>>= 1) if (rest & 1) sum ^= matrix[bit]!;
  return sum;
}

const squared = (matrix: readonly number[]): number[] => matrix.map((column) => applied(matrix, column));
