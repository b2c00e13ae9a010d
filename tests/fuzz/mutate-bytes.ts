/** @file Changes of bytes that know nothing of formats but that lengths are numbers, texts have tokens and messages have fields. Start at `mutateBytes`. */

import type { Random } from "./random.ts";

export type Change = (bytes: Uint8Array, r: Random) => Uint8Array;

const BYTES = [0, 1, 2, 7, 8, 0x10, 0x20, 0x22, 0x2e, 0x2f, 0x30, 0x5b, 0x7b, 0x7f, 0x80, 0xc0, 0xfe, 0xff];

/** Numbers at which lengths go wrong. */
const numbers = (size: number): readonly bigint[] => [
  0n,
  1n,
  0x7fn,
  0x80n,
  0xffn,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x1fffffffffffffn,
  0x7fffffffffffffffn,
  0xffffffffffffffffn,
  BigInt(size),
  BigInt(size) + 1n,
  BigInt(Math.max(0, size - 1)),
];

export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

const flipBits: Change = (bytes, r) => {
  const out = bytes.slice();
  for (let n = 1 + r.below(6); n > 0; n--) out[r.below(out.length)]! ^= 1 << r.below(8);
  return out;
};

const setBytes: Change = (bytes, r) => {
  const out = bytes.slice();
  for (let n = 1 + r.below(4); n > 0; n--)
    out[r.below(out.length)] = r.once(2) ? r.pick(BYTES) : r.below(256);
  return out;
};

/** Some 2, 4 or 8 bytes become a number that a length should not be. */
const setNumber: Change = (bytes, r) => {
  const width = r.pick([2, 4, 4, 8]);
  if (bytes.length < width) return bytes;
  const out = bytes.slice();
  const at = r.below(out.length - width + 1);
  const value = r.pick(numbers(bytes.length));
  const big = r.once(8);
  for (let i = 0; i < width; i++)
    out[at + (big ? width - 1 - i : i)] = Number((value >> BigInt(8 * i)) & 0xffn);
  return out;
};

/** A number that is there, a little more or less: sizes off by one. */
const nudgeNumber: Change = (bytes, r) => {
  const width = r.pick([1, 2, 4, 8]);
  if (bytes.length < width) return bytes;
  const out = bytes.slice();
  const at = r.below(out.length - width + 1);
  let carry = r.pick([1, -1, 2, -2, 4, 8, 64]);
  for (let i = 0; i < width && carry !== 0; i++) {
    const sum = out[at + i]! + carry;
    out[at + i] = sum & 0xff;
    carry = sum >> 8;
  }
  return out;
};

const cut: Change = (bytes, r) => bytes.slice(0, r.below(bytes.length));
const cutHead: Change = (bytes, r) => bytes.slice(r.below(Math.min(bytes.length, 64)));

const rangeOf = (bytes: Uint8Array, r: Random, most: number): readonly [number, number] => {
  const start = r.below(bytes.length);
  return [start, Math.min(bytes.length, start + 1 + r.below(r.once(4) ? bytes.length : most))];
};

const remove: Change = (bytes, r) => {
  const [start, end] = rangeOf(bytes, r, 32);
  return joined(bytes.subarray(0, start), bytes.subarray(end));
};

const repeat: Change = (bytes, r) => {
  const [start, end] = rangeOf(bytes, r, 64);
  const copies = Array.from({ length: 1 + r.below(r.once(8) ? 40 : 3) }, () => bytes.subarray(start, end));
  const whole = copies.length * (end - start) > 1 << 20 ? copies.slice(0, 1) : copies;
  return joined(bytes.subarray(0, end), ...whole, bytes.subarray(end));
};

const move: Change = (bytes, r) => {
  const out = bytes.slice();
  const [start, end] = rangeOf(bytes, r, 64);
  out.set(
    bytes.subarray(start, end).subarray(0, out.length),
    Math.min(r.below(out.length), out.length - (end - start)),
  );
  return out;
};

const insert: Change = (bytes, r) => {
  const at = r.below(bytes.length + 1);
  const noise = Uint8Array.from({ length: 1 + r.below(16) }, () =>
    r.once(2) ? r.pick(BYTES) : r.below(256),
  );
  return joined(bytes.subarray(0, at), noise, bytes.subarray(at));
};

const RAW: readonly Change[] = [
  flipBits,
  flipBits,
  setBytes,
  setBytes,
  setNumber,
  setNumber,
  nudgeNumber,
  nudgeNumber,
  cut,
  cutHead,
  remove,
  repeat,
  move,
  insert,
];
/** Those that leave all else in its place. */
const IN_PLACE: readonly Change[] = [flipBits, setBytes, setNumber, nudgeNumber, move];

const some =
  (changes: readonly Change[]): Change =>
  (bytes, r) => {
    let out = bytes;
    do if (out.length > 0) out = r.pick(changes)(out, r);
    while (r.once(3));
    return out;
  };

/** One change, or some. */
export const mutateBytes: Change = some(RAW);
export const mutateInPlace: Change = some(IN_PLACE);

const TOKENS = [
  '"',
  "{",
  "}",
  "[",
  "]",
  ":",
  ",",
  "-1",
  "0",
  "1e999",
  "18446744073709551616",
  "9223372036854775807",
  "4294967296",
  "../../etc/passwd",
  "/etc/passwd",
  "\\",
  "\0",
  "null",
  "true",
  "nan",
  "inf",
  "#",
  "<",
  ">",
  "\\377",
  "\\uD800",
  "__proto__",
  "constructor",
];

/** Text by its tokens: one changed, doubled, taken out, or nested deep. */
export const mutateText: Change = (bytes, r) => {
  if (r.once(4)) return mutateBytes(bytes, r);
  const tokens =
    new TextDecoder("latin1").decode(bytes).match(/[A-Za-z_]\w*|-?\d[\d.eE+-]*|"(?:[^"\\]|\\.)*"|\s+|./gs) ??
    [];
  for (let n = 1 + r.below(3); n > 0 && tokens.length > 0; n--) {
    const at = r.below(tokens.length);
    const how = r.below(6);
    if (how === 0) tokens[at] = r.pick(TOKENS);
    else if (how === 1) tokens.splice(at, 1);
    else if (how === 2) tokens.splice(at, 0, r.pick(tokens));
    else if (how === 3) tokens[at] = r.pick(tokens);
    else if (how === 4) tokens.splice(at, 0, ...tokens.slice(at, at + 1 + r.below(40)));
    else
      tokens[at] = r.once(20)
        ? r.pick(["{", "[", "a{", "a:{", "<"]).repeat(1 + r.below(20_000))
        : /^-?\d/.test(tokens[at]!)
          ? `${numbers(bytes.length)[r.below(14)]}`
          : r.pick(TOKENS);
  }
  return Uint8Array.from(Buffer.from(tokens.join(""), "latin1"));
};
