/**
 * @file What a saver saves: variables, slices of partitioned ones and other saveable objects, each with its key. Start at `saveablesOf`.
 *
 * @see TensorFlow python/training/saving/saveable_object_util.py, saveable_object.py
 */

import { compareText, type DType, isStatic, type Shape, VarscopeError } from "../base/index.ts";
import type { Graph, Input, Operation, Output } from "../graph/index.ts";
import { globalVariables, isVariable, type Variable } from "../variables/index.ts";

/** One tensor of a saveable object. */
export interface SaveSpec {
  /** key in the checkpoint */
  readonly name: string;
  /** empty, or of a part `<full shape> <start>,<length>:...` */
  readonly slice: string;
  readonly dtype: DType;
  /** of the whole; null where any will do */
  readonly shape: Shape | null;
  /** where it is: decides the shard */
  readonly device: string;
  /** The tensor, or the reference; may add ops. */
  tensor(): Output;
}

/** What can be saved and restored beside variables: the state of an input pipeline, of a table. */
export interface SaveableObject {
  readonly name: string;
  readonly specs: readonly SaveSpec[];
  /** what it stands for: may be in a saver once */
  readonly op?: Operation;
  /** Ops that take the values of `specs`, in their order. `shapes`: into these, where the saver reshapes. */
  restore(tensors: readonly Output[], shapes: readonly Input[] | null): Operation;
}

/** A variable, the slices of a partitioned one, or another saveable object. */
export type Saveable = Variable | Iterable<Variable> | SaveableObject;

/** Saveables by checkpoint key. */
export type VariableMap = Readonly<Record<string, Saveable>> | ReadonlyMap<string, Saveable>;

const invalid = (what: string, options: { at?: string; hint?: string } = {}): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, options);

/** Key of the collection whose items a saver takes beside all variables. @see TensorFlow GraphKeys.SAVEABLE_OBJECTS */
const SAVEABLE_OBJECTS = "saveable_objects";

/** What a saver takes where it is told nothing. */
export const allSaveables = (graph: Graph): Saveable[] => [
  ...globalVariables(graph),
  ...graph.getCollection<SaveableObject>(SAVEABLE_OBJECTS),
];

const isSaveableObject = (x: unknown): x is SaveableObject =>
  typeof x === "object" && x !== null && "specs" in x && "restore" in x;
const isList = (x: unknown): x is Iterable<unknown> =>
  typeof x === "object" && x !== null && Symbol.iterator in x;

/**
 * What a saver of these variables saves, in the order of TensorFlow's files.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no variable among variables, one of them twice, slices of several variables
 */
export function saveablesOf(given: Iterable<Saveable> | VariableMap): SaveableObject[] {
  const named =
    given instanceof Map
      ? [...(given as ReadonlyMap<string, Saveable>)]
      : isList(given)
        ? byKey(flat(given as Iterable<Saveable>))
        : Object.entries(given as Record<string, Saveable>);
  const seen = new Map<Operation, string>();
  return [...named]
    .sort(([a], [b]) => compareText(a, b))
    .flatMap(([key, value]) => objectsOf(key, value))
    .map((saveable) => {
      const other = saveable.op && seen.get(saveable.op);
      if (other !== undefined) {
        throw invalid(`The same saveable will be restored with two names: ${saveable.name}`, {
          at: saveable.op!.name,
          hint: `it is saved as '${other}' already`,
        });
      }
      if (saveable.op !== undefined) seen.set(saveable.op, saveable.name);
      return saveable;
    });
}

/** Single variables and objects: lists within lists, and partitioned variables, are their items. */
function flat(given: Iterable<Saveable>): (Variable | SaveableObject)[] {
  return [...given].flatMap((x): (Variable | SaveableObject)[] => {
    if (isVariable(x) || isSaveableObject(x)) return [x];
    if (isList(x)) return flat(x as Iterable<Variable>);
    throw invalid(`Variable to save is not a Variable: ${String(x)}`);
  });
}

/** Variables by their own names; slices by the name of the whole. */
function byKey(given: readonly (Variable | SaveableObject)[]): [string, Saveable][] {
  const named = new Map<string, Saveable>();
  for (const x of [...given].sort((a, b) => compareText(a.name, b.name))) {
    const whole = isVariable(x) ? x.saveSliceInfo?.fullName : undefined;
    const name = whole ?? (isVariable(x) ? x.op.name : x.name);
    const known = named.get(name);
    if (known === undefined) named.set(name, whole === undefined ? x : [x as Variable]);
    else if (whole === undefined) throw invalid(`At least two variables have the same name: ${name}`);
    else if (Array.isArray(known)) known.push(x);
    else throw invalid(`Mixing slices and non-slices with the same name: ${name}`);
  }
  return [...named];
}

function objectsOf(key: string, value: Saveable): SaveableObject[] {
  if (isVariable(value)) return [variableObject(key, value, "")];
  if (isSaveableObject(value)) return [value];
  if (!isList(value)) {
    throw invalid(
      `names_to_saveables must be a dict mapping string names to Tensors/Variables. Not a variable: ${String(value)}`,
      { at: key },
    );
  }
  let first: string | null = null;
  return [...value].map((v) => {
    if (!isVariable(v)) throw invalid(`Slices must all be Variables: ${String(v)}`, { at: key });
    const whole = v.saveSliceInfo?.fullName;
    if (whole === undefined) throw invalid(`Slices must all be slices: ${v.name}`, { at: key });
    first ??= whole;
    if (whole !== first) throw invalid(`Slices must all be from the same tensor: ${first} != ${whole}`);
    return variableObject(key, v, sliceSpecOf(v));
  });
}

/** `10 4 0,4:0,4` of a slice, nothing of a whole variable. @see TensorFlow python/ops/variables.py "SaveSliceInfo.spec" */
export function sliceSpecOf({ saveSliceInfo: info }: Variable): string {
  if (info === null) return "";
  const extents = info.varOffset.map((start, i) => `${start},${info.varShape[i]}`);
  return `${info.fullShape.join(" ")} ${extents.join(":")}`;
}

/** A variable, or a slice of one, as a saveable object. */
export function variableObject(name: string, v: Variable, slice: string): SaveableObject {
  const { dtype, op } = v;
  const { device } = op;
  const shape = slice === "" ? v.shape : v.saveSliceInfo!.fullShape.map(Number);
  const tensor = (): Output => (slice === "" ? whole(v) : part(v));
  return {
    name,
    op,
    specs: [{ name, slice, dtype, shape, device, tensor }],
    restore: ([value], shapes) => restoreInto(v, value!, shapes?.[0] ?? null),
  };
}

const whole = (v: Variable): Output => (v.isResource ? v.snapshot : v.handle);

/** Slices are read on their device and go to the processor beside it. */
function part(v: Variable): Output {
  if (!v.isResource) return v.snapshot;
  const { graph } = v;
  const read = graph.withDevice(v.op.device, () => {
    const value = graph.nameScope("Read", () => {
      graph.addOp("DisableCopyOnRead", [v.handle]);
      return graph.add("ReadVariableOp", [v.handle], { attrs: { dtype: v.dtype } });
    });
    return graph.add("Identity", [value]);
  });
  return graph.withDevice(v.op.device, () =>
    graph.withDevice("/device:CPU:0", () => graph.add("Identity", [read])),
  );
}

function restoreInto(v: Variable, tensor: Output, shape: Input | null): Operation {
  const { graph } = v;
  const value = shape === null ? tensor : graph.add("Reshape", [tensor, shape]);
  if (!v.isResource) {
    const attrs = { validate_shape: shape === null && isStatic(v.shape) };
    return graph.addOp("Assign", [v.handle, value], { attrs });
  }
  return graph.withDevice(v.op.device, () =>
    graph.addOp("AssignVariableOp", [v.handle, graph.add("Identity", [value])]),
  );
}

/** The shape that a value of the checkpoint takes on where the saver reshapes. */
export function shapeToRestore(spec: SaveSpec): Input {
  const tensor = spec.tensor();
  return isStatic(tensor.shape) ? [...tensor.shape] : tensor.graph.add("Shape", [tensor]);
}
