/** @file Operation and Output: a node of the graph and one of its results. Nodes are made by `Graph.addOp`. */

import { type DType, type Nested, type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import type { Attrs, AttrValue } from "./attr.ts";
import type { Graph } from "./graph.ts";
import type { IndexedSlices } from "./indexed-slices.ts";
import type { HandleSpec, OpDef, Spec } from "./op-def.ts";

/** What an op takes as input: outputs, rows (made dense), values that become constants, lists of them where the argument is a list. */
export type Input = Output | IndexedSlices | Tensor | Nested | readonly Input[];

/** Where ops are created inside a conditional or loop. It may rewire a new op's inputs. */
export interface ControlFlowContext {
  readonly name: string;
  readonly outer: ControlFlowContext | null;
  /** names of the values that are known inside */
  readonly values: Set<string>;
  readonly nested: ControlFlowContext[];
  /** takes a new op in */
  addOp(op: Operation): void;
  /** what stands for a value inside */
  addValue(x: Output): Output;
}

/** A node. Made by `Graph.addOp`; immutable but for attributes starting with `_`, device, control-flow rewiring, and `handOn`. */
export class Operation {
  readonly graph: Graph;
  readonly name: string;
  readonly type: string;
  /** undefined where the registry does not know the type: such an op can be kept and written, not run */
  readonly def: OpDef | undefined;
  readonly inputs: Output[] = [];
  readonly controlInputs: Operation[] = [];
  readonly outputs: Output[] = [];
  readonly consumers = new Set<Operation>();
  attrs: Attrs;
  device = "";
  /** control-flow context that it was made in */
  context: ControlFlowContext | null = null;
  /** position in `graph.operations` */
  readonly id: number;
  /** of the format that it was read from: what it takes to write it as it was */
  origin: unknown = null;
  /** grows with every change of its inputs */
  wiring = 0;

  constructor(graph: Graph, name: string, type: string, attrs: Attrs, id: number) {
    this.graph = graph;
    this.name = name;
    this.type = type;
    this.attrs = attrs;
    this.def = graph.registry.get(type);
    this.id = id;
  }

  /** The definition. @throws VarscopeError NOT_FOUND - the type is unknown here */
  needDef(): OpDef {
    if (this.def !== undefined) return this.def;
    throw new VarscopeError("NOT_FOUND", `Op type not registered '${this.type}'`, { at: this.name });
  }

  setAttr(name: string, value: AttrValue): void {
    this.attrs = { ...this.attrs, [name]: value };
  }

  /** The i-th output, made if an op of unknown type has not shown it yet. */
  output(index: number): Output {
    if (this.def === undefined) {
      while (this.outputs.length <= index)
        this.outputs.push(new Output(this, this.outputs.length, "invalid", false));
    }
    const output = this.outputs[index];
    if (output === undefined) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `output ${index} does not exist; ${this.type} has ${this.outputs.length} outputs`,
        {
          at: this.name,
        },
      );
    }
    return output;
  }

  /** Points input i elsewhere. For control-flow contexts and importers. */
  replaceInput(index: number, output: Output): void {
    const old = this.inputs[index]!;
    this.inputs[index] = output;
    if (!this.inputs.some((x) => x.op === old.op) && !this.controlInputs.includes(old.op))
      old.op.consumers.delete(this);
    output.op.consumers.add(this);
    this.rewired();
  }

  /**
   * Becomes an op that hands on `values`, one for each of its outputs, once `controls` have run: the same name and outputs, another type. For
   * what takes calls of functions apart.
   */
  handOn(values: readonly Output[], controls: readonly Operation[]): void {
    for (const [i, x] of values.entries()) Object.assign(this.output(i), { dtype: x.dtype });
    for (const x of this.inputs.splice(0)) x.op.consumers.delete(this);
    this.removeControlInputs([...this.controlInputs]);
    const type = values.length === 0 ? "NoOp" : "IdentityN";
    Object.assign(this, { type, def: this.graph.registry.get(type), origin: null });
    for (const y of this.outputs) y.known = null;
    this.attrs = values.length === 0 ? {} : { T: values.map((x) => x.dtype) };
    for (const x of values) this.addInput(x);
    this.addControlInputs(controls);
  }

  addInput(output: Output): void {
    this.inputs.push(output);
    output.op.consumers.add(this);
    this.rewired();
  }

  addControlInputs(ops: readonly Operation[]): void {
    if (ops.length === 0) return;
    const known = new Set(this.controlInputs); // some ops have very many
    for (const op of ops) {
      if (known.has(op)) continue;
      known.add(op);
      this.controlInputs.push(op);
      op.consumers.add(this);
    }
    this.rewired();
  }

  removeControlInputs(ops: Iterable<Operation>): void {
    for (const op of ops) {
      const i = this.controlInputs.indexOf(op);
      if (i >= 0) this.controlInputs.splice(i, 1);
      if (!this.inputs.some((x) => x.op === op)) op.consumers.delete(this);
    }
    this.rewired();
  }

  private rewired(): void {
    this.wiring++;
    this.graph.version++;
  }
}

/** A symbolic output of an operation, `op:index`. */
export class Output {
  readonly op: Operation;
  readonly index: number;
  readonly dtype: DType;
  /** a reference to a variable's buffer (TF1 ref variables) */
  readonly isRef: boolean;
  shape: Shape | null = null;
  /** of a resource: what the variable behind it holds */
  handle: HandleSpec | null = null;
  /** of spec.ts: what was found out about it while it had this shape */
  known: Spec | null = null;

  constructor(op: Operation, index: number, dtype: DType, isRef: boolean) {
    this.op = op;
    this.index = index;
    this.dtype = dtype;
    this.isRef = isRef;
  }

  get graph(): Graph {
    return this.op.graph;
  }

  get name(): string {
    return `${this.op.name}:${this.index}`;
  }
}
