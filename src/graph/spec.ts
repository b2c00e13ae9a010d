/**
 * @file What is known of outputs before a run: shapes by the op's own inference, values that follow from constants alone, and
 * int vectors as partial shapes. `inferOutputs` is for the graph, `inferWith` for a planner that knows more (fed shapes).
 */

import {
  isStatic,
  isVarscopeError,
  mergeShapes,
  type Shape,
  sizeOf,
  type Tensor,
  tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import {
  type Absent,
  groupArgs,
  type HandleSpec,
  type HostContext,
  type Inferred,
  isAbsent,
  type Spec,
} from "./op-def.ts";
import type { Operation, Output } from "./operation.ts";

/** Larger values are not folded while building. */
const MAX_FOLDED = 4096;

/** Where the specs of an op's inputs come from. */
export type SpecOf = (output: Output) => Spec;

/** A spec whose value and partial are found when asked for. */
export class LazySpec implements Spec {
  readonly dtype: Spec["dtype"];
  readonly shape: Shape | null;
  readonly handle: HandleSpec | null;
  private readonly output: Output;
  private readonly specOf: SpecOf;
  private known: Tensor | null | undefined;

  /** @param value - if it is known or known not to be constant; otherwise it is found when asked for */
  constructor(
    output: Output,
    shape: Shape | null,
    handle: HandleSpec | null,
    specOf: SpecOf,
    value?: Tensor | null,
  ) {
    this.output = output;
    this.dtype = output.dtype;
    this.shape = shape;
    this.handle = handle;
    this.specOf = specOf;
    this.known = value;
  }

  get value(): Tensor | null {
    if (this.known === undefined) {
      this.known = null; // a loop through a back edge finds nothing
      this.known = foldOutput(this.output, this.specOf);
    }
    return this.known;
  }

  get partial(): Shape | null {
    if (this.shape === null || this.shape.length > 1) return null;
    if (this.dtype !== "int32" && this.dtype !== "int64") return null;
    const value = this.value;
    if (value !== null) return dimsOf(value);
    const { op } = this.output;
    if (op.def?.partial === undefined) return null;
    const inputs = groupArgs(op.def.inputs, op.attrs, op.inputs.map(this.specOf));
    return op.def.partial(inputs as never, op.attrs as never, this.output.index);
  }
}

/** An int vector or scalar read as a shape; null for any other tensor. */
export function dimsOf(value: Tensor): Shape | null {
  if (value.shape.length > 1 || (value.dtype !== "int32" && value.dtype !== "int64")) return null;
  return Array.from(value.data as Int32Array, (d) => (d < 0 ? null : Number(d)));
}

/** What the graph knows of an output. */
export const specOf: SpecOf = (output) => {
  const { known } = output;
  if (known !== null && known.shape === output.shape && known.handle === output.handle) return known;
  const spec = new LazySpec(output, output.shape, output.handle, specOf);
  output.known = spec;
  return spec;
};

/** The value of an output that follows from constants alone, or null. */
export const constantValue = (output: Output): Tensor | null => specOf(output).value;

function foldOutput(output: Output, specs: SpecOf): Tensor | null {
  const { op } = output;
  const { def } = op;
  if (def === undefined || def.stateful || def.control !== undefined) return null;
  if (def.access !== undefined || def.variable !== undefined || isAbsent(def.host)) return null;
  if (op.inputs.length === 0 && def.type !== "Const" && Object.keys(def.attrs).includes("shape")) return null;
  const size = isStatic(output.shape) ? sizeOf(output.shape) : null;
  if (size !== null && size > MAX_FOLDED && op.inputs.length > 0) return null;
  const values = foldInputs(op, specs);
  if (values === null) return null;
  const host = def.host as Exclude<typeof def.host, Absent>;
  const result = host(groupArgs(def.inputs, op.attrs, values) as never, op.attrs as never, noContext(op));
  return result instanceof Promise ? null : (result[output.index] ?? null);
}

/** Values of all inputs; for an op that reads only shapes, stand-ins of the right shape. */
function foldInputs(op: Operation, specs: SpecOf): Tensor[] | null {
  const values: Tensor[] = [];
  for (const input of op.inputs) {
    const spec = specs(input);
    if (op.def!.shapeOnly === true && isStatic(spec.shape) && spec.dtype !== "variant") {
      values.push({ dtype: spec.dtype, shape: spec.shape, data: [] });
      continue;
    }
    const { value } = spec;
    if (value === null || sizeOf(value.shape) > MAX_FOLDED) return null;
    values.push(value);
  }
  return values;
}

const noContext = (op: Operation): HostContext => ({
  op,
  state: () => noSession(op),
  shared: () => noSession(op),
  entropy: () => noSession(op),
  get files() {
    return noSession(op);
  },
});

function noSession(op: Operation): never {
  throw new VarscopeError("INTERNAL", "a constant was folded that needs a session", { at: op.name });
}

/** Shapes of an op's outputs when its inputs are as `specs` says. @throws VarscopeError INVALID_ARGUMENT - naming the op */
export function inferWith(op: Operation, specs: SpecOf): readonly Inferred[] {
  const def = op.needDef();
  try {
    return def.infer(groupArgs(def.inputs, op.attrs, op.inputs.map(specs)), op.attrs);
  } catch (e) {
    if (!isVarscopeError(e) || e.at !== undefined) throw e;
    const shapes = op.inputs.map((x) => JSON.stringify(specs(x).shape)).join(", ");
    throw new VarscopeError(e.code, `${e.what} for '${op.type}' with input shapes: ${shapes}`, {
      at: op.name,
      cause: e,
      ...(e.hint === undefined ? {} : { hint: e.hint }),
    });
  }
}

/** Fills in the shapes of a new op's outputs. */
export function inferOutputs(op: Operation): void {
  const inferred = inferWith(op, specOf);
  op.outputs.forEach((output, i) => {
    const found = inferred[i];
    output.shape = mergeShapes(output.shape, found?.shape ?? null);
    output.handle = found?.handle ?? null;
  });
}

/** A made-up spec: for tests of `infer`. */
export const specLike = (dtype: Spec["dtype"], shape: Shape | null, value: Tensor | null = null): Spec => ({
  dtype,
  shape,
  value,
  partial: value === null ? null : toNumbers(value),
  handle: null,
});

/** Int values as a shape tensor. */
export const shapeTensor = (dims: readonly number[], dtype: "int32" | "int64" = "int32"): Tensor =>
  tensor([...dims], dtype, [dims.length]);
