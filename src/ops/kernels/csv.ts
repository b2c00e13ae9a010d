/** @file Fields of one line of CSV, as bytes. @see RFC 4180; TensorFlow core/kernels/decode_csv_op.cc "ExtractFields" */

import { VarscopeError } from "../../base/index.ts";

const QUOTE = 0x22;
const isEnd = (byte: number): boolean => byte === 0x0a || byte === 0x0d;

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** @throws VarscopeError INVALID_ARGUMENT - quotes that do not match, line ends outside of them */
export function parseCsv(line: Uint8Array, delimiter: number, quotes: boolean): Uint8Array[] {
  const fields: Uint8Array[] = [];
  const size = line.length;
  for (let at = 0; at < size; ) {
    if (isEnd(line[at]!)) {
      at++;
      continue;
    }
    const isQuoted = quotes && line[at] === QUOTE;
    const [field, next] = isQuoted
      ? quoted(line, at + 1, size, delimiter)
      : bare(line, at, size, delimiter, quotes);
    fields.push(field);
    at = next;
  }
  if (line[size - 1] === delimiter) fields.push(new Uint8Array(0));
  return fields;
}

type Field = readonly [field: Uint8Array, next: number];

function bare(line: Uint8Array, from: number, size: number, delimiter: number, quotes: boolean): Field {
  let at = from;
  for (; at < size && line[at] !== delimiter; at++) {
    if (isEnd(line[at]!) || (quotes && line[at] === QUOTE))
      throw invalid("Unquoted fields cannot have quotes/CRLFs inside");
  }
  return [line.subarray(from, at), at + 1];
}

function quoted(line: Uint8Array, from: number, size: number, delimiter: number): Field {
  const field: number[] = [];
  for (let at = from; at < size; at++) {
    if (line[at] !== QUOTE) {
      field.push(line[at]!);
      continue;
    }
    if (at + 1 === size || line[at + 1] === delimiter) return [Uint8Array.from(field), at + 2];
    if (line[at + 1] !== QUOTE) throw invalid("Quote inside a string has to be escaped by another quote");
    field.push(QUOTE);
    at++;
  }
  throw invalid("Quoted field has to end with quote followed by delim or end");
}
