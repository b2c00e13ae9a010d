/** @file Attributes of operations: their values and, for OpDefs, their types, defaults and bounds. Start at `attr`. */

import { type DType, isDType, type Shape, type Tensor, VarscopeError } from "../base/index.ts";

/** Function attribute: a function of the graph's library by name, with its attributes. */
export interface FuncValue {
  readonly func: string;
  readonly attrs: Attrs;
}

/** Shape attribute. A wrapper, since a bare array would be a list. Null dims: unknown rank. */
export interface ShapeValue {
  readonly dims: Shape | null;
}

type Single = number | bigint | boolean | string | Uint8Array | ShapeValue | Tensor | FuncValue;

/** A value as NodeDef holds it; dtypes by name; strings as text where they are valid UTF-8, else bytes. */
export type AttrValue = Single | readonly Single[];
export type Attrs = Readonly<Record<string, AttrValue>>;

/** TensorFlow's attr types. */
export type AttrKind =
  | "type"
  | "int"
  | "float"
  | "bool"
  | "string"
  | "shape"
  | "tensor"
  | "func"
  | "list(type)"
  | "list(int)"
  | "list(float)"
  | "list(bool)"
  | "list(string)"
  | "list(shape)"
  | "list(func)"
  | "list(tensor)";

/** One attribute of an OpDef. T is the type of its value in TypeScript. */
export interface AttrSpec<T = AttrValue> {
  readonly kind: AttrKind;
  readonly default?: T;
  /** allowed dtypes or strings */
  readonly allowed?: readonly string[];
  /** smallest int, or shortest list */
  readonly min?: number;
}

export type AttrSpecs = Readonly<Record<string, AttrSpec<unknown>>>;
export type AttrsOf<A> = { readonly [K in keyof A]: A[K] extends AttrSpec<infer T> ? T : never };

const make =
  <T>(kind: AttrKind) =>
  (options: { default?: T; min?: number; allowed?: readonly string[] } = {}): AttrSpec<T> => ({
    kind,
    ...options,
  });

/** Makers of attribute declarations: `attr.type("float32")`, `attr.int({ default: 0 })`. */
export const attr = {
  /** a dtype, one of `allowed` (any when none are given) */
  type: (...allowed: DType[]): AttrSpec<DType> =>
    allowed.length ? { kind: "type", allowed } : { kind: "type" },
  /** a dtype with a default */
  typeOr: (fallback: DType, ...allowed: DType[]): AttrSpec<DType> => ({
    kind: "type",
    default: fallback,
    ...(allowed.length ? { allowed } : {}),
  }),
  int: make<number>("int"),
  float: make<number>("float"),
  bool: make<boolean>("bool"),
  string: make<string>("string"),
  shape: make<ShapeValue>("shape"),
  tensor: make<Tensor>("tensor"),
  func: make<FuncValue>("func"),
  types: make<readonly DType[]>("list(type)"),
  ints: make<readonly number[]>("list(int)"),
  floats: make<readonly number[]>("list(float)"),
  bools: make<readonly boolean[]>("list(bool)"),
  strings: make<readonly string[]>("list(string)"),
  shapes: make<readonly ShapeValue[]>("list(shape)"),
  funcs: make<readonly FuncValue[]>("list(func)"),
} as const;

const isTensor = (v: AttrValue): v is Tensor => typeof v === "object" && "dtype" in v && "data" in v;

const HOLDS: Record<string, (v: AttrValue) => boolean> = {
  type: (v) => typeof v === "string" && isDType(v),
  int: (v) => Number.isInteger(v) || typeof v === "bigint",
  float: (v) => typeof v === "number",
  bool: (v) => typeof v === "boolean",
  string: (v) => typeof v === "string" || v instanceof Uint8Array,
  shape: (v) => typeof v === "object" && "dims" in v,
  tensor: isTensor,
  func: (v) => typeof v === "object" && "func" in v,
};

/** @throws VarscopeError INVALID_ARGUMENT - the value is not of the declared kind, not allowed, or below the minimum */
export function checkAttr(name: string, value: AttrValue, spec: AttrSpec<unknown>, at: string): void {
  const fail = (what: string): never => {
    throw new VarscopeError("INVALID_ARGUMENT", what, { at });
  };
  const isList = spec.kind.startsWith("list(");
  const items = isList ? (value as readonly Single[]) : [value];
  const holds = HOLDS[isList ? spec.kind.slice("list(".length, -1) : spec.kind]!;
  if (!Array.isArray(items) || !items.every((v) => holds(v))) {
    fail(`attr '${name}' must be ${spec.kind}, got ${describe(value)}`);
  }
  const { allowed, min } = spec;
  const bad = allowed === undefined ? undefined : items.find((v) => !allowed.includes(v as string));
  if (bad !== undefined) {
    fail(
      `Value for attr '${name}' of ${String(bad)} is not in the list of allowed values: ${allowed!.join(", ")}`,
    );
  }
  if (min === undefined) return;
  const measure = isList ? items.length : Number(value);
  if (measure < min) fail(`attr '${name}' is ${measure}, at least ${min} is needed`);
}

const describe = (v: AttrValue): string =>
  isTensor(v)
    ? `a ${v.dtype} tensor`
    : Array.isArray(v)
      ? `[${v.map(describe).join(", ")}]`
      : JSON.stringify(v, bigintAsText);

const bigintAsText = (_: string, v: unknown): unknown => (typeof v === "bigint" ? String(v) : v);
