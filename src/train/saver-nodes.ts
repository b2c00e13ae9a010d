/**
 * @file The nodes of a saver: one SaveV2, one RestoreV2 and an assignment for each variable, so that TensorFlow's Saver works from our graphs
 * and ours from TensorFlow's. Start at `saverNodes`.
 *
 * @see TensorFlow python/training/saver.py "BulkSaverBuilder"; python/training/saving/saveable_object_util.py
 */

import { create } from "@bufbuild/protobuf";
import { isStatic, VarscopeError } from "../base/index.ts";
import { type Graph, group, type Operation, type Output, withDependencies } from "../graph/index.ts";
import { type SaverDef, SaverDefSchema } from "../proto/meta-graph.gen.ts";
import { isVariable, type Variable } from "../variables/index.ts";

/** Variables by checkpoint key; the parts of a partitioned one share a key. */
export type VariableMap = Readonly<Record<string, Variable | readonly Variable[]>>;

/** One tensor of a checkpoint. */
interface Saveable {
  readonly key: string;
  /** empty, or `<full shape> <start>,<length>:...` */
  readonly slice: string;
  readonly variable: Variable;
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What a saver of these variables saves, in the order of TensorFlow's files. */
export function saveablesOf(variables: readonly Variable[] | VariableMap): Saveable[] {
  const named = Array.isArray(variables)
    ? byKey(variables as readonly Variable[])
    : Object.entries(variables);
  const sorted = [...named].sort(([a], [b]) => byText(a, b));
  const seen = new Map<Operation, string>();
  return sorted.flatMap(([key, value]) =>
    [value].flat().map((v) => {
      if (!isVariable(v)) {
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `names_to_saveables must be a dict mapping string names to Tensors/Variables. Not a variable: ${String(v)}`,
          { at: key },
        );
      }
      const other = seen.get(v.op);
      if (other !== undefined) {
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `The same saveable will be restored with two names: ${key}`,
          { at: v.name, hint: `it is saved as '${other}' already` },
        );
      }
      seen.set(v.op, key);
      return { key, slice: sliceSpec(v), variable: v };
    }),
  );
}

/** A list's variables by their own names; slices by the name of the whole. */
function byKey(variables: readonly Variable[]): [string, Variable | Variable[]][] {
  const named = new Map<string, Variable | Variable[]>();
  for (const v of variables) {
    if (!isVariable(v)) {
      throw new VarscopeError("INVALID_ARGUMENT", `Variable to save is not a Variable: ${String(v)}`);
    }
  }
  for (const v of [...variables].sort((a, b) => byText(a.name, b.name))) {
    const whole = v.saveSliceInfo?.fullName;
    const known = named.get(whole ?? v.op.name);
    if (whole === undefined) {
      if (known !== undefined) {
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `At least two variables have the same name: ${v.op.name}`,
        );
      }
      named.set(v.op.name, v);
    } else if (known === undefined) named.set(whole, [v]);
    else if (Array.isArray(known)) known.push(v);
    else {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `Mixing slices and non-slices with the same name: ${whole}`,
      );
    }
  }
  return [...named];
}

/** @see TensorFlow python/ops/variables.py "SaveSliceInfo.spec" */
function sliceSpec({ saveSliceInfo: info }: Variable): string {
  if (info === null) return "";
  const extents = info.varOffset.map((start, i) => `${start},${info.varShape[i]}`);
  return `${info.fullShape.join(" ")} ${extents.join(":")}`;
}

export interface SaverNodeOptions {
  readonly name?: string;
  readonly reshape?: boolean;
  readonly filename?: string;
  readonly maxToKeep: number;
  readonly keepCheckpointEveryNHours: number;
}

/** V2. @see TensorFlow core/protobuf/saver.proto "CheckpointFormatVersion" */
const FORMAT_V2 = 2;

/** Adds a saver's nodes and describes them. */
export function saverNodes(
  graph: Graph,
  saveables: readonly Saveable[],
  options: SaverNodeOptions,
): SaverDef {
  return graph.nameScope(options.name ?? "save", () => {
    const holder = (input: Output | string, name: string): Output =>
      graph.add("PlaceholderWithDefault", [input], { name, attrs: { dtype: "string", shape: { dims: [] } } });
    const filename = holder(holder(options.filename || "model", "filename"), "Const");
    const names = saveables.map((s) => s.key);
    const slices = saveables.map((s) => s.slice);
    const tensors = saveables.map(({ variable: v }) => (v.isResource ? v.snapshot : v.handle));
    const save = graph.addOp("SaveV2", [filename, names, slices, tensors]);
    const saved = withDependencies([save], filename);
    const dtypes = saveables.map((s) => s.variable.dtype);
    const read = graph.withDevice("/device:CPU:0", () =>
      graph.addOp("RestoreV2", [filename, names, slices], { attrs: { dtypes } }),
    );
    const assigns = saveables.map(({ variable }, i) =>
      restoreInto(variable, read.output(i), options.reshape ?? false),
    );
    const restored = group(graph, assigns, "restore_all");
    return create(SaverDefSchema, {
      filenameTensorName: filename.name,
      saveTensorName: saved.name,
      restoreOpName: restored.name,
      maxToKeep: options.maxToKeep,
      sharded: false,
      keepCheckpointEveryNHours: options.keepCheckpointEveryNHours,
      version: FORMAT_V2,
    });
  });
}

function restoreInto(v: Variable, tensor: Output, reshape: boolean): Operation {
  const { graph } = v;
  let value = tensor;
  if (reshape) {
    const shape = isStatic(v.shape) ? [...v.shape] : graph.add("Shape", [v.value()]);
    value = graph.add("Reshape", [value, shape]);
  }
  if (!v.isResource) {
    const attrs = { validate_shape: !reshape && isStatic(v.shape) };
    return graph.addOp("Assign", [v.handle, value], { attrs });
  }
  const assign = (): Operation => graph.addOp("AssignVariableOp", [v.handle, graph.add("Identity", [value])]);
  return v.op.device === "" ? assign() : graph.withDevice(v.op.device, assign);
}
