/**
 * @file Protobuf text to messages: `field: value`, `field { ... }`, `field < ... >`, `field: [a, b]`, maps as
 * `key`/`value` messages, enum names, comments. Unknown fields are errors, since a misspelt name would be
 * lost. Start at `parseMessage`.
 *
 * @see https://protobuf.dev/reference/protobuf/textformat-spec/
 */

import { create, type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { type ReflectList, type ReflectMap, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ENUM_FIELDS } from "../../proto/enums.ts";
import { Scanner } from "./scan.ts";

/** As deep as protobuf's own parsers go. */
const MAX_DEPTH = 100;

/** The message of a text. @throws VarscopeError INVALID_ARGUMENT - naming file, line and column */
export function parseMessage<D extends DescMessage>(
  schema: D,
  text: string,
  file: string = schema.name,
): MessageShape<D> {
  const message = create(schema);
  const scanner = new Scanner(text, file);
  parseFields(scanner, reflect(schema, message) as ReflectMessage, "", 0);
  return message;
}

function parseFields(s: Scanner, message: ReflectMessage, end: string, depth: number): void {
  if (depth > MAX_DEPTH) s.fail(`messages are nested deeper than ${MAX_DEPTH}`);
  const seen = new Set<DescField>();
  while (end === "" ? !s.atEnd : !s.take(end)) {
    if (s.atEnd) s.fail(`'${end}' is missing at the end`);
    const field = fieldAt(s, message);
    const repeated = field.fieldKind === "list" || field.fieldKind === "map";
    if (!repeated && seen.has(field)) s.fail(`${message.desc.name} has '${field.name}' twice`);
    seen.add(field);
    const colon = s.take(":");
    if (repeated && s.take("[")) parseList(s, message, field, depth);
    else parseOne(s, message, field, colon, depth);
    if (!s.take(";")) s.take(",");
  }
}

function fieldAt(s: Scanner, message: ReflectMessage): DescField {
  const any = s.bracketed();
  if (any !== undefined) s.fail(`'[${any}]': extensions and expanded Any messages are not known here`);
  const name = s.name();
  if (name === undefined) return s.fail(`a field name is missing before '${s.peek()}'`);
  const field = message.desc.fields.find((f) => f.name === name);
  return field ?? s.fail(`message ${message.desc.typeName} has no field '${name}'`);
}

function parseList(s: Scanner, message: ReflectMessage, field: DescField, depth: number): void {
  if (s.take("]")) return;
  do parseOne(s, message, field, true, depth);
  while (s.take(","));
  s.need("]");
}

function parseOne(
  s: Scanner,
  message: ReflectMessage,
  field: DescField,
  colon: boolean,
  depth: number,
): void {
  if (field.fieldKind === "map") {
    parseEntry(s, message.get(field) as ReflectMap, field, depth);
    return;
  }
  if (field.message !== undefined) {
    const inner = reflect(field.message) as ReflectMessage;
    parseBody(s, inner, depth);
    if (field.fieldKind === "list") (message.get(field) as ReflectList).add(inner);
    else message.set(field as never, inner as never);
    return;
  }
  if (!colon) s.fail(`':' is missing after '${field.name}'`);
  const value = scalarAt(s, field.scalar ?? ScalarType.INT32, enumNames(field), field.name);
  if (field.fieldKind === "list") (message.get(field) as ReflectList).add(value);
  else message.set(field as never, value as never);
}

function parseBody(s: Scanner, message: ReflectMessage, depth: number): void {
  if (s.take("{")) parseFields(s, message, "}", depth + 1);
  else if (s.take("<")) parseFields(s, message, ">", depth + 1);
  else s.fail(`'{' is missing before '${s.peek()}'`);
}

type MapField = DescField & { fieldKind: "map" };

/** A map entry: a message with `key` and `value`; what is absent has its default. */
function parseEntry(s: Scanner, map: ReflectMap, field: MapField, depth: number): void {
  const end = s.take("{") ? "}" : s.take("<") ? ">" : s.fail(`'{' is missing before '${s.peek()}'`);
  let key: unknown = field.mapKey === ScalarType.STRING ? "" : 0;
  let value: unknown =
    field.message === undefined ? emptyScalar(field) : (reflect(field.message) as ReflectMessage);
  while (!s.take(end)) {
    const name = s.name();
    const colon = s.take(":");
    if (s.atEnd) s.fail(`'${end}' is missing at the end`);
    if (name === "value" && field.message !== undefined) parseBody(s, value as ReflectMessage, depth + 1);
    else if (!colon) s.fail(`':' is missing after '${name ?? s.peek()}'`);
    else if (name === "key") key = scalarAt(s, field.mapKey, undefined, "key");
    else if (name === "value")
      value = scalarAt(s, field.scalar ?? ScalarType.INT32, enumNames(field), "value");
    else s.fail(`an entry of '${field.name}' has 'key' and 'value', not '${name ?? s.peek()}'`);
    if (!s.take(";")) s.take(",");
  }
  map.set(key as never, value as never);
}

function emptyScalar(field: MapField): unknown {
  if (field.scalar === ScalarType.STRING) return "";
  if (field.scalar === ScalarType.BYTES) return new Uint8Array(0);
  if (field.scalar === ScalarType.BOOL) return false;
  return isLong(field.scalar ?? ScalarType.INT32) ? 0n : 0;
}

type Names = Readonly<Record<string, number>>;

function enumNames(field: DescField): Names | undefined {
  if (field.enum !== undefined) return Object.fromEntries(field.enum.values.map((v) => [v.name, v.number]));
  return ENUM_FIELDS[`${field.parent.typeName}.${field.name}`];
}

const isLong = (type: ScalarType): boolean =>
  [ScalarType.INT64, ScalarType.UINT64, ScalarType.FIXED64, ScalarType.SFIXED64, ScalarType.SINT64].includes(
    type,
  );
const isUnsigned = (type: ScalarType): boolean =>
  [ScalarType.UINT32, ScalarType.UINT64, ScalarType.FIXED32, ScalarType.FIXED64].includes(type);

function scalarAt(s: Scanner, type: ScalarType, names: Names | undefined, field: string): unknown {
  if (type === ScalarType.STRING || type === ScalarType.BYTES) {
    const bytes = s.bytes() ?? s.fail(`'${field}' wants a quoted string before '${s.peek()}'`);
    return type === ScalarType.BYTES ? bytes : textOf(s, bytes, field);
  }
  if (type === ScalarType.BOOL) return boolAt(s, field);
  const negative = s.take("-");
  if (type === ScalarType.DOUBLE) return floatAt(s, field, negative);
  if (type === ScalarType.FLOAT) return Math.fround(floatAt(s, field, negative));
  const name = names === undefined ? undefined : s.name();
  if (name !== undefined) {
    if (!Object.hasOwn(names!, name)) s.fail(`'${name}' is no value of '${field}'`);
    return names![name];
  }
  return intAt(s, type, field, negative);
}

function textOf(s: Scanner, bytes: Uint8Array, field: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return s.fail(`'${field}' is not UTF-8`);
  }
}

function boolAt(s: Scanner, field: string): boolean {
  const word = s.name() ?? s.number();
  if (["true", "True", "t", "1"].includes(word ?? "")) return true;
  if (["false", "False", "f", "0"].includes(word ?? "")) return false;
  return s.fail(`'${field}' wants true or false, not '${word ?? s.peek()}'`);
}

function floatAt(s: Scanner, field: string, negative: boolean): number {
  const word = s.name()?.toLowerCase();
  const sign = negative ? -1 : 1;
  if (word === "inf" || word === "infinity" || word === "inff") return sign * Number.POSITIVE_INFINITY;
  if (word === "nan" || word === "nanf") return Number.NaN;
  const text = s.number();
  if (word !== undefined || text === undefined)
    return s.fail(`'${field}' wants a number, not '${word ?? s.peek()}'`);
  return sign * Number(/^0[xX]/.test(text) ? text : text.replace(/[fF]$/, ""));
}

function intAt(s: Scanner, type: ScalarType, field: string, negative: boolean): number | bigint {
  const text = s.number();
  if (text === undefined || !/^(0[xX][0-9a-fA-F]+|\d+)$/.test(text)) {
    return s.fail(`'${field}' wants an integer, not '${text ?? s.peek()}'`);
  }
  const octal = /^0[0-7]+$/.test(text);
  const size = BigInt(octal ? `0o${text.slice(1)}` : text);
  const value = negative ? -size : size;
  const bits = BigInt(isLong(type) ? 64 : 32);
  const [low, high] = isUnsigned(type)
    ? [0n, 2n ** bits - 1n]
    : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
  if (value < low || value > high) s.fail(`'${field}' is ${value}, beyond ${bits} bits`);
  return isLong(type) ? value : Number(value);
}
