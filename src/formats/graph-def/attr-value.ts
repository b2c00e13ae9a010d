/**
 * @file AttrValue messages, to and from the attribute values of operations. Which of a message's fields a
 * value takes is said by the OpDef, or by the message that it was read from, or by the value itself.
 *
 * @see TensorFlow core/framework/attr_value.proto
 */

import { create } from "@bufbuild/protobuf";
import {
  DTYPES,
  type DType,
  dtypeFromCode,
  isDType,
  isVarscopeError,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import {
  type AttrKind,
  type AttrValue,
  type FuncValue,
  isTensor,
  type ShapeValue,
} from "../../graph/index.ts";
import {
  type AttrValue_ListValue,
  AttrValue_ListValueSchema,
  type AttrValue as AttrValueProto,
  AttrValueSchema,
  type NameAttrList,
  NameAttrListSchema,
} from "../../proto/graph.gen.ts";
import { type Budget, readShape, readTensorProto, writeShape, writeTensorProto } from "./tensor-proto.ts";

/** Field of AttrValue that holds one value, or of ListValue that holds several. */
type Field = "s" | "i" | "f" | "b" | "type" | "shape" | "tensor" | "func";

const FIELDS: Record<string, Field> = {
  string: "s",
  int: "i",
  float: "f",
  bool: "b",
  type: "type",
  shape: "shape",
  tensor: "tensor",
  func: "func",
};
const LIST_FIELDS = [
  "s",
  "i",
  "f",
  "b",
  "type",
  "shape",
  "tensor",
  "func",
] as const satisfies readonly Field[];

const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ENCODER = new TextEncoder();

/** Text where the bytes are UTF-8, else the bytes. */
function readString(bytes: Uint8Array): string | Uint8Array {
  try {
    return DECODER.decode(bytes);
  } catch {
    return bytes;
  }
}

const readInt = (value: bigint): number | bigint =>
  Number.isSafeInteger(Number(value)) ? Number(value) : value;

type Single = Exclude<AttrValue, readonly unknown[]>;

function readSingle(field: Field, value: unknown, at: string, budget: Budget): Single {
  switch (field) {
    case "s":
      return readString(value as Uint8Array);
    case "i":
      return readInt(value as bigint);
    case "type":
      return dtypeFromCode(value as number, at);
    case "shape":
      return { dims: readShape(value as never, at) };
    case "tensor":
      return readTensorProto(value as never, at, budget);
    case "func":
      return readFunc(value as NameAttrList, at, budget);
    default:
      return value as number | boolean;
  }
}

const readFunc = (proto: NameAttrList, at: string, budget: Budget): FuncValue => ({
  func: proto.name,
  attrs: readAttrs(proto.attr, at, budget),
});

/**
 * The value of a message; undefined where it is a placeholder of a function body, empty, or of a kind that we
 * do not know.
 */
export function readAttr(proto: AttrValueProto, at: string, budget: Budget): AttrValue | undefined {
  const { case: field, value } = proto.value;
  if (field === undefined || field === "placeholder") return undefined;
  if (field !== "list") return readSingle(field, value, at, budget);
  const filled = LIST_FIELDS.filter((f) => value[f].length > 0);
  if (filled.length > 1) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `attribute is a list of several kinds: ${filled.join(", ")}`,
      { at },
    );
  }
  const [only] = filled;
  return only === undefined ? [] : (value[only] as unknown[]).map((v) => readSingle(only, v, at, budget));
}

/**
 * Attributes of a node or function, as far as they have values.
 *
 * @param lenient - leave out what this version does not know (the nodes of unknown ops are kept and written,
 *   not run)
 */
export function readAttrs(
  protos: { readonly [name: string]: AttrValueProto },
  at: string,
  budget: Budget,
  lenient = false,
): Record<string, AttrValue> {
  const attrs: Record<string, AttrValue> = {};
  for (const name of Object.keys(protos)) {
    try {
      const value = readAttr(protos[name]!, `${at}, attr '${name}'`, budget);
      if (value !== undefined) attrs[name] = value;
    } catch (e) {
      if (!lenient || !isVarscopeError(e, "UNIMPLEMENTED")) throw e;
    }
  }
  return attrs;
}

/**
 * The message of a value. `kind` is the OpDef's word for it; without it the value decides (whole numbers are
 * ints, text is a string).
 */
export function writeAttr(value: AttrValue, kind?: AttrKind): AttrValueProto {
  if (Array.isArray(value)) {
    const list = create(AttrValue_ListValueSchema);
    const [first] = value as readonly Single[];
    const field = fieldOf(kind?.slice("list(".length, -1), first);
    if (first !== undefined) (list[field] as unknown[]) = value.map((v) => writeSingle(field, v));
    return create(AttrValueSchema, { value: { case: "list", value: list } });
  }
  const field = fieldOf(kind, value as Single);
  return create(AttrValueSchema, {
    value: { case: field, value: writeSingle(field, value as Single) } as never,
  });
}

/** The field that a message holds its value in: what a new value of the same attribute should take. */
export function kindOf(proto: AttrValueProto): AttrKind | undefined {
  const { case: field, value } = proto.value;
  const word = (f: string): string | undefined => Object.keys(FIELDS).find((k) => FIELDS[k] === f);
  if (field !== "list") return word(field ?? "") as AttrKind | undefined;
  const filled = LIST_FIELDS.find((f) => (value as AttrValue_ListValue)[f].length > 0);
  return filled === undefined ? undefined : (`list(${word(filled)})` as AttrKind);
}

function fieldOf(kind: string | undefined, value: Single | undefined): Field {
  if (kind !== undefined && kind in FIELDS) return FIELDS[kind]!;
  if (typeof value === "boolean") return "b";
  if (typeof value === "bigint") return "i";
  if (typeof value === "number") return Number.isInteger(value) ? "i" : "f";
  if (typeof value !== "object" || value instanceof Uint8Array) return "s";
  if (isTensor(value)) return "tensor";
  return "func" in value ? "func" : "shape";
}

function writeSingle(field: Field, value: Single): unknown {
  switch (field) {
    case "s":
      return typeof value === "string" ? ENCODER.encode(value) : value;
    case "i":
      return BigInt(value as number);
    case "type":
      return typeCode(value as string);
    case "shape":
      return writeShape((value as ShapeValue).dims);
    case "tensor":
      return writeTensorProto(value as Tensor);
    case "func":
      return writeFunc(value as FuncValue);
    default:
      return value;
  }
}

function typeCode(name: string): number {
  if (isDType(name)) return DTYPES[name as DType].code;
  throw new VarscopeError("INVALID_ARGUMENT", `'${name}' is no dtype`);
}

const writeFunc = (f: FuncValue): NameAttrList =>
  create(NameAttrListSchema, {
    name: f.func,
    attr: sortedAttrs(Object.entries(f.attrs).map(([k, v]) => [k, writeAttr(v)])),
  });

/** A map of attributes in the order in which TensorFlow's deterministic serialisation writes it: by name. */
export const sortedAttrs = (
  entries: readonly (readonly [string, AttrValueProto])[],
): Record<string, AttrValueProto> =>
  Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
