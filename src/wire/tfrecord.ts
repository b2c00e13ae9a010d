/**
 * @file TFRecord: a sequence of byte strings, each with its length and checksums. Start at `readRecords`.
 *
 *   u64 length | u32 crc(length) | length bytes | u32 crc(bytes)      little-endian; masked CRC-32C
 *
 * @see TensorFlow lib/io/record_writer.h, record_reader.cc
 */

import { crc32c, maskCrc, unmaskCrc, VarscopeError } from "../base/index.ts";

const LENGTH_BYTES = 8;
const CRC_BYTES = 4;
const HEADER_BYTES = LENGTH_BYTES + CRC_BYTES;

/** Bytes that a record takes beyond its own. */
export const RECORD_FRAME_BYTES = HEADER_BYTES + CRC_BYTES;

export interface ReadRecordsOptions {
  /** name of the file, for errors */
  readonly file?: string;
  /** a record that breaks off at the end, as a writer that was killed leaves it, ends the sequence: false, it is an error */
  readonly allowCut?: boolean;
}

/**
 * The records in `bytes`, as views.
 *
 * @throws VarscopeError DATA_LOSS - a checksum is wrong, or the last record is cut short
 */
export function* readRecords(bytes: Uint8Array, options: ReadRecordsOptions = {}): Generator<Uint8Array> {
  const { file = "records", allowCut = false } = options;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < bytes.length; ) {
    const rest = bytes.length - at;
    if (rest < HEADER_BYTES) {
      if (allowCut) return;
      throw cut(file, at, HEADER_BYTES, rest);
    }
    needCrc(bytes.subarray(at, at + LENGTH_BYTES), view.getUint32(at + LENGTH_BYTES, true), file, at);
    const length = view.getBigUint64(at, true);
    if (length > BigInt(rest - RECORD_FRAME_BYTES)) {
      if (allowCut) return;
      throw cut(file, at, length, rest);
    }
    const start = at + HEADER_BYTES;
    const end = start + Number(length);
    const record = bytes.subarray(start, end);
    needCrc(record, view.getUint32(end, true), file, at);
    yield record;
    at = end + CRC_BYTES;
  }
}

function needCrc(bytes: Uint8Array, masked: number, file: string, at: number): void {
  if (crc32c(bytes) === unmaskCrc(masked)) return;
  throw new VarscopeError("DATA_LOSS", `corrupted record at ${at}`, {
    at: `${file}@${at}`,
    hint: "the checksum is wrong: the file is damaged, or no TFRecord file",
  });
}

const cut = (file: string, at: number, wanted: number | bigint, rest: number): VarscopeError =>
  new VarscopeError("DATA_LOSS", `truncated record at ${at}: ${wanted} bytes wanted, ${rest} left`, {
    at: `${file}@${at}`,
  });

/** `bytes` as one record. */
export function writeRecord(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(bytes.length + RECORD_FRAME_BYTES);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(bytes.length), true);
  view.setUint32(LENGTH_BYTES, maskCrc(crc32c(out.subarray(0, LENGTH_BYTES))), true);
  out.set(bytes, HEADER_BYTES);
  view.setUint32(HEADER_BYTES + bytes.length, maskCrc(crc32c(bytes)), true);
  return out;
}
