/**
 * @file Makes variables of both kinds with the nodes, names and collections that TensorFlow Python gives them. Start at `variable`; scopes
 * and sharing are in scope.ts.
 *
 * @see TensorFlow python/ops/ref_variable.py, python/ops/resource_variable_ops.py
 */

import { create } from "@bufbuild/protobuf";
import {
  type DType,
  formatPyShape,
  isCompatible,
  isStatic,
  type Shape,
  VarscopeError,
} from "../base/index.ts";
import {
  type Device,
  type Graph,
  type Input,
  isTensor,
  type Operation,
  Output,
  toTensor,
} from "../graph/index.ts";
import { type SaveSliceInfoDef, type VariableDef, VariableDefSchema } from "../proto/variable.gen.ts";
import { GraphKeys } from "./collections.ts";
import { guarded } from "./guard.ts";
import { addOpWith, type Operand, toInput } from "./operand.ts";
import { currentUseResource } from "./scope-state.ts";
import { Aggregation, type AssignOptions, Synchronization, type Variable } from "./variable.ts";

export interface VariableOptions {
  /** default "Variable"; made unique in the current name scope */
  readonly name?: string;
  /** true; then the variable is in `trainable_variables` too */
  readonly trainable?: boolean;
  /** of the initial value; by default its own */
  readonly dtype?: DType;
  /** ["variables"] */
  readonly collections?: readonly string[];
  /** by default the variable scope's, and that is false as after `tf.compat.v1.disable_v2_behavior()` */
  readonly useResource?: boolean;
  /** false: the initial value may have an unknown shape: true */
  readonly validateShape?: boolean;
  readonly shape?: Shape | null;
  readonly constraint?: (value: Output) => Output;
  readonly synchronization?: number;
  readonly aggregation?: number;
  /** where a copy of the value is kept for its readers; by default each reads the variable itself */
  readonly cachingDevice?: Device;
  /** of a part of a larger variable: which part, given the variable's own name */
  readonly saveSliceInfo?: (name: string) => SaveSliceInfoDef;
}

/** A value, or a function that builds it inside the variable's own scope `<name>/Initializer`. */
export type InitialValue = Input | (() => Input);

/**
 * A new variable with the nodes that `tf.compat.v1.Variable` makes. Its name follows name scopes; `getVariable` never finds it.
 *
 * @throws VarscopeError INVALID_ARGUMENT - the initial value's shape is unknown or not the one asked for
 */
export function variable(graph: Graph, initialValue: InitialValue, options: VariableOptions = {}): Variable {
  const trainable = options.trainable ?? options.synchronization !== Synchronization.ON_READ;
  const collections = [...(options.collections ?? [GraphKeys.GLOBAL_VARIABLES])];
  if (trainable && !collections.includes(GraphKeys.TRAINABLE_VARIABLES)) {
    collections.push(GraphKeys.TRAINABLE_VARIABLES);
  }
  const make = (options.useResource ?? currentUseResource(graph)) ? resourceNodes : refNodes;
  const v = outsideControl(graph, () =>
    graph.nameScope(options.name ?? "Variable", (scope) => make(graph, initialValue, scope, options)),
  );
  const made = fromNodes({
    ...v,
    trainable,
    synchronization: options.synchronization ?? Synchronization.AUTO,
    aggregation: options.aggregation ?? Aggregation.NONE,
    constraint: options.constraint ?? null,
    cachingDevice: options.cachingDevice ?? null,
    saveSliceInfo: options.saveSliceInfo?.(v.handle.op.name) ?? null,
  });
  for (const key of collections) graph.addToCollection(key, made);
  return made;
}

/** Variables stand outside conditionals and wait for nothing, wherever they are made. */
const outsideControl = <R>(graph: Graph, body: () => R): R => graph.controlDependencies(null, body);

interface Nodes {
  readonly handle: Output;
  readonly initializer: Operation;
  readonly initialValue: Output | null;
  readonly snapshot: Output;
  readonly isInitialized: Output | null;
  readonly shape: Shape | null;
}

/** The attribute that puts the initial value's ops where the variable will be. */
const atVariable = (name: string) => ({ _class: [`loc:@${name}`] });

function refNodes(graph: Graph, given: InitialValue, scope: string, options: VariableOptions): Nodes {
  const at = scope.slice(0, -1);
  const validateShape = options.validateShape ?? true;
  const make = (initial: Output): Output => {
    const shape = options.shape ?? (validateShape ? initial.shape : null);
    return graph.add("VariableV2", [], {
      name: scope,
      attrs: { dtype: initial.dtype, shape: { dims: shape } },
    });
  };
  let initial: Output;
  let ref: Output;
  if (typeof given === "function") {
    [initial, ref] = graph.withAttrs(atVariable(at), () => {
      const value = inInitializer(graph, () => convert(graph, given(), options.dtype));
      return [value, make(value)] as const;
    });
  } else {
    initial = convert(graph, given, options.dtype);
    if (initial.op.context !== null) throw insideControlFlow(at);
    ref = make(initial);
  }
  if (validateShape && !isStatic(initial.shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `initial_value must have a shape specified: ${initial.name} has ${formatPyShape(initial.shape)}`,
      { at },
    );
  }
  const value = guarded(graph, scope, initial);
  const assign = graph.addOp("Assign", [ref, value], {
    name: "Assign",
    attrs: { validate_shape: validateShape },
  });
  const read = (): Output => graph.add("Identity", [ref], { name: "read" });
  const { cachingDevice } = options;
  const snapshot =
    cachingDevice === undefined ? graph.colocateWith(ref, read) : graph.withDevice(cachingDevice, read);
  return {
    handle: ref,
    initializer: assign,
    initialValue: initial,
    snapshot,
    isInitialized: null,
    shape: ref.shape,
  };
}

function resourceNodes(graph: Graph, given: InitialValue, scope: string, options: VariableOptions): Nodes {
  const at = scope.slice(0, -1);
  const [initial, handle] = graph.withAttrs(atVariable(at), () => {
    const value = inInitializer(graph, () =>
      convert(graph, typeof given === "function" ? given() : given, options.dtype),
    );
    if (options.shape !== undefined && !isCompatible(value.shape, options.shape)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `In this \`tf.Variable\` creation, the initial value's shape (${formatPyShape(value.shape)}) is not compatible with the explicitly supplied \`shape\` argument (${formatPyShape(options.shape)}).`,
        { at },
      );
    }
    const shape = options.shape ?? value.shape;
    const attrs = { dtype: value.dtype, shape: { dims: shape }, shared_name: at, debug_name: scope };
    return [value, graph.add("VarHandleOp", [], { name: scope, attrs })] as const;
  });
  if (typeof given !== "function" && initial.op.context !== null) throw insideControlFlow(at);
  const isInitialized = graph.nameScope("IsInitialized", () => graph.add("VarIsInitializedOp", [handle]));
  const { device } = handle.op;
  const initializer = graph.nameScope("Assign", (name) =>
    nowhere(graph, () =>
      graph.withDevice(device, () => {
        const value = guarded(graph, scope, initial);
        return graph.addOp("AssignVariableOp", [handle, value], { name });
      }),
    ),
  );
  const { cachingDevice } = options;
  const snapshot = graph.nameScope("Read", () => {
    const read = graph.withDevice(device, () => readOf(handle, initial.dtype));
    const copy = (): Output => graph.add("Identity", [read]);
    return cachingDevice === undefined ? read : onDevice(graph, cachingDevice, copy);
  });
  const shape = handle.handle?.shape ?? options.shape ?? initial.shape;
  return { handle, initializer, initialValue: initial, snapshot, isInitialized, shape };
}

function insideControlFlow(at: string): VarscopeError {
  return new VarscopeError(
    "INVALID_ARGUMENT",
    `Initializer for variable ${at} is from inside a control-flow construct, such as a loop or conditional. When creating a variable inside a loop or conditional, use a lambda as the initializer.`,
    { at },
  );
}

const inInitializer = (graph: Graph, body: () => Output): Output =>
  graph.nameScope("Initializer", () => graph.withDevice(null, body));

/** Forgets colocations. */
const nowhere = <R>(graph: Graph, body: () => R): R => graph.colocateWith(null, body, true);

/** On this device, whatever is open. */
const onDevice = <R>(graph: Graph, device: Device, body: () => R): R =>
  nowhere(graph, () => graph.withDevice(device, body));

/** An output; a value becomes a Const named `initial_value`. */
function convert(graph: Graph, value: Input, dtype: DType | undefined): Output {
  if (!(value instanceof Output)) {
    const t = toTensor(value as never, dtype ?? (isTensor(value) ? value.dtype : undefined));
    return graph.constant(t, { name: "initial_value" });
  }
  if (dtype !== undefined && value.dtype !== dtype) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `the initial value is ${value.dtype}, ${dtype} was asked for`,
      {
        at: value.name,
      },
    );
  }
  return value;
}

const readOf = (handle: Output, dtype: DType): Output =>
  handle.graph.add("ReadVariableOp", [handle], { attrs: { dtype } });

interface Parts extends Nodes {
  readonly trainable: boolean;
  readonly synchronization: number;
  readonly aggregation: number;
  readonly constraint: ((value: Output) => Output) | null;
  readonly cachingDevice: Device | null;
  readonly saveSliceInfo: SaveSliceInfoDef | null;
}

function fromNodes(parts: Parts): Variable {
  const { handle, initializer, initialValue, snapshot, isInitialized, shape } = parts;
  const { op, graph } = handle;
  const dtype = handle.dtype === "resource" ? snapshot.dtype : handle.dtype;
  const isResource = handle.dtype === "resource";
  const isCached = isResource && snapshot.op.type !== "ReadVariableOp";
  const { cachingDevice: device } = parts;
  const read = (): Output =>
    device === null ? readOf(handle, dtype) : onDevice(graph, device, () => readOf(handle, dtype));
  const self: Variable = {
    graph,
    name: handle.name,
    op,
    handle,
    isResource,
    dtype,
    shape,
    trainable: parts.trainable,
    synchronization: parts.synchronization,
    aggregation: parts.aggregation,
    initializer,
    initialValue,
    snapshot,
    isInitialized,
    constraint: parts.constraint,
    saveSliceInfo: parts.saveSliceInfo,
    value: () => (isResource && !isCached ? nowhere(graph, read) : snapshot),
    readValue() {
      if (!isResource) return graph.add("Identity", [handle], { name: "read" });
      return graph.add("Identity", [graph.nameScope("Read", read)]);
    },
    assign: (value, options = {}) => write(self, "assign", value, options),
    assignAdd: (delta, options = {}) => write(self, "add", delta, options),
    assignSub: (delta, options = {}) => write(self, "sub", delta, options),
    toProto: () => protoOf(self),
  };
  return self;
}

const WRITES = {
  assign: { ref: "Assign", resource: "AssignVariableOp" },
  add: { ref: "AssignAdd", resource: "AssignAddVariableOp" },
  sub: { ref: "AssignSub", resource: "AssignSubVariableOp" },
} as const;

/** What an assignment makes: its op, and the value after it. */
export interface Written {
  readonly op: Operation;
  /** of a resource read anew, after the op */
  readonly value: Output;
}

/** Assigns, adds or subtracts, and gives both the op and the value after it. */
export function writeVariable(
  v: Variable,
  verb: keyof typeof WRITES,
  value: Operand,
  options: Omit<AssignOptions, "readValue"> = {},
): Written {
  const op = writeOp(v, verb, value, options);
  if (!v.isResource) return { op, value: op.output(0) };
  return { op, value: v.graph.controlDependencies([op], () => readOf(v.handle, v.dtype)) };
}

function write(
  v: Variable,
  verb: keyof typeof WRITES,
  value: Operand,
  options: AssignOptions,
): Output | Operation {
  return options.readValue === false
    ? writeOp(v, verb, value, options)
    : writeVariable(v, verb, value, options).value;
}

/** An addition to a cached resource waits for the copy that its readers share. */
function writeOp(v: Variable, verb: keyof typeof WRITES, value: Operand, options: AssignOptions): Operation {
  const isCached = v.isResource && v.snapshot.op.type !== "ReadVariableOp";
  const write = (): Operation => bareWrite(v, verb, value, options);
  return isCached && verb !== "assign" ? v.graph.controlDependencies([v.snapshot], write) : write();
}

function bareWrite(
  v: Variable,
  verb: keyof typeof WRITES,
  value: Operand,
  options: AssignOptions,
): Operation {
  const { graph, handle } = v;
  const type = WRITES[verb][v.isResource ? "resource" : "ref"];
  if (!v.isResource) {
    const attrs = { use_locking: options.useLocking ?? false };
    return addOpWith(graph, type, [handle, value], { name: options.name, attrs });
  }
  // TensorFlow converts before the op has its name, so a literal is a Const of its own
  const given = toInput(value);
  const input = given instanceof Output ? given : graph.constant(toTensor(given as never, v.dtype));
  if (verb !== "assign") return graph.addOp(type, [handle, input], { name: options.name });
  if (!isCompatible(v.shape, input.shape)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Cannot assign value to variable ' ${v.name}': Shape mismatch.The variable shape ${formatPyShape(v.shape)}, and the assigned value shape ${formatPyShape(input.shape)} are incompatible.`,
    );
  }
  return graph.addOp(type, [handle, input], {
    name: options.name,
    attrs: { validate_shape: isStatic(v.shape) },
  });
}

function protoOf(v: Variable): VariableDef {
  return create(VariableDefSchema, {
    variableName: v.name,
    initialValueName: v.initialValue?.name ?? "",
    initializerName: v.initializer.name,
    snapshotName: v.snapshot.name,
    isResource: v.isResource,
    trainable: v.trainable,
    synchronization: v.synchronization,
    aggregation: v.aggregation,
    ...(v.saveSliceInfo === null ? {} : { saveSliceInfoDef: v.saveSliceInfo }),
  });
}

/**
 * The variable whose nodes are in the graph already, as a MetaGraph's collection describes it.
 *
 * @param scope - the name scope that the graph was imported under
 * @throws VarscopeError NOT_FOUND - a node that it names is missing
 */
export function variableFromProto(graph: Graph, def: VariableDef, scope = ""): Variable {
  const inside = (name: string): string => (scope === "" ? name : `${scope}/${name}`);
  const handle = graph.output(inside(def.variableName));
  const snapshot = graph.output(inside(def.snapshotName || `${handle.op.name}/Read/ReadVariableOp:0`));
  const probe = graph.findOperation(`${handle.op.name}/IsInitialized/VarIsInitializedOp`);
  return fromNodes({
    handle,
    // after init_from_checkpoint TensorFlow names an output here
    initializer: graph.operation(inside(def.initializerName.replace(/:0$/, ""))),
    initialValue: def.initialValueName === "" ? null : graph.output(inside(def.initialValueName)),
    snapshot,
    isInitialized: probe?.output(0) ?? null,
    shape: def.isResource ? (handle.handle?.shape ?? snapshot.shape) : handle.shape,
    trainable: def.trainable,
    synchronization: def.synchronization,
    aggregation: def.aggregation,
    constraint: null,
    cachingDevice: null,
    saveSliceInfo: def.saveSliceInfoDef ?? null,
  });
}
