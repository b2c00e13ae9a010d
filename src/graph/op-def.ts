/**
 * @file What an op is: one definition with signature, shapes, gradient, lowering and host kernel. `defineOp` makes one;
 * the graph, autodiff, lowering and the session ask it, so that none of them knows an op by name.
 */

import type { DType, Shape, Tensor } from "../base/index.ts";
import type { AttrSpecs, Attrs, AttrsOf } from "./attr.ts";
import type { Graph } from "./graph.ts";
import type { IndexedSlices } from "./indexed-slices.ts";
import type { Onnx, OnnxValue } from "./onnx.ts";
import type { Operation, Output } from "./operation.ts";

/**
 * Arguments of an op, in order. An argument's type is a dtype (`"int32"`), a type attr (`"T"`), either with a number attr
 * before it (`"N*T"`), a list(type) attr in brackets (`"[T]"`), or a reference (`"ref(T)"`).
 */
export type ArgSpecs = Readonly<Record<string, string>>;

type Arg<S, X> = S extends `${string}*${string}` | `[${string}]` ? readonly X[] : X;
/** One X for each argument, a list of them where the argument is a list. */
export type Args<I, X> = { readonly [K in keyof I]: Arg<I[K], X> };

/** What is known of an output before it is computed. */
export interface Spec {
  readonly dtype: DType;
  readonly shape: Shape | null;
  /** the value, where it follows from constants alone (small tensors only) */
  readonly value: Tensor | null;
  /** an int vector (or scalar, as a vector of one) read as a shape, as far as its elements are known */
  readonly partial: Shape | null;
  /** of a resource: what the variable behind it holds */
  readonly handle: HandleSpec | null;
}

export interface HandleSpec {
  readonly dtype: DType;
  readonly shape: Shape | null;
}

/** A type by its number in FullTypeId, with its arguments. */
export interface FullType {
  readonly id: number;
  readonly args: readonly FullType[];
}

/** What `infer` says of an output; a Spec will do. */
export interface Inferred {
  readonly shape: Shape | null;
  readonly handle?: HandleSpec | null;
}

/** An aspect that an op does not have, with the reason. */
export interface Absent {
  readonly absent: string;
}
export const absent = (reason: string): Absent => ({ absent: reason });
export const isAbsent = (aspect: unknown): aspect is Absent =>
  typeof aspect === "object" && aspect !== null && "absent" in aspect;

/** The rule of an op that TensorFlow registers as not differentiable: nothing flows back through it. */
export const stopsGradients = (_g: Graph, op: Operation): null[] => op.inputs.map(() => null);

/** What a host kernel may ask of the session that runs it. */
export interface HostContext {
  readonly op: Operation;
  /** state of this op in this session, made on first use: generators of random ops */
  state<S>(make: () => S): S;
  /** state of the whole session by name, made on first use: tables, by container and shared name */
  shared<S>(key: string, make: () => S): S;
  /** seed of a random op whose seeds are both 0 */
  entropy(): readonly [number, number];
  readonly files: CheckpointFiles;
}

/** Files as save and restore ops need them. */
export interface CheckpointFiles {
  save(prefix: string, tensors: readonly { name: string; slice: string; tensor: Tensor }[]): Promise<void>;
  /** one file of format V1 */
  saveV1(file: string, tensors: readonly { name: string; slice: string; tensor: Tensor }[]): Promise<void>;
  restore(
    prefix: string,
    wanted: readonly { name: string; slice: string; dtype: DType }[],
  ): Promise<Tensor[]>;
  /** a whole file: a vocabulary */
  readFile(file: string): Promise<Uint8Array>;
  merge(prefixes: readonly string[], destination: string, deleteOld: boolean): Promise<void>;
}

/** How an op treats the variable behind an input: reads it, replaces it, both, or asks whether it has a value. */
export type Access = "read" | "write" | "update" | "probe";

/** Gradient of an output: dense, or rows at indices. */
export type Grad = Output | IndexedSlices;

export interface OpAspects<I, O, A> {
  /** in TensorFlow's order */
  readonly inputs: I;
  readonly outputs: O;
  readonly attrs?: A;
  /** TensorFlow's is_stateful: never folded, merged or run twice */
  readonly stateful?: boolean;
  /** its host kernel reads files: not folded, though TensorFlow calls it stateless */
  readonly readsFiles?: boolean;
  /** accepts ref inputs that are not initialised. @see OpDef.allows_uninitialized_input */
  readonly allowsUninitialized?: boolean;
  /** Shapes of the outputs. @throws VarscopeError INVALID_ARGUMENT - inputs do not fit */
  readonly infer: (inputs: Args<I, Spec>, attrs: AttrsOf<A>) => readonly Inferred[];
  /**
   * Output `index`, an int vector read as a shape, when its value is not constant: Shape, Pack, ... An int scalar counts as a vector
   * of one.
   */
  readonly partial?: (inputs: Args<I, Spec>, attrs: AttrsOf<A>, index: number) => Shape | null;
  /**
   * Gradients for each input (flat), built from TF ops under the current name scope. `dys` has one entry an output; null where it is
   * not differentiable. A null result: no gradient flows.
   */
  readonly grad:
    | ((g: Graph, op: Operation, dys: readonly Output[], attrs: AttrsOf<A>) => readonly (Grad | null)[])
    | Absent;
  /** `grad` takes IndexedSlices too; otherwise they are made dense first */
  readonly gradTakesSlices?: boolean;
  /** Outputs as ONNX nodes. For an op that only writes variables: none. */
  readonly lower:
    | ((onnx: Onnx, inputs: Args<I, OnnxValue>, attrs: AttrsOf<A>, op: Operation) => readonly OnnxValue[])
    | Absent;
  /** the outputs depend on the inputs' shapes alone (Shape, ZerosLike's size, ...): `host` must not look at their data, save that of variants */
  readonly shapeOnly?: boolean;
  /** the output is a measure of its one input, as a shape or a size: gradients of loops keep it for each round in place of the input */
  readonly measures?: boolean;
  /** whether `lower` can do it for these dtypes and attrs (and input ranks); by default yes */
  readonly lowers?: (attrs: AttrsOf<A>, inputs: Args<I, Spec>) => boolean;
  /** TensorFlow's sentence for what ONNX Runtime says when it refuses values in this op's nodes; null: as it stands */
  readonly explain?: (message: string) => string | null;
  /** Outputs as values, in TypeScript. Needed where `lower` is absent or declines; used to fold constants. */
  readonly host:
    | ((
        inputs: Args<I, Tensor>,
        attrs: AttrsOf<A>,
        context: HostContext,
      ) => readonly Tensor[] | Promise<readonly Tensor[]>)
    | Absent;
  /** inputs that are variables (ref or resource), and how they are used */
  readonly access?: { readonly [K in keyof I]?: Access };
  /** New values of the written variables, by input name, as ONNX. Resource and ref inputs arrive as the variable's value. */
  readonly update?: (
    onnx: Onnx,
    inputs: Args<I, OnnxValue>,
    attrs: AttrsOf<A>,
  ) => Partial<Record<keyof I, OnnxValue>>;
  /** The same on values. */
  readonly updateHost?: (
    inputs: Args<I, Tensor>,
    attrs: AttrsOf<A>,
    op: Operation,
  ) => Partial<Record<keyof I, Tensor>>;
  /**
   * Its output is its input's own memory. Of a reference variable, TensorFlow's ops that come after a write see the new value through it,
   * though the read itself came before.
   */
  readonly sharesMemory?: boolean;
  /** This op makes a variable: its dtype and shape, from the attributes. */
  readonly variable?: (attrs: AttrsOf<A>) => HandleSpec;
  /** TensorFlow's own note on what kind of tensor each output is, where its OpDef has one. @see core/framework/full_type.proto */
  readonly fullType?: (attrs: AttrsOf<A>) => FullType;
  /** it runs even if an op that it waits for by a control edge lies in a branch that is not taken */
  readonly runsAfterDead?: boolean;
  /** control flow: solved while planning, never run as an op */
  readonly control?: ControlKind;
}

/** What an op does to the flow of a run. "call" to "loop" take functions of the graph's library; "enter" to "loopCond" are TF1's loops. */
export type ControlKind =
  | "switch"
  | "merge"
  | "call"
  | "if"
  | "case"
  | "loop"
  | "enter"
  | "exit"
  | "next"
  | "loopCond";

/** An op with everything known of it; the types of its arguments and attributes are erased. */
export interface OpDef extends OpAspects<ArgSpecs, ArgSpecs, AttrSpecs> {
  readonly type: string;
  readonly attrs: AttrSpecs;
  // biome-ignore lint/suspicious/noExplicitAny: erased; a registry holds ops of all signatures
  readonly infer: (inputs: any, attrs: any) => readonly Inferred[];
}

/** Declares an op. `type` and all names in `inputs`, `outputs`, `attrs` are TensorFlow's to the letter. */
export function defineOp<const I extends ArgSpecs, const O extends ArgSpecs, const A extends AttrSpecs>(
  type: string,
  aspects: OpAspects<I, O, A>,
): OpDef {
  return { attrs: {}, ...aspects, type } as unknown as OpDef;
}

/** Ops by type. */
export type Registry = ReadonlyMap<string, OpDef>;

/** All OpDefs exported by some modules; a type defined twice is an error. */
export function registry(...modules: readonly object[]): Registry {
  const ops = new Map<string, OpDef>();
  for (const value of modules.flatMap((m) => Object.values(m) as unknown[])) {
    if (typeof value !== "object" || value === null || !("infer" in value)) continue;
    const def = value as OpDef;
    if (ops.has(def.type) && ops.get(def.type) !== def) throw new Error(`op ${def.type} is defined twice`);
    ops.set(def.type, def);
  }
  return ops;
}

export interface ArgType {
  readonly name: string;
  readonly ref: boolean;
  /** number attr before a `*` */
  readonly count: string | null;
  /** list(type) attr in brackets */
  readonly list: string | null;
  /** dtype or type attr */
  readonly type: string;
}

/** Parses an argument's type text. */
export function argType(name: string, text: string): ArgType {
  const list = /^\[(\w+)\]$/.exec(text)?.[1] ?? null;
  const ref = /^ref\((.*)\)$/.exec(text)?.[1];
  const inner = ref ?? text;
  const star = inner.indexOf("*");
  return {
    name,
    ref: ref !== undefined,
    count: star < 0 ? null : inner.slice(0, star),
    list,
    type: star < 0 ? inner : inner.slice(star + 1),
  };
}

const parsed = new WeakMap<ArgSpecs, readonly ArgType[]>();

/** The arguments of a definition, parsed. */
export function argTypes(args: ArgSpecs): readonly ArgType[] {
  let types = parsed.get(args);
  if (types === undefined) {
    types = Object.entries(args).map(([name, text]) => argType(name, text));
    parsed.set(args, types);
  }
  return types;
}

/** The flat values of an op's inputs, grouped by argument name, lists as arrays. */
export function groupArgs<X>(
  args: ArgSpecs,
  attrs: Attrs,
  flat: readonly X[],
): Record<string, X | readonly X[]> {
  const out: Record<string, X | readonly X[]> = {};
  let next = 0;
  for (const arg of argTypes(args)) {
    const n = argCount(arg, attrs);
    out[arg.name] = n === null ? flat[next]! : flat.slice(next, next + n);
    next += n ?? 1;
  }
  return out;
}

/** Number of tensors of a list argument; null for a single one. */
export function argCount(arg: ArgType, attrs: Attrs): number | null {
  if (arg.list !== null) return (attrs[arg.list] as readonly unknown[]).length;
  return arg.count === null ? null : Number(attrs[arg.count]);
}
