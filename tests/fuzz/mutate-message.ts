/** @file Changes of protobuf messages that stay messages: a field deep inside, with the lengths around it put right. Start at `mutateMessage`. */

import { type Change, joined, mutateBytes } from "./mutate-bytes.ts";
import type { Random } from "./random.ts";

interface Field {
  readonly number: number;
  readonly wire: number;
  /** of a number: its bytes as they stand */
  readonly value: Uint8Array;
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  for (let rest = BigInt.asUintN(64, value); ; rest >>= 7n) {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    if (rest <= 0x7fn) return Uint8Array.from(bytes);
  }
}

/** Fields of a message; null where the bytes are none. */
function fieldsOf(bytes: Uint8Array): Field[] | null {
  const fields: Field[] = [];
  let at = 0;
  const number = (): number => {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const byte = bytes[at++];
      if (byte === undefined) return Number.NaN;
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    return Number.NaN;
  };
  while (at < bytes.length) {
    const tag = number();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    if (!(field >= 1 && field < 1000)) return null;
    const start = at;
    if (wire === 0) {
      if (Number.isNaN(number())) return null;
      fields.push({ number: field, wire, value: bytes.subarray(start, at) });
    } else if (wire === 2) {
      const length = number();
      if (!(at + length <= bytes.length)) return null;
      fields.push({ number: field, wire, value: bytes.subarray(at, at + length) });
      at += length;
    } else if (wire === 1 || wire === 5) {
      at += wire === 1 ? 8 : 4;
      if (at > bytes.length) return null;
      fields.push({ number: field, wire, value: bytes.subarray(start, at) });
    } else return null;
  }
  return fields;
}

const encode = (fields: readonly Field[]): Uint8Array =>
  joined(
    ...fields.flatMap(({ number, wire, value }) => {
      const tag = varint(BigInt(number * 8 + wire));
      return wire === 2 ? [tag, varint(BigInt(value.length)), value] : [tag, value];
    }),
  );

export const NUMBERS: readonly bigint[] = [
  0n,
  1n,
  2n,
  3n,
  7n,
  9n,
  20n,
  21n,
  100n,
  127n,
  128n,
  255n,
  65536n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  1n << 40n,
  (1n << 53n) - 1n,
  1n << 53n,
  1n << 62n,
  (1n << 63n) - 1n,
  -1n,
  -2n,
];

/** A change of one field, at any depth; of what is no message, a change of its bytes. */
export const mutateMessage: Change = (bytes, r) => {
  const fields = fieldsOf(bytes);
  if (fields === null || fields.length === 0)
    return bytes.length > 0 ? mutateBytes(bytes, r) : Uint8Array.of(r.below(256));
  const at = r.below(fields.length);
  const field = fields[at]!;
  const isMessage = field.wire === 2 && field.value.length > 1 && fieldsOf(field.value) !== null;
  if (isMessage && !r.once(5)) fields[at] = { ...field, value: mutateMessage(field.value, r) };
  else changeField(fields, at, r);
  return encode(fields);
};

function changeField(fields: Field[], at: number, r: Random): void {
  const field = fields[at]!;
  const how = r.below(10);
  if (how === 0) fields.splice(at, 1);
  else if (how === 1) fields.splice(at, 0, field);
  else if (how === 2) fields[at] = { ...r.pick(fields), number: field.number };
  else if (how === 3) fields[at] = { ...field, number: 1 + r.below(20) };
  else if (how === 4 && field.wire === 2) fields[at] = { ...field, value: nested(field, r) };
  else if (field.wire === 0) fields[at] = { ...field, value: varint(r.pick(NUMBERS)) };
  else if (field.value.length > 0)
    fields[at] = {
      ...field,
      value: mutateBytes(field.value, r).subarray(0, field.wire === 2 ? undefined : field.value.length),
    };
  if (fields[at]?.wire === 1 || fields[at]?.wire === 5) fields[at] = fixed(fields[at]!);
}

/** A field inside itself, many times. */
function nested(field: Field, r: Random): Uint8Array {
  let value = field.value;
  for (let n = r.pick([3, 50, 99, 101, 500]); n > 0; n--) value = encode([{ ...field, value }]);
  return value;
}

/** Exactly as many bytes as the wire type has. */
function fixed(field: Field): Field {
  const value = new Uint8Array(field.wire === 1 ? 8 : 4);
  value.set(field.value.subarray(0, value.length));
  return { ...field, value };
}
