/**
 * @file Graph: TensorFlow's graph, its names, scopes and collections. Nodes are in `operation.ts`, how one comes about is in `node-builder.ts`, what is known of its values
 * in `spec.ts`. Start at `Graph.add`.
 */

import { type DType, isVarscopeError, type Nested, type Tensor, VarscopeError } from "../base/index.ts";
import type { Attrs } from "./attr.ts";
import { constantAttrs } from "./constant.ts";
import type { CustomGradient } from "./custom-gradient.ts";
import type { Device } from "./device.ts";
import { Namer } from "./names.ts";
import { buildNode, type NodeOptions } from "./node-builder.ts";
import type { OpDef, Registry } from "./op-def.ts";
import { type ControlFlowContext, type Input, Operation, Output } from "./operation.ts";

interface ControlFrame {
  readonly ops: readonly Operation[];
  /** ops made inside the frame: an op that reads one of them depends on `ops` already */
  readonly seen: Set<Operation>;
}

/** A TensorFlow graph. Graphs share nothing. */
export class Graph {
  readonly registry: Registry;
  readonly operations: Operation[] = [];
  readonly namer = new Namer();
  /** collections by key, as TF's `update_ops`, `variables`, ... */
  readonly collections = new Map<string, unknown[]>();
  /** function library: encoded FunctionDef by name */
  readonly functions = new Map<string, Uint8Array>();
  /** encoded GradientDef messages of the function library */
  readonly functionGradients: Uint8Array[] = [];
  /** of ops with the attribute `_gradient_op_type`, by its value; null: several models mean different ones */
  readonly customGradients = new Map<string, CustomGradient | null>();
  versions: { producer: number; minConsumer: number; badConsumers: readonly number[] };
  /** graph-level random seed; null when not set */
  seed: number | null = null;
  /** random ops that got their op seed from the graph, which numbers them */
  seedsGiven = 0;
  /** control-flow context for new ops */
  context: ControlFlowContext | null = null;
  finalized = false;
  /** grows with every change of the graph: plans made before are stale */
  version = 0;
  private readonly byName = new Map<string, Operation>();
  private controlStack: ControlFrame[] = [];
  private deviceStack: Device[] = [];
  private colocationStack: (Operation | null)[] = [];
  private attrScope: Attrs = {};

  constructor(registry: Registry) {
    this.registry = registry;
    // TF 2.21 writes this producer. @see core/public/release_version.h TF_GRAPH_DEF_VERSION
    this.versions = { producer: 2474, minConsumer: 0, badConsumers: [] };
  }

  /** Adds an op and returns its first output. @throws VarscopeError INVALID_ARGUMENT - inputs, attributes or name do not fit */
  add(type: OpDef | string, inputs: readonly Input[], options: NodeOptions = {}): Output {
    return this.addOp(type, inputs, options).output(0);
  }

  /** Adds an op: names it, converts values to constants, infers attributes and shapes, checks all. */
  addOp(type: OpDef | string, inputs: readonly Input[], options: NodeOptions = {}): Operation {
    const def = typeof type === "string" ? this.registry.get(type) : type;
    if (def === undefined) throw new VarscopeError("NOT_FOUND", `Op type not registered '${String(type)}'`);
    return buildNode(this, def, inputs, options);
  }

  /**
   * A Const. Numbers are float32 unless `dtype` says otherwise; bigint int64, booleans bool, text string.
   * @param shape - fills the shape with a single value, or gives a flat list its shape
   */
  constant(
    value: Tensor | Nested,
    options: { dtype?: DType; shape?: readonly number[]; name?: string } = {},
  ): Output {
    return this.add("Const", [], { name: options.name ?? "Const", attrs: constantAttrs(value, options) });
  }

  /** Opens a name scope: `name` is made unique, `name/` re-entered exactly, null the root. */
  nameScope<R>(name: string | null, body: (scope: string) => R): R {
    return this.namer.within(name, body);
  }

  uniqueName(name: string, markAsUsed = true): string {
    return this.namer.unique(name, markAsUsed);
  }

  /** Ops made in `body` run after `ops`. null clears the outer dependencies. */
  controlDependencies<R>(ops: readonly (Operation | Output)[] | null, body: () => R): R {
    const outer = this.controlStack;
    const context = this.context;
    if (ops === null) {
      this.controlStack = [];
      this.context = null;
    } else {
      const current = new Set(outer.flatMap((frame) => frame.ops));
      const added = new Set(
        ops.map((x) => (x instanceof Output ? x.op : x)).filter((op) => !current.has(op)),
      );
      // TensorFlow marks them so, and its files say it. @see python/framework/ops.py "control_dependencies"
      for (const op of added) op.setAttr("_has_manual_control_dependencies", true);
      this.controlStack = [...outer, { ops: [...added], seen: new Set<Operation>() }];
    }
    try {
      return body();
    } finally {
      this.controlStack = outer;
      this.context = context;
    }
  }

  /** Ops made in `body` get this device, or what the function chooses for each; inner devices override field by field. null clears. */
  withDevice<R>(device: Device | null, body: () => R): R {
    const outer = this.deviceStack;
    this.deviceStack = device === null ? [] : [...outer, device];
    try {
      return body();
    } finally {
      this.deviceStack = outer;
    }
  }

  /** Ops made in `body` are colocated with `op` (attr `_class`). `ignoreExisting` forgets outer colocations. */
  colocateWith<R>(op: Operation | Output | null, body: () => R, ignoreExisting = false): R {
    const outer = this.colocationStack;
    const devices = this.deviceStack;
    const target = op instanceof Output ? op.op : op;
    this.colocationStack = ignoreExisting || target === null ? [target] : [...outer, target];
    this.deviceStack = []; // colocation is stronger than open devices, as in TensorFlow's colocate_with
    try {
      return body();
    } finally {
      this.colocationStack = outer;
      this.deviceStack = devices;
    }
  }

  /** Ops made in `body` get these attributes where they have none of the name: what a colocation with an op to come needs. */
  withAttrs<R>(attrs: Attrs, body: () => R): R {
    const outer = this.attrScope;
    this.attrScope = { ...outer, ...attrs };
    try {
      return body();
    } finally {
      this.attrScope = outer;
    }
  }

  /** Op by name. @throws VarscopeError NOT_FOUND, or INVALID_ARGUMENT for a tensor's name - as TensorFlow says it */
  operation(name: string): Operation {
    const op = this.byName.get(name);
    if (op !== undefined) return op;
    if (/:\d+$/.test(name)) {
      const what = `Name '${name}' appears to refer to a Tensor, not a Operation.`;
      throw new VarscopeError("INVALID_ARGUMENT", what);
    }
    throw new VarscopeError("NOT_FOUND", `The name '${name}' refers to an Operation not in the graph.`);
  }

  findOperation(name: string): Operation | undefined {
    return this.byName.get(name);
  }

  /** Output by `op:index`. @throws VarscopeError NOT_FOUND or INVALID_ARGUMENT - as TensorFlow says it */
  output(name: string): Output {
    const match = /^(.*):(\d+)$/.exec(name);
    if (match === null) {
      const isOp = this.byName.has(name);
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        isOp
          ? `The name '${name}' refers to an Operation, not a Tensor. Tensor names must be of the form "<op_name>:<output_index>".`
          : `The name '${name}' looks like an (invalid) Operation name, not a Tensor. Tensor names must be of the form "<op_name>:<output_index>".`,
      );
    }
    const op = this.byName.get(match[1]!);
    if (op === undefined) {
      throw new VarscopeError(
        "NOT_FOUND",
        `The name '${name}' refers to a Tensor which does not exist. The operation, '${match[1]}', does not exist in the graph.`,
      );
    }
    try {
      return op.output(Number(match[2]));
    } catch (e) {
      if (!isVarscopeError(e)) throw e;
      throw new VarscopeError(
        "NOT_FOUND",
        `The name '${name}' refers to a Tensor which does not exist. The operation, '${op.name}', exists but only has ${op.outputs.length} outputs.`,
      );
    }
  }

  addToCollection(key: string, value: unknown): void {
    this.checkNotFinalized();
    if (!this.collections.has(key)) this.collections.set(key, []);
    this.collections.get(key)!.push(value);
  }

  addToCollections(keys: Iterable<string>, value: unknown): void {
    for (const key of new Set(keys)) this.addToCollection(key, value);
  }

  /** The collection itself, made where it is not there yet: changes of the list change the graph. */
  getCollectionRef<T = unknown>(key: string): T[] {
    if (!this.collections.has(key)) this.collections.set(key, []);
    return this.collections.get(key) as T[];
  }

  clearCollection(key: string): void {
    this.checkNotFinalized();
    this.collections.delete(key);
  }

  /** A copy of a collection; with `scope`, the items whose name matches it as a regular expression at its start; items without a name drop out. */
  getCollection<T = unknown>(key: string, scope?: string): T[] {
    const items = (this.collections.get(key) ?? []) as T[];
    if (scope === undefined) return [...items];
    const pattern = scopePattern(scope);
    return items.filter((x) => {
      const name = (x as { name?: unknown } | null)?.name;
      return typeof name === "string" && pattern.test(name);
    });
  }

  /** No more changes. */
  finalize(): void {
    this.finalized = true;
  }

  /** For node builders: registers a new op under an exact name. */
  register(name: string, type: string, attrs: Attrs): Operation {
    this.checkNotFinalized();
    if (this.byName.has(name)) {
      throw new VarscopeError("INVALID_ARGUMENT", `Duplicate node name in graph: '${name}'`);
    }
    const op = new Operation(this, name, type, attrs, this.operations.length);
    this.operations.push(op);
    this.byName.set(name, op);
    this.namer.reserve(name);
    this.version++;
    return op;
  }

  /** For importers: takes back all ops but the first `count`. Their names stay in use. */
  takeBack(count: number): void {
    for (const op of this.operations.splice(count)) {
      this.byName.delete(op.name);
      for (const x of op.inputs) x.op.consumers.delete(op);
      for (const source of op.controlInputs) source.consumers.delete(op);
    }
    this.version++;
  }

  private checkNotFinalized(): void {
    if (!this.finalized) return;
    throw new VarscopeError("FAILED_PRECONDITION", "Graph is finalized and cannot be modified.");
  }

  /** For node builders: control inputs of a new op from the open frames, without those that its inputs imply. */
  pendingControlInputs(inputs: readonly Output[]): Operation[] {
    const ops = new Set<Operation>();
    for (const frame of this.controlStack) {
      if (inputs.some((x) => frame.seen.has(x.op))) continue;
      for (const op of frame.ops) if (!inputs.some((x) => x.op === op)) ops.add(op);
    }
    return [...ops];
  }

  /** For node builders: a new op was made inside all open frames. */
  noteCreated(op: Operation): void {
    for (const frame of this.controlStack) frame.seen.add(op);
  }

  get devices(): readonly Device[] {
    return this.deviceStack;
  }

  get scopeAttrs(): Attrs {
    return this.attrScope;
  }

  get colocations(): readonly (Operation | null)[] {
    return this.colocationStack;
  }
}

/** A scope as collections are filtered by it: a regular expression at the start. @throws VarscopeError INVALID_ARGUMENT - it is none */
export function scopePattern(scope: string): RegExp {
  try {
    return new RegExp(`^(?:${scope})`);
  } catch (cause) {
    throw new VarscopeError("INVALID_ARGUMENT", `'${scope}' is not a regular expression`, { cause });
  }
}
