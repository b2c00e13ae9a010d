/** @file A case as a graph of ours, with the names that tools/goldens/ops.py gives. Start at `buildCase`. */

import { type DType, type Nested, sizeOf, type Tensor } from "../../src/base/index.ts";
import { type Attrs, Graph, type Input, type Operation, type Output } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import {
  type CaseGolden,
  flatten,
  type InputCase,
  type MadeCase,
  type Many,
  type OpCase,
  type OperandCase,
  readAttrs,
  readTensor,
  regroup,
} from "./golden-json.ts";

export interface CaseInput {
  readonly output: Output;
  /** of what another op makes: none */
  readonly value: Tensor;
  readonly kind: "feed" | "const" | "variable" | "made";
}

export interface CaseGraph {
  readonly graph: Graph;
  readonly op: Operation;
  /** flat */
  readonly inputs: readonly CaseInput[];
  /** gives the variables their values */
  readonly init: readonly Operation[];
  /** the variable behind flat input i */
  readonly reads: ReadonlyMap<number, Output>;
  /** plain outputs of the ops that read the case's op */
  readonly then: readonly Output[];
}

/** Changes of a case: other values for its inputs, another dtype for its attributes. */
export interface CaseOptions {
  readonly inputs?: readonly Tensor[];
  readonly attrs?: Attrs;
}

/** Attributes that the case gives, as values. */
export function caseAttrs(test: OpCase, golden: CaseGolden): Attrs {
  const given = Object.keys(test.attrs ?? {});
  // A case may write an attribute in short; NodeDef has it whole. A case that fails has no NodeDef.
  const from = golden.node?.[3] ?? test.attrs ?? {};
  return readAttrs(Object.fromEntries(given.map((k) => [k, from[k]])));
}

/** Builds placeholders, constants and variables, and the op that the case is about. */
export function buildCase(
  type: string,
  test: OpCase,
  golden: CaseGolden,
  options: CaseOptions = {},
): CaseGraph {
  const graph = new Graph(CORE_OPS);
  const specs = flatten<InputCase>(test.inputs ?? []);
  const values = options.inputs ?? flatten(golden.inputs).map((t) => (t === null ? NONE : readTensor(t)));
  const init: Operation[] = [];
  const reads = new Map<number, Output>();
  const inputs: CaseInput[] = [];
  const operands = { flat: inputs, result: null };
  const build = (spec: InputCase, i: number): CaseInput => {
    const value = values[i]!;
    if (spec.made !== undefined || spec.of !== undefined)
      return { output: operand(graph, spec as OperandCase, `in_${i}`, operands), value, kind: "made" };
    if (spec.resource !== undefined)
      return { output: resource(graph, spec, value, i, init, reads), value, kind: "variable" };
    if (spec.ref === true)
      return { output: refVariable(graph, value, i, init, reads), value, kind: "variable" };
    if (test.const?.includes(i))
      return { output: graph.constant(value, { name: `in_${i}` }), value, kind: "const" };
    const shape = test.shapes === undefined ? value.shape : test.shapes[i]!;
    const attrs = { dtype: value.dtype, shape: { dims: shape } };
    return { output: graph.add("Placeholder", [], { name: `in_${i}`, attrs }), value, kind: "feed" };
  };
  for (const [i, spec] of specs.entries()) inputs.push(build(spec, i));
  const args = regroup(test.inputs ?? [], inputs.map((x) => x.output).values()) as Input[];
  const op = graph.addOp(type, args, { name: "op", attrs: options.attrs ?? caseAttrs(test, golden) });
  const then = (test.then ?? []).flatMap((spec, i) =>
    plainOutputs(make(graph, spec, `then_${i}`, { flat: inputs, result: op })),
  );
  return { graph, op, inputs, init, reads, then };
}

const NONE: Tensor = { dtype: "invalid", shape: [0], data: [] };

/** Outputs that have a value outside a run. */
export const plainOutputs = (op: Operation): Output[] =>
  op.outputs.filter((x) => x.dtype !== "resource" && x.dtype !== "variant");

interface Operands {
  readonly flat: readonly CaseInput[];
  readonly result: Operation | null;
}

function operand(graph: Graph, spec: OperandCase, name: string, operands: Operands): Output {
  if ("of" in spec) return operands.flat[spec.of]!.output.op.output(spec.output ?? 0);
  if ("out" in spec) return operands.result!.output(spec.out);
  if ("made" in spec) return make(graph, spec, name, operands).output(spec.output ?? 0);
  const { dtype, shape } = spec;
  return graph.constant(spec.values as Nested, { name, dtype, ...(shape === undefined ? {} : { shape }) });
}

function make(graph: Graph, spec: MadeCase, name: string, operands: Operands): Operation {
  const args = (spec.inputs ?? []).map((given, i): Input => {
    const item = (x: Many<OperandCase>, n: string): Input =>
      Array.isArray(x)
        ? x.map((y, k) => item(y, `${n}_${k}`))
        : operand(graph, x as OperandCase, n, operands);
    return item(given, `${name}_${i}`);
  });
  return graph.addOp(spec.made, args, { name, attrs: readAttrs(spec.attrs ?? {}) });
}

function resource(
  graph: Graph,
  spec: InputCase,
  value: Tensor,
  i: number,
  init: Operation[],
  reads: Map<number, Output>,
): Output {
  const dims = spec.handleShape === undefined ? value.shape : spec.handleShape;
  const attrs = { dtype: value.dtype, shape: { dims }, shared_name: `in_${i}` };
  const handle = graph.add("VarHandleOp", [], { name: `in_${i}`, attrs });
  if (spec.resource === "empty") return handle;
  init.push(graph.addOp("AssignVariableOp", [handle, graph.constant(value)]));
  reads.set(i, graph.add("ReadVariableOp", [handle], { attrs: { dtype: value.dtype } }));
  return handle;
}

function refVariable(
  graph: Graph,
  value: Tensor,
  i: number,
  init: Operation[],
  reads: Map<number, Output>,
): Output {
  const variable = graph.add("VariableV2", [], {
    name: `in_${i}`,
    attrs: { dtype: value.dtype, shape: { dims: value.shape } },
  });
  init.push(graph.addOp("Assign", [variable, graph.constant(value)]));
  reads.set(i, variable);
  return variable;
}

/** What to feed. */
export const feedsOf = (built: CaseGraph): Map<Output, Tensor> =>
  new Map(built.inputs.filter((x) => x.kind === "feed").map((x) => [x.output, x.value]));

/** float32 as float64, all else as it is; null where there is a narrower float. */
export function widened(t: Tensor): Tensor | null {
  if (t.dtype === "float32")
    return { dtype: "float64", shape: t.shape, data: Float64Array.from(t.data as Float32Array) };
  return t.dtype === "float16" || t.dtype === "bfloat16" ? null : t;
}

const wide = (dtype: unknown): unknown => (dtype === "float32" ? "float64" : dtype);

/** Attributes with float64 for float32, or null where the op does not take it. */
export function widenedAttrs(op: Operation): Attrs | null {
  const out: Record<string, Attrs[string]> = { ...op.attrs };
  for (const [name, spec] of Object.entries(op.needDef().attrs)) {
    if (spec.kind !== "type" && spec.kind !== "list(type)") continue;
    const value = op.attrs[name];
    const next = Array.isArray(value) ? value.map(wide) : wide(value);
    if (spec.allowed !== undefined && typeof next === "string" && !spec.allowed.includes(next)) return null;
    out[name] = next as DType;
  }
  return out;
}

/** A copy of a float64 tensor with one element moved. */
export function moved(t: Tensor, index: number, by: number): Tensor {
  const data = Float64Array.from(t.data as Float64Array);
  data[index]! += by;
  return { ...t, data };
}

export const isSmall = (t: Tensor): boolean => sizeOf(t.shape) <= 64;
