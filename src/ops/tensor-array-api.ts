/**
 * @file The builder of TensorArrays: `tf.TensorArray` of TensorFlow 1, with its names. Each write gives a new array value, which knows what was
 * written; use the last one. The ops are in tensor-array.ts.
 *
 * @see TensorFlow python/ops/tensor_array_ops.py "_GraphTensorArray"
 */

import {
  type DType,
  formatPyShape,
  isCompatible,
  mergeShapes,
  type Shape,
  VarscopeError,
} from "../base/index.ts";
import { constantValue, type Graph, type Input, Output } from "../graph/index.ts";
import * as pieces from "./pieces.ts";
import * as ops from "./tensor-array.ts";

export interface TensorArrayOptions {
  /** writing beyond the end makes the array longer: false */
  readonly dynamicSize?: boolean;
  /** an element is let go when it was read, and cannot be read again: true */
  readonly clearAfterRead?: boolean;
  /** all elements have one shape: true */
  readonly inferShape?: boolean;
  /** what is known of that shape */
  readonly elementShape?: Shape | null;
  /** in error messages; by default the op's name */
  readonly tensorArrayName?: string;
  /** what is written first says on which device the writes run: true */
  readonly colocateWithFirstWriteCall?: boolean;
  /** "TensorArray" */
  readonly name?: string;
}

/** An array of tensors at one point of a program. */
export interface TensorArrayValue {
  readonly dtype: DType;
  readonly handle: Output;
  /** float32 []: carry it through a loop, and take it up with `withFlow` */
  readonly flow: Output;
  readonly elementShape: Shape | null;
  /** the same array after what `flow` stands for */
  withFlow(flow: Output): TensorArrayValue;
  /** Element `index`. Named "TensorArrayReadV3". */
  read(index: Input, name?: string): Output;
  /** The array with `value` at `index`. Named "TensorArrayWrite". */
  write(index: Input, value: Input, name?: string): TensorArrayValue;
  /** All elements along a new first axis. Named "TensorArrayStack". */
  stack(name?: string): Output;
  /** The elements at `indices` along a new first axis. Named "TensorArrayGatherV3". */
  gather(indices: Input, name?: string): Output;
  /** All elements along their first axis. Named "TensorArrayConcatV3". */
  concat(name?: string): Output;
  /** The array with the rows of `value` as elements 0, 1, ... Named "TensorArrayUnstack". */
  unstack(value: Output, name?: string): TensorArrayValue;
  /** The array with the rows of `value` at `indices`. Named "TensorArrayScatter". */
  scatter(indices: Input, value: Input, name?: string): TensorArrayValue;
  /** The array with parts of `value` of these lengths as elements 0, 1, ... Named "TensorArraySplit". */
  split(value: Input, lengths: Output | readonly number[], name?: string): TensorArrayValue;
  /** Number of elements, int32 []: a Const where the size is fixed. */
  size(name?: string): Output;
  /** Lets all elements go. Named "TensorArrayCloseV3". */
  close(name?: string): void;
}

/** What all values of one array share. */
interface Shared {
  readonly dtype: DType;
  readonly handle: Output;
  readonly dynamic: boolean;
  readonly size: number | Output;
  readonly inferShape: boolean;
  elementShape: Shape | null;
  /** undefined: the first write says it; null: nothing is colocated */
  colocateWith: Output | null | undefined;
}

/**
 * A new array of `size` tensors of `dtype`. @throws VarscopeError INVALID_ARGUMENT - while writing, a shape that does not fit the others'
 */
export function tensorArray(
  graph: Graph,
  dtype: DType,
  size: number | Output,
  options: TensorArrayOptions = {},
): TensorArrayValue {
  const { dynamicSize = false, clearAfterRead = true, inferShape = true, elementShape = null } = options;
  const colocates = options.colocateWithFirstWriteCall !== false;
  const made = graph.nameScope(options.name ?? "TensorArray", (scope) => {
    const attrs = {
      dtype,
      element_shape: { dims: elementShape },
      identical_element_shapes: inferShape,
      dynamic_size: dynamicSize,
      clear_after_read: clearAfterRead,
      tensor_array_name: options.tensorArrayName ?? "",
    };
    const create = () => graph.addOp(ops.TensorArrayV3, [size], { name: scope, attrs });
    if (!colocates) return create();
    return graph.withDevice(null, () => graph.colocateWith(null, create, true));
  });
  const shared: Shared = {
    dtype,
    handle: made.output(0),
    dynamic: dynamicSize,
    size,
    inferShape,
    elementShape,
    colocateWith: colocates ? undefined : null,
  };
  return valueAt(shared, made.output(1));
}

/** An element's shape joins what is known. @throws VarscopeError INVALID_ARGUMENT - they do not fit */
function learnShape(shared: Shared, shape: Shape | null): void {
  if (!isCompatible(shape, shared.elementShape))
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Inconsistent shapes: saw ${formatPyShape(shape)} but expected ${formatPyShape(shared.elementShape)} `,
    );
  if (shared.inferShape) shared.elementShape = mergeShapes(shared.elementShape, shape);
}

function beside<R>(shared: Shared, value: Output, body: () => R): R {
  if (shared.colocateWith === null) return body();
  shared.colocateWith ??= value;
  return value.graph.colocateWith(shared.colocateWith, body);
}

const withRows = (shape: Shape | null, rows: number | null): Shape | null =>
  shape === null ? null : [rows, ...shape];

function valueAt(shared: Shared, flow: Output): TensorArrayValue {
  const { dtype, handle } = shared;
  const { graph } = handle;
  const next = (type: string, inputs: readonly Input[], name: string | undefined): TensorArrayValue =>
    valueAt(shared, graph.add(type, [handle, ...inputs, flow], { name }));
  const toOutput = (value: Input): Output => {
    const x = value instanceof Output ? value : graph.constant(value as never, { dtype, name: "value" });
    if (x.dtype === dtype) return x;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `TensorArray dtype is ${dtype} but Op is trying to write dtype ${x.dtype} `,
    );
  };
  const size = (name?: string): Output => {
    if (shared.dynamic) return graph.add(ops.TensorArraySizeV3, [handle, flow], { name });
    return shared.size instanceof Output ? shared.size : graph.constant(shared.size, { dtype: "int32" });
  };
  const gather = (indices: Input, name?: string): Output => {
    const attrs = { dtype, element_shape: { dims: shared.elementShape } };
    const x = graph.add(ops.TensorArrayGatherV3, [handle, indices, flow], { name, attrs });
    return pieces.setShape(x, withRows(shared.elementShape, null));
  };
  const scatter = (indices: Input, value: Input, name?: string): TensorArrayValue =>
    graph.nameScope(name ?? "TensorArrayScatter", () => {
      const x = toOutput(value);
      learnShape(shared, x.shape?.slice(1) ?? null);
      return beside(shared, x, () => next("TensorArrayScatterV3", [indices, x], name));
    });
  return {
    dtype,
    handle,
    flow,
    get elementShape() {
      return shared.elementShape;
    },
    withFlow: (after) => valueAt(shared, after),
    read: (index, name) =>
      pieces.setShape(
        graph.add(ops.TensorArrayReadV3, [handle, index, flow], { name, attrs: { dtype } }),
        shared.elementShape,
      ),
    write: (index, value, name) =>
      graph.nameScope(name ?? "TensorArrayWrite", () => {
        const x = toOutput(value);
        learnShape(shared, x.shape);
        return beside(shared, x, () => next("TensorArrayWriteV3", [index, x], name));
      }),
    stack: (name) =>
      graph.colocateWith(handle, () =>
        graph.nameScope(name ?? "TensorArrayStack", () => {
          const x = gather(pieces.range(graph, 0, size()), name);
          return shared.dynamic ? x : pieces.setShape(x, withRows(shared.elementShape, staticSize(shared)));
        }),
      ),
    gather,
    concat: (name) => concat(shared, flow, size, name),
    unstack: (value, name) =>
      graph.nameScope(name ?? "TensorArrayUnstack", () => {
        const rows = pieces.element(graph, pieces.shape(value), 0);
        return scatter(pieces.range(graph, 0, rows), value, name);
      }),
    scatter,
    split: (value, lengths, name) =>
      graph.nameScope(name ?? "TensorArraySplit", () => {
        const x = toOutput(value);
        return beside(shared, x, () => {
          const long = longLengths(graph, lengths);
          learnShape(shared, partShape(x.shape, long));
          return next("TensorArraySplitV3", [x, long], name);
        });
      }),
    size,
    close: (name) => void graph.addOp(ops.TensorArrayCloseV3, [handle], { name }),
  };
}

function staticSize({ size }: Shared): number | null {
  if (typeof size === "number") return size;
  const value = constantValue(size);
  return value === null ? null : Number(value.data[0]);
}

function concat(shared: Shared, flow: Output, size: () => Output, name: string | undefined): Output {
  const { handle, dtype, elementShape } = shared;
  const { graph } = handle;
  const attrs = { dtype, element_shape_except0: { dims: elementShape?.slice(1) ?? null } };
  const x = graph.addOp(ops.TensorArrayConcatV3, [handle, flow], { name, attrs }).output(0);
  if (elementShape === null) return x;
  // Python asks for the size, of a dynamic array by an op
  const count = shared.inferShape ? constantValue(size()) : null;
  const [first = null] = elementShape;
  const rows = count === null || first === null ? null : Number(count.data[0]) * first;
  return pieces.setShape(x, [rows, ...elementShape.slice(1)]);
}

/** Lengths as int64, as Python casts them. */
function longLengths(graph: Graph, lengths: Output | readonly number[]): Output {
  if (lengths instanceof Output && lengths.dtype === "int64") return lengths;
  return graph.nameScope("Cast", (scope) => {
    const x =
      lengths instanceof Output
        ? lengths
        : graph.constant(lengths as number[], { dtype: "int32", name: "x" });
    return graph.add("Cast", [x], { name: scope, attrs: { DstT: "int64" } });
  });
}

/** Shape of the parts, if all are of one length. */
function partShape(shape: Shape | null, lengths: Output): Shape | null {
  const known = constantValue(lengths);
  if (shape === null || known === null || known.data.length === 0) return null;
  const sizes = Array.from(known.data as BigInt64Array, Number);
  return sizes.every((n) => n === sizes[0]) ? [sizes[0]!, ...shape.slice(1)] : null;
}
