/**
 * @file Records of whole tensors, decoded without reflection: of 100,000 that takes a tenth of the time. What is not as TensorFlow writes it
 * is left to the schema's decoder, which also says what is wrong. Start at `readPlainEntry`.
 */

/** Fields of a BundleEntryProto. */
export interface PlainEntry {
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly shard: number;
  readonly offset: number;
  readonly bytes: number;
  readonly crc: number;
}

/** Field numbers with their wire types. @see proto/checkpoint.proto BundleEntryProto, proto/tensor.proto TensorShapeProto */
const TAG = {
  dtype: 0x08,
  shape: 0x12,
  shard: 0x18,
  offset: 0x20,
  size: 0x28,
  crc: 0x35,
  dim: 0x12,
  dimSize: 0x08,
} as const;
const MOST_DIMS = 254;

/** The fields of a record; null where it has others, or a number that is none. */
export function readPlainEntry(record: Uint8Array): PlainEntry | null {
  const fields = { dtype: 0, shard: 0, offset: 0, bytes: 0, crc: 0 };
  let shape: number[] = [];
  let at = 0;
  let bad = false;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < record.length && scale < 2 ** 50; scale *= 128) {
      const byte = record[at++]!;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    bad = true;
    return 0;
  };
  const dims = (end: number): number[] => {
    const found: number[] = [];
    while (at < end && !bad) {
      if (record[at++] !== TAG.dim) bad = true;
      const stop = varint() + at;
      // Of size 0 the field is left out.
      const size = stop === at ? 0 : record[at++] === TAG.dimSize ? varint() : -1;
      if (size < 0 || at !== stop || found.push(size) > MOST_DIMS) bad = true;
    }
    if (at !== end) bad = true;
    return found;
  };
  while (at < record.length && !bad) {
    const tag = record[at++];
    if (tag === TAG.dtype) fields.dtype = varint();
    else if (tag === TAG.shape) shape = dims(varint() + at);
    else if (tag === TAG.shard) fields.shard = varint();
    else if (tag === TAG.offset) fields.offset = varint();
    else if (tag === TAG.size) fields.bytes = varint();
    else if (tag === TAG.crc && at + 4 <= record.length) {
      fields.crc =
        (record[at]! | (record[at + 1]! << 8) | (record[at + 2]! << 16) | (record[at + 3]! << 24)) >>> 0;
      at += 4;
    } else bad = true;
  }
  return bad ? null : { ...fields, shape };
}
