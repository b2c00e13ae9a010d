/**
 * @file How an optimizer op comes of its formula: with resource or ref variables, over the whole variable or its rows at indices.
 * Start at `denseStep`.
 */

import {
  type DType,
  formatShape,
  isStatic,
  mergeShapes,
  type Shape,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  type Absent,
  type Access,
  type AttrSpecs,
  absent,
  attr,
  defineOp,
  type Inferred,
  type OnnxValue,
  type OpDef,
  type Spec,
} from "../graph/index.ts";
import { copyOf, rowsOf } from "./kernels/accumulate.ts";
import type { Step } from "./kernels/optimizer-steps.ts";
import { NUMBER_TYPES } from "./signatures.ts";
import { handleOf } from "./state.ts";
import { fromCalc, hostCalc, isCalculable, onnxCalc, toCalc } from "./training-calc.ts";

const IS_REF = absent("its output is the variable after the update, which the session holds");

type Kind = "resource" | "ref";
type Specs = Readonly<Record<string, Spec>>;
type Tensors = Readonly<Record<string, Tensor>>;

/** An op's inputs in order, in words: variables first, then the rest; `grad` or `delta` has their shape, other floats are scalars. */
interface Arguments {
  readonly variables: readonly string[];
  readonly others: readonly string[];
}

const words = (text: string): string[] => text.split(" ").filter((w) => w !== "");

function parse(text: string): Arguments {
  const [variables, others] = text.split("|") as [string, string];
  return { variables: words(variables), others: words(others) };
}

const isGradient = (name: string): boolean => name === "grad" || name === "delta";

const typeOf = (name: string): string => (name === "indices" ? "Tindices" : "T");

function inputsOf({ variables, others }: Arguments, kind: Kind): Record<string, string> {
  const variable = kind === "resource" ? "resource" : "ref(T)";
  return Object.fromEntries([...variables.map((v) => [v, variable]), ...others.map((o) => [o, typeOf(o)])]);
}

/** Shapes of all variables and of the gradient, merged; scalars are scalars. */
function inferStep(args: Arguments, kind: Kind, inputs: Specs, T: DType): readonly Inferred[] {
  const isSparse = args.others.includes("indices");
  let shape: Shape | null = null;
  for (const name of args.variables) {
    const x = inputs[name]!;
    shape = mergeShapes(shape, kind === "resource" ? handleOf(x, T).shape : x.shape);
  }
  for (const name of args.others) {
    const x = inputs[name]!;
    if (isGradient(name)) {
      if (isSparse) mergeRows(shape, x.shape, inputs.indices!.shape);
      else shape = mergeShapes(shape, x.shape);
    } else if (name === "indices") requireRank(x.shape, 1);
    else requireRank(x.shape, 0);
  }
  return kind === "ref" ? [{ shape }] : [];
}

function mergeRows(variable: Shape | null, grad: Shape | null, indices: Shape | null): void {
  if (grad === null || variable === null) return;
  mergeShapes([indices?.[0] ?? null, ...variable.slice(1)], grad);
}

function requireRank(shape: Shape | null, rank: number): void {
  if (shape === null || shape.length === rank) return;
  throw new VarscopeError("INVALID_ARGUMENT", `Shape must be rank ${rank} but is rank ${shape.length}`);
}

const kernelAttrs = (extra: AttrSpecs, isSparse: boolean): AttrSpecs => ({
  T: attr.type(...NUMBER_TYPES),
  ...(isSparse ? { Tindices: attr.type("int32", "int64") } : {}),
  use_locking: attr.bool({ default: false }),
  ...extra,
});

const accessOf = (args: Arguments): Record<string, Access> =>
  Object.fromEntries(args.variables.map((name) => [name, "update"]));

function requireFloat(T: DType): void {
  if (isCalculable(T)) return;
  throw new VarscopeError("UNIMPLEMENTED", `no kernel for ${T}`, {
    hint: "optimizers train half, bfloat16, float and double",
  });
}

/** TensorFlow's sentences for shapes that only a run shows. */
function checkShapes(args: Arguments, x: Tensors): void {
  const shape = x.var!.shape;
  const isSparse = args.others.includes("indices");
  const same = [...args.variables.slice(1), ...(isSparse ? [] : args.others.filter(isGradient))];
  for (const name of same) {
    if (x[name]!.shape.join() === shape.join()) continue;
    const what = `var and ${name} do not have the same shape${formatShape(shape)} ${formatShape(x[name]!.shape)}`;
    throw new VarscopeError("INVALID_ARGUMENT", what);
  }
  for (const name of args.others) {
    if (isGradient(name) || name === "indices" || x[name]!.shape.length === 0) continue;
    throw new VarscopeError("INVALID_ARGUMENT", `${name} is not a scalar: ${formatShape(x[name]!.shape)}`);
  }
}

function stepOnHost(
  args: Arguments,
  step: Step,
  x: Tensors,
  attrs: Readonly<Record<string, unknown>>,
): Record<string, Tensor> {
  requireFloat(attrs.T as DType);
  checkShapes(args, x);
  const calc = hostCalc(attrs.T as DType);
  const values = Object.fromEntries(Object.entries(x).map(([k, t]) => [k, toCalc(t)]));
  const result = step(calc, values, attrs);
  return Object.fromEntries(args.variables.map((name) => [name, fromCalc(result[name]!, x[name]!)]));
}

/** Row by row, so that an index that comes twice is applied twice. */
function rowsOnHost(
  args: Arguments,
  step: Step,
  x: Tensors,
  attrs: Readonly<Record<string, unknown>>,
): Record<string, Tensor> {
  requireFloat(attrs.T as DType);
  checkShapes(args, x);
  const { grad, indices } = x as { grad: Tensor; indices: Tensor };
  const [limit, ...tail] = x.var!.shape as [number, ...number[]];
  if (grad.shape.join() !== [indices.shape[0], ...tail].join()) {
    const what = `grad must have shape [${[indices.shape[0], ...tail]}], one row for each index, not ${formatShape(grad.shape)}`;
    throw new VarscopeError("INVALID_ARGUMENT", what);
  }
  const width = sizeOf(tail);
  const row = (t: Tensor, i: number): Tensor => ({
    dtype: t.dtype,
    shape: tail,
    data: (t.data as Float32Array).subarray(i * width, (i + 1) * width),
  });
  const out = Object.fromEntries(args.variables.map((name) => [name, copyOf(x[name]!)]));
  const dense: Arguments = { ...args, others: args.others.filter((o) => o !== "indices") };
  const scalars = Object.fromEntries(dense.others.map((o) => [o, x[o]!]));
  rowsOf(indices, limit).forEach((r, i) => {
    const here = Object.fromEntries(args.variables.map((name) => [name, row(out[name]!, r)]));
    const next = stepOnHost(dense, step, { ...scalars, ...here, grad: row(grad, i) }, attrs);
    for (const name of args.variables)
      (here[name]!.data as Float32Array).set(next[name]!.data as Float32Array);
  });
  return out;
}

const canLower = (T: DType): boolean => T === "float32" || T === "float64";

function define(type: string, kind: Kind, text: string, step: Step, extra: AttrSpecs): OpDef {
  const args = parse(text);
  const isSparse = args.others.includes("indices");
  const none: (() => never[]) | Absent = kind === "ref" ? IS_REF : () => [];
  const gradient = args.others.find(isGradient)!;
  const run = isSparse ? rowsOnHost : stepOnHost;
  return defineOp(type, {
    inputs: inputsOf(args, kind),
    outputs: kind === "ref" ? { out: "ref(T)" } : ({} as Record<string, string>),
    attrs: kernelAttrs(extra, isSparse),
    stateful: kind === "resource",
    infer: (inputs, attrs) => inferStep(args, kind, inputs as Specs, attrs.T as DType),
    grad: absent("TensorFlow registers none"),
    access: accessOf(args),
    lower: none,
    // rows: ONNX would scatter all at once, and an index that comes twice would count once
    lowers: (attrs, inputs) =>
      !isSparse && canLower(attrs.T as DType) && isStatic((inputs as Specs)[gradient]!.shape),
    host: none,
    ...(isSparse
      ? {}
      : {
          update: (onnx, inputs, attrs) =>
            step(onnxCalc(onnx, attrs.T as DType), inputs as Record<string, OnnxValue>, attrs),
        }),
    updateHost: (inputs, attrs) => run(args, step, inputs as Tensors, attrs),
  });
}

/** An op that changes resource variables. `text`: "var slot... | other inputs in order". */
export const resourceStep = (type: string, text: string, step: Step, extra: AttrSpecs = {}): OpDef =>
  define(type, "resource", text, step, extra);

/** An op that changes ref variables. */
export const refStep = (type: string, text: string, step: Step, extra: AttrSpecs = {}): OpDef =>
  define(type, "ref", text, step, extra);

export const NESTEROV = { use_nesterov: attr.bool({ default: false }) };
export const UPDATE_SLOTS = { update_slots: attr.bool({ default: true }) };
export const LINEAR_BY_LR = { multiply_linear_by_lr: attr.bool({ default: false }) };
