/**
 * @file The gradient of GatherV2: rows at indices along axis 0, else sums over segments.
 *
 * @see TensorFlow python/ops/array_grad.py "_GatherV2Grad", "_BatchGatherGrad", "_GetBatchIndices"
 */

import { VarscopeError } from "../base/index.ts";
import type { Grad, Graph, IndexedSlices, Operation, Output } from "../graph/index.ts";
import * as pieces from "./pieces.ts";

/** Several vectors end to end; numbers are a Const "concat/values_<position>". */
function chain(g: Graph, parts: readonly (Output | readonly (number | Output)[])[], name = "concat"): Output {
  return g.nameScope(name, (scope) => {
    const values = parts.map((part, i) =>
      pieces.isOutput(part) ? part : pieces.stack(g, part, `values_${i}`),
    );
    return g.add("ConcatV2", [values, 0], { name: scope, attrs: { Tidx: "int32" } });
  });
}

/** Rows of params that were gathered, and their gradients: for a gather along axis 0. */
export function rowsGrad(
  g: Graph,
  dy: Grad,
  indices: Output,
  size: Output,
  paramsShape: Output,
): IndexedSlices {
  const shape = chain(g, [size, pieces.part(g, paramsShape, 1, null)]);
  const values = pieces.reshape(pieces.dense(dy), shape);
  return { values, indices: pieces.reshape(indices, size), denseShape: paramsShape };
}

/** Number of indices, as a vector of one. */
export const countOf = (g: Graph, indices: Output): Output =>
  g.add("ExpandDims", [pieces.size(indices), 0], { attrs: { Tdim: "int32" } });

/** Gradient of the params of a GatherV2. */
export function gatherGrad(g: Graph, op: Operation, dy: Grad, axisValue: number | null): Grad {
  const [params, indices, axis] = op.inputs as [Output, Output, Output];
  const paramsShape = g.colocateWith(params, () => pieces.shape(params));
  const size = countOf(g, indices);
  let batchDims = Number(op.attrs.batch_dims);
  if (batchDims < 0) {
    if (indices.shape === null) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `no gradient with batch_dims ${batchDims} while the rank of the indices is unknown`,
        {
          hint: "use a positive batch_dims, or ensureShape on the indices",
        },
      );
    }
    batchDims += indices.shape.length;
  }
  if (axisValue === 0) return rowsGrad(g, dy, indices, size, paramsShape);
  const grad = alongAxis(g, { dy, indices, axis, paramsShape, batchDims });
  return pieces.reshape(grad, pieces.shape(params));
}

interface Gathered {
  readonly dy: Grad;
  readonly indices: Output;
  readonly axis: Output;
  readonly paramsShape: Output;
  readonly batchDims: number;
}

/** Moves the gathered axis to the front (behind the batch), sums over segments, and moves it back. */
function alongAxis(g: Graph, { dy, indices, axis, paramsShape, batchDims }: Gathered): Output {
  const outer = pieces.part(g, paramsShape, null, axis);
  const inner = pieces.part(g, pieces.part(g, paramsShape, axis, null), 1, null);
  const valuesShape = chain(g, [outer, [-1], inner]);
  const valuesDims = pieces.size(valuesShape);
  const axisDims = pieces.size(outer);
  const outerAxes = pieces.range(g, 0, batchDims);
  const middleAxes = pieces.range(g, batchDims, axisDims);
  const innerAxes = pieces.range(g, g.add("AddV2", [axisDims, 1], { name: "add" }), valuesDims);
  const values = pieces.reshape(pieces.dense(dy), valuesShape);
  const forth = chain(g, [outerAxes, [axisDims], middleAxes, innerAxes]);
  const turned = pieces.transpose(values, forth);
  const turnedShape = g.add("GatherV2", [paramsShape, forth, 0], { attrs: { Taxis: "int32" } });
  const at = g.add("AddV2", [axis, 1], { name: "add" });
  const dim = pieces.cut(g, paramsShape, [axis], [at], { shrink: 1 });
  const grad = batchGrad(g, { shape: turnedShape, values: turned, indices, batchDims, dim });
  const back = chain(g, [
    outerAxes,
    g.add("AddV2", [middleAxes, 1], { name: "add" }),
    [batchDims],
    innerAxes,
  ]);
  return pieces.transpose(grad, back);
}

interface Batch {
  readonly shape: Output;
  readonly values: Output;
  readonly indices: Output;
  readonly batchDims: number;
  readonly dim: Output;
}

function batchGrad(g: Graph, { shape, values, indices, batchDims, dim }: Batch): Output {
  const size = countOf(g, indices);
  if (batchDims === 0) return g.add("UnsortedSegmentSum", [values, pieces.reshape(indices, size), dim]);
  const valuesShape = pieces.shape(values);
  const outer = pieces.part(g, valuesShape, null, batchDims);
  const inner = pieces.part(g, pieces.part(g, valuesShape, batchDims, null), 1, null);
  const batchSize = g.add("Prod", [outer, [0]], { attrs: { keep_dims: false, Tidx: "int32" } });
  const flatShape = chain(g, [[-1], inner]);
  const total = g.add("Mul", [dim, batchSize], { name: "mul" });
  const offset = batchIndices(g, shape, indices, batchDims);
  const rows = pieces.reshape(values, flatShape);
  const sums = g.add("UnsortedSegmentSum", [rows, pieces.reshape(offset, size), total]);
  return pieces.reshape(sums, chain(g, [outer, flatShape]));
}

/** Indices counted through all batches. */
function batchIndices(g: Graph, shape: Output, indices: Output, batchDims: number): Output {
  const { dtype } = indices;
  const cast = pieces.cast(shape, dtype);
  let accumulated = pieces.ones(g, [], { dtype });
  let result = indices;
  for (let dim = batchDims; dim > 0; dim--) {
    const count = pieces.element(g, cast, dim - 1);
    accumulated = g.add("Mul", [accumulated, pieces.element(g, cast, dim)], { name: "mul" });
    const start = pieces.zeros(g, [], { dtype });
    const step = pieces.ones(g, [], { dtype });
    const own = g.add("Mul", [pieces.range(g, start, count, step), accumulated], { name: "mul" });
    const tile = (n: number | Output): Output => {
      const times = typeof n === "number" ? [n] : undefined;
      if (times !== undefined)
        return g.add("Tile", [[1], times], { attrs: { T: "int32", Tmultiples: "int32" } });
      return g.nameScope("Tile", (scope) =>
        g.add(
          "Tile",
          [g.constant([1], { dtype: "int32", name: "input" }), pieces.pack(g, [n], "int32", "multiples")],
          { name: scope },
        ),
      );
    };
    const before = tile(dim - 1);
    const behind = tile(g.add("Sub", [pieces.rank(indices), dim], { name: "sub" }));
    result = g.add("AddV2", [result, pieces.reshape(own, chain(g, [before, [count], behind]))], {
      name: "add",
    });
  }
  return result;
}
