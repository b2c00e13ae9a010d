/**
 * @file Messages as protobuf text, as Python's text_format prints them: one field a line, maps by key, `name
 * { ... }`. The text format of
 * @bufbuild/protobuf prints `name: {`, knows no names of enums that our schemas declare as int32, and keeps
 *   maps unsorted; TensorFlow's tools diff these files. Start at `formatMessage`.
 *
 * @see https://protobuf.dev/reference/protobuf/textformat-spec/
 */

import { type DescField, type DescMessage, type MessageShape, ScalarType } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { ENUM_FIELDS } from "../../proto/enums.ts";

/**
 * The text of a message. Fields that the schema does not know are left out, as protobuf's own printers do.
 */
export function formatMessage<D extends DescMessage>(schema: D, message: MessageShape<D>): string {
  const lines: string[] = [];
  printFields(reflect(schema, message) as ReflectMessage, "", lines);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function printFields(message: ReflectMessage, indent: string, lines: string[]): void {
  for (const field of message.sortedFields) {
    if (!message.isSet(field)) continue;
    const value = message.get(field);
    if (field.fieldKind === "list") {
      for (const item of value as Iterable<unknown>) printValue(field, item, indent, lines);
    } else if (field.fieldKind === "map") {
      printMap(field, [...(value as Iterable<[unknown, unknown]>)], indent, lines);
    } else printValue(field, value, indent, lines);
  }
}

type MapField = DescField & { fieldKind: "map" };

function printMap(field: MapField, entries: [unknown, unknown][], indent: string, lines: string[]): void {
  const byKey = entries.sort(([a], [b]) => compareKeys(a, b));
  for (const [key, value] of byKey) {
    const inner = `${indent}  `;
    lines.push(`${indent}${field.name} {`, `${inner}key: ${scalarText(field.mapKey, key)}`);
    if (field.mapKind === "message") printMessage("value", value as ReflectMessage, inner, lines);
    else lines.push(`${inner}value: ${scalarText(field.scalar ?? ScalarType.INT32, value)}`);
    lines.push(`${indent}}`);
  }
}

const compareKeys = (a: unknown, b: unknown): number =>
  (a as string) < (b as string) ? -1 : a === b ? 0 : 1;

function printMessage(name: string, message: ReflectMessage, indent: string, lines: string[]): void {
  lines.push(`${indent}${name} {`);
  printFields(message, `${indent}  `, lines);
  lines.push(`${indent}}`);
}

function printValue(field: DescField, value: unknown, indent: string, lines: string[]): void {
  if (field.message !== undefined) printMessage(field.name, value as ReflectMessage, indent, lines);
  else
    lines.push(
      `${indent}${field.name}: ${enumText(field, value) ?? scalarText(field.scalar ?? ScalarType.INT32, value)}`,
    );
}

function enumText(field: DescField, value: unknown): string | undefined {
  if (field.enum !== undefined) return field.enum.value[value as number]?.name;
  const names = ENUM_FIELDS[`${field.parent.typeName}.${field.name}`];
  return names === undefined ? undefined : namesByNumber(names).get(value as number);
}

const inverted = new WeakMap<object, ReadonlyMap<number, string>>();

function namesByNumber(names: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  const known = inverted.get(names);
  if (known !== undefined) return known;
  const made = new Map(Object.entries(names).map(([name, number]) => [number, name] as const));
  inverted.set(names, made);
  return made;
}

function scalarText(type: ScalarType, value: unknown): string {
  switch (type) {
    case ScalarType.STRING:
      return quote(value as string);
    case ScalarType.BYTES:
      return quoteBytes(value as Uint8Array);
    case ScalarType.FLOAT:
      return pythonFloat(shortestFloat(value as number));
    case ScalarType.DOUBLE:
      return pythonFloat(value as number);
    default:
      return String(value);
  }
}

/** The number with the fewest digits (6 at least, as Python does) that is the same float32. */
function shortestFloat(value: number): number {
  if (!Number.isFinite(value) || value === 0) return value;
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}

/** As Python's repr: `1.0`, `1e-05`, `1e+16`, `inf`. */
function pythonFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [mantissa, exponent] = value.toExponential().split("e") as [string, string];
  const power = Number(exponent);
  if (power < -4 || power >= 16) {
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  const text = power < 0 ? value.toFixed(mantissa.replace(/[-.]/g, "").length - 1 - power) : String(value);
  return text.includes(".") ? text : `${text}.0`;
}

const ESCAPES: Record<number, string> = { 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 39: "\\'", 92: "\\\\" };
const octal = (code: number): string => `\\${code.toString(8).padStart(3, "0")}`;
const isPlain = (code: number): boolean => code >= 32 && code < 127;

/** Text is printed as it is but for control characters and quotes. */
function quote(text: string): string {
  let out = "";
  for (const char of text) {
    const code = char.codePointAt(0)!;
    out += ESCAPES[code] ?? (isPlain(code) || code > 127 ? char : octal(code));
  }
  return `"${out}"`;
}

/** Bytes beyond ASCII are printed as octal numbers. */
function quoteBytes(bytes: Uint8Array): string {
  const parts: string[] = [];
  for (const b of bytes) parts.push(ESCAPES[b] ?? (isPlain(b) ? String.fromCharCode(b) : octal(b)));
  return `"${parts.join("")}"`;
}
