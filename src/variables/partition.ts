/**
 * @file Partitioned variables: how a variable is cut, the initial values of its parts, and the parts as one value. `getVariable` makes them
 * where it has a partitioner; partitioners are in partitioners.ts.
 *
 * @see TensorFlow python/ops/variable_scope.py "_get_partitioned_variable"; python/ops/variables.py "PartitionedVariable"
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
import { type Graph, type Input, isTensor, type Operation, Output, toTensor } from "../graph/index.ts";
import { slice, split } from "../ops/index.ts";
import { type SaveSliceInfoDef, SaveSliceInfoDefSchema } from "../proto/variable.gen.ts";
import { addWith, toInput } from "./operand.ts";
import type { GetterOptions, Initializer, Partitioner } from "./scope-state.ts";
import {
  type AssignOptions,
  isPartitionedVariable,
  isVariable,
  type PartitionedVariable,
  type Variable,
  type WholeValue,
} from "./variable.ts";

const invalid = (at: string, what: string): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", what, { at });

/** A part to be made. */
export interface Slice {
  readonly offset: readonly number[];
  readonly size: readonly number[];
  readonly saved: SaveSliceInfoDef;
}

interface Plan {
  readonly shape: readonly number[];
  readonly partitions: readonly number[];
  readonly slices: readonly Slice[];
}

/**
 * How a variable is to be cut, or the one that was cut before.
 *
 * @throws VarscopeError INVALID_ARGUMENT - the shape is not known, the partitioner's answer does not fit it, or the one found differs
 * @throws VarscopeError ALREADY_EXISTS, NOT_FOUND - it is there and may not be shared, is not there and may not be made
 */
export function partsOf(
  name: string,
  o: GetterOptions & { readonly dtype: DType },
  found: PartitionedVariable | undefined,
): Plan | { readonly found: PartitionedVariable } {
  const { reuse, partitioner, dtype } = o;
  const shape = wholeShape(o);
  const partitions = partitioner === undefined ? null : ask(name, partitioner, shape, dtype);
  if (found !== undefined) return { found: sameParts(name, found, o, shape, partitions) };
  if (reuse === true || partitions === null) {
    throw new VarscopeError(
      "NOT_FOUND",
      `PartitionedVariable ${name} does not exist, or was not created with tf.get_variable(). Did you mean to set reuse=False or reuse=tf.AUTO_REUSE in VarScope?`,
    );
  }
  const whole = shape as readonly number[];
  return { shape: whole, partitions, slices: slicesOf(name, whole, partitions) };
}

/** The axis that is cut. */
const axisOf = (partitions: readonly number[]): number =>
  Math.max(
    0,
    partitions.findIndex((p) => p > 1),
  );

/** The shape asked for, or that of the initial value. */
function wholeShape({ shape, initializer }: GetterOptions): Shape | null {
  if (shape !== undefined) return shape;
  if (initializer instanceof Output) return initializer.shape;
  return isTensor(initializer) ? initializer.shape : null;
}

function ask(name: string, partitioner: Partitioner, shape: Shape | null, dtype: DType): readonly number[] {
  if (!isStatic(shape)) {
    throw invalid(
      name,
      `Shape of a new partitioned variable must be fully defined, but instead was ${formatPyShape(shape)}.`,
    );
  }
  const text = formatPyShape(shape);
  if (shape.length === 0)
    throw invalid(name, `A partitioned Variable must have rank at least 1, shape: ${text}`);
  const parts: unknown = partitioner(shape, dtype);
  if (!Array.isArray(parts))
    throw invalid(name, `Partitioner must return a sequence, but saw: ${String(parts)}`);
  const list = `[${parts.join(", ")}]`;
  if (parts.length !== shape.length) {
    throw invalid(
      name,
      `Partitioner returned a partition list that does not match the Variable's rank: ${list} vs. ${text}`,
    );
  }
  if (!parts.every((p) => Number.isInteger(p) && p >= 1)) {
    throw invalid(name, `Partitioner returned zero partitions for some axes: ${list}`);
  }
  if (parts.filter((p) => p > 1).length > 1) {
    throw invalid(
      name,
      `Can only slice a variable along one dimension: shape: ${text}, partitioning: ${list}`,
    );
  }
  return parts;
}

function sameParts(
  name: string,
  found: PartitionedVariable,
  { reuse, dtype }: GetterOptions,
  shape: Shape | null,
  partitions: readonly number[] | null,
): PartitionedVariable {
  if (reuse === false) {
    throw new VarscopeError(
      "ALREADY_EXISTS",
      `Partitioned variable with name ${name} already exists. Did you mean to set reuse=True or reuse=tf.AUTO_REUSE in VarScope?`,
    );
  }
  const differs = (what: string, asked: string, has: string): VarscopeError =>
    invalid(
      name,
      `Trying to reuse partitioned variable ${name}, but specified ${what} ${asked} and found ${what} ${has}.`,
    );
  if (!isCompatible(shape, found.shape)) {
    throw differs("shape", formatPyShape(shape), formatPyShape(found.shape));
  }
  if (dtype !== found.dtype) throw differs("dtype", `${dtype}`, found.dtype);
  if (partitions !== null && partitions.join() !== found.partitions.join()) {
    throw differs("partitions", `[${partitions.join(", ")}]`, `[${found.partitions.join(", ")}]`);
  }
  return found;
}

/** Slices along the axis; the first ones take what is left over. */
function slicesOf(name: string, shape: readonly number[], partitions: readonly number[]): Slice[] {
  const axis = axisOf(partitions);
  const count = partitions[axis]!;
  const [least, excess] = [Math.floor(shape[axis]! / count), shape[axis]! % count];
  let start = 0;
  return Array.from({ length: count }, (_, i) => {
    const length = least + (i < excess ? 1 : 0);
    const offset = shape.map((_, d) => (d === axis ? start : 0));
    const size = shape.map((n, d) => (d === axis ? length : n));
    start += length;
    const saved = create(SaveSliceInfoDefSchema, {
      fullName: name,
      fullShape: shape.map(BigInt),
      varOffset: offset.map(BigInt),
      varShape: size.map(BigInt),
    });
    return { offset, size, saved };
  });
}

/** Shape or initial value of a part; a value is cut out of the whole's, by ops under the part's name. */
export function initialPart(
  graph: Graph,
  part: string,
  { initializer, dtype }: GetterOptions & { readonly dtype: DType },
  { offset, size }: Slice,
): Pick<GetterOptions, "shape" | "initializer"> {
  return graph.nameScope(`${part}/PartitionedInitializer`, () => {
    if (initializer === undefined) return { shape: size };
    if (typeof initializer === "function") return { shape: size, initializer: initializer as Initializer };
    const value = initializer as Input;
    const whole = value instanceof Output ? value : graph.constant(toTensor(value as never, dtype));
    return { initializer: slice(whole, [...offset], [...size]) };
  });
}

/** The parts, in order, as one variable. */
export function joined(
  graph: Graph,
  name: string,
  dtype: DType,
  shape: readonly number[],
  partitions: readonly number[],
  parts: readonly Variable[],
): PartitionedVariable {
  const axis = axisOf(partitions);
  const write =
    (verb: "assign" | "assignAdd" | "assignSub") =>
    (value: WholeValue, options: AssignOptions = {}): (Output | Operation)[] => {
      const values = cut(graph, value, dtype, parts, axis);
      return parts.map((part, i) => part[verb](values[i]!, options));
    };
  const readValue = (): Output => {
    const whole = parts.length === 1 ? parts[0]! : concatenated(graph, name, parts, axis);
    return graph.nameScope(null, () => addWith(graph, "Identity", [whole], { name }));
  };
  return {
    graph,
    name,
    dtype,
    shape,
    partitions,
    parts,
    value: () => graph.controlDependencies(null, readValue),
    readValue,
    assign: write("assign"),
    assignAdd: write("assignAdd"),
    assignSub: write("assignSub"),
    [Symbol.iterator]: () => parts[Symbol.iterator](),
  };
}

const concatenated = (graph: Graph, name: string, parts: readonly Variable[], axis: number): Output =>
  graph.nameScope(`${name}/ConcatPartitions/`, () =>
    graph.nameScope("concat", (scope) => {
      const values = parts.map((part) => toInput(part));
      const at = graph.constant(axis, { dtype: "int32", name: "axis" });
      return graph.add("ConcatV2", [values, at], { name: scope });
    }),
  );

/** Values for the parts. @throws VarscopeError INVALID_ARGUMENT - another number of them */
function cut(
  graph: Graph,
  value: WholeValue,
  dtype: DType,
  parts: readonly Variable[],
  axis: number,
): readonly (Output | Variable)[] {
  const list = isPartitionedVariable(value) ? value.parts : value;
  if (Array.isArray(list) && list.length > 0 && list.every((x) => x instanceof Output || isVariable(x))) {
    if (list.length === parts.length) return list;
    throw new VarscopeError("INVALID_ARGUMENT", `${list.length} values for ${parts.length} parts`);
  }
  const whole = list instanceof Output ? list : graph.constant(toTensor(list as never, dtype));
  return split(
    whole,
    parts.map((part) => part.shape![axis]!),
    { axis },
  );
}
