/** @file UTF-8, UTF-16 and UTF-32 as TensorFlow's kernels read and write them: what is malformed stays visible. */

/** Characters of a byte string. A byte that is no UTF-8 is a code of its own, beyond Unicode. */
export interface Runes {
  readonly codes: Int32Array;
  /** where each begins, and where the last one ends */
  readonly starts: Int32Array;
}

/** The code of a byte that is no UTF-8. */
export const NO_RUNE = 0x110000;

/** Characters of strict UTF-8. */
export function runesOf(bytes: Uint8Array): Runes {
  const codes = new Int32Array(bytes.length);
  const starts = new Int32Array(bytes.length + 1);
  let count = 0;
  for (let at = 0; at < bytes.length; count++) {
    const [code, length] = runeAt(bytes, at);
    starts[count] = at;
    codes[count] = code;
    at += code === NO_RUNE ? 1 : length;
  }
  starts[count] = bytes.length;
  return { codes: codes.subarray(0, count), starts: starts.subarray(0, count + 1) };
}

/** The shortest first continuation byte of lead bytes that not all may follow: no overlong forms, no surrogates, no codes beyond Unicode. */
const FIRST: Readonly<Record<number, readonly [number, number]>> = {
  224: [0xa0, 0xbf],
  237: [0x80, 0x9f],
  240: [0x90, 0xbf],
  244: [0x80, 0x8f],
};

/** Code and length of what stands at a place; of what is malformed, its longest part that could have begun a character. */
export function runeAt(bytes: Uint8Array, at: number): readonly [code: number, length: number] {
  const lead = bytes[at]!;
  if (lead < 0x80) return [lead, 1];
  const more = lead >= 0xc2 && lead < 0xe0 ? 1 : lead < 0xe0 ? 0 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 0;
  if (lead < 0xc2 || more === 0) return [NO_RUNE, 1];
  let code = lead & (0x3f >> more);
  for (let i = 1; i <= more; i++) {
    const byte = bytes[at + i];
    const [low, high] = (i === 1 && FIRST[lead]) || [0x80, 0xbf];
    if (byte === undefined || byte < low || byte > high) return [NO_RUNE, i];
    code = (code << 6) | (byte & 0x3f);
  }
  return [code, more + 1];
}

/** Number of characters: bytes that do not continue one. @see TensorFlow core/kernels/string_util.h "UTF8StrLen" */
export function utf8Length(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (!isTrail(byte)) count++;
  return count;
}

/** Whether a byte continues a character. */
export const isTrail = (byte: number): boolean => (byte & 0xc0) === 0x80;

/** Whether a code may stand in a Unicode text. */
export const isScalar = (code: number): boolean =>
  (code >= 0 && code < 0xd800) || (code > 0xdfff && code <= 0x10ffff);

/** What one encoding holds at a place: a code, or what is malformed; and how many bytes. */
export type Decoder = (bytes: Uint8Array, at: number) => readonly [code: number, length: number];

function utf16At(bytes: Uint8Array, at: number, little: boolean): readonly [number, number] {
  const unit = (i: number): number | null => {
    if (i + 1 >= bytes.length) return null;
    return little ? bytes[i]! | (bytes[i + 1]! << 8) : (bytes[i]! << 8) | bytes[i + 1]!;
  };
  const first = unit(at);
  if (first === null) return [NO_RUNE, bytes.length - at];
  if (first < 0xd800 || first > 0xdfff) return [first, 2];
  const second = first < 0xdc00 ? unit(at + 2) : 0;
  if (second === null) return [NO_RUNE, bytes.length - at];
  if (second < 0xdc00 || second > 0xdfff) return [NO_RUNE, 2];
  return [0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00), 4];
}

function utf32At(bytes: Uint8Array, at: number, little: boolean): readonly [number, number] {
  if (at + 4 > bytes.length) return [NO_RUNE, bytes.length - at];
  const code = new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, little);
  return [isScalar(code) ? code : NO_RUNE, 4];
}

const DECODERS: Readonly<Record<string, Decoder>> = {
  "UTF-8": runeAt,
  "UTF-16-BE": (bytes, at) => utf16At(bytes, at, false),
  "UTF-16BE": (bytes, at) => utf16At(bytes, at, false),
  "UTF-16LE": (bytes, at) => utf16At(bytes, at, true),
  "UTF-32-BE": (bytes, at) => utf32At(bytes, at, false),
  "UTF-32BE": (bytes, at) => utf32At(bytes, at, false),
  "UTF-32LE": (bytes, at) => utf32At(bytes, at, true),
  "US-ASCII": (bytes, at) => [bytes[at]! < 0x80 ? bytes[at]! : NO_RUNE, 1],
  "ISO-8859-1": (bytes, at) => [bytes[at]!, 1],
};

/** The reader of an encoding, by ICU's name; null for those that we do not know. */
export const decoderOf = (encoding: string): Decoder | null => DECODERS[encoding.toUpperCase()] ?? null;

/** Codes as bytes. */
export function encodeRunes(codes: readonly number[], encoding: string): Uint8Array {
  if (encoding === "UTF-8") return new TextEncoder().encode(textOfCodes(codes));
  const isWide = encoding === "UTF-32-BE";
  const units = isWide ? codes : Array.from(utf16Units(textOfCodes(codes)));
  const out = new DataView(new ArrayBuffer(units.length * (isWide ? 4 : 2)));
  units.forEach((unit, i) => {
    if (isWide) out.setUint32(4 * i, unit);
    else out.setUint16(2 * i, unit);
  });
  return new Uint8Array(out.buffer);
}

function textOfCodes(codes: readonly number[]): string {
  let text = "";
  for (const code of codes) text += String.fromCodePoint(code);
  return text;
}

function* utf16Units(text: string): Generator<number> {
  for (let i = 0; i < text.length; i++) yield text.charCodeAt(i);
}
