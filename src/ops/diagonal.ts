/** @file Diagonals and bands of matrices. All are tables of where each element comes from, made in kernels/diagonal.ts. */

import {
  mergeShapes,
  reshaped,
  type Shape,
  sizeOf,
  type Tensor,
  toNumbers,
  VarscopeError,
} from "../base/index.ts";
import {
  attr,
  defineOp,
  type Input,
  type Onnx,
  type OnnxValue,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { type Band, bandOf, placesInBand, placesInMatrix } from "./kernels/diagonal.ts";
import { concatTensors } from "./kernels/join.ts";
import { pickAlong } from "./kernels/pick.ts";
import { movable, outShape } from "./onnx-facts.ts";
import * as pieces from "./pieces.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const numbersOf = (x: Spec | OnnxValue | Tensor): number[] | null => {
  const value = "data" in x ? x : "constant" in x ? x.constant : x.value;
  return value === null ? null : toNumbers(value);
};

/** Every row of `x` [batch, block] through the table; padding is a scalar. */
function through(x: Tensor, table: readonly number[], shape: readonly number[], padding?: Tensor): Tensor {
  const [batch, block] = x.shape as [number, number];
  const rows = Int32Array.from({ length: batch }, (_, i) => i * block);
  return reshaped(pickAlong(x, [rows, table], padding), shape);
}

const flat = (t: Tensor, trailing: number): Tensor => {
  const block = sizeOf(t.shape.slice(t.shape.length - trailing));
  return reshaped(t, [sizeOf(t.shape.slice(0, t.shape.length - trailing)), block]);
};

/** The same in ONNX: one more column holds the padding. */
function lowerThrough(
  onnx: Onnx,
  x: OnnxValue,
  block: number,
  table: readonly number[],
  out: Shape,
  padding?: OnnxValue,
): OnnxValue {
  let rows = onnx.reshape(x, [null, block]);
  if (table.includes(-1)) {
    const pads = onnx.ints([0, 0, 0, 1]);
    rows = onnx.add(
      "Pad",
      padding === undefined ? [rows, pads] : [rows, pads, padding],
      {},
      { shape: [null, block + 1] },
    );
  }
  const picked = onnx.add(
    "Gather",
    [rows, onnx.ints(table.map((i) => (i < 0 ? block : i)))],
    { axis: 1 },
    { shape: [null, table.length] },
  );
  return onnx.reshape(picked, out);
}

const LOWERED = new Set(["float32", "float64", "int32", "int64"]);
const unknown = (shape: Shape | null): number =>
  shape?.filter((d) => d === null).length ?? Number.POSITIVE_INFINITY;

/** A matrix of the band, the rest zero; -1 keeps all on that side. @see TensorFlow core/ops/array_ops.cc "MatrixBandPart" */
export const MatrixBandPart = defineOp("MatrixBandPart", {
  inputs: { input: "T", num_lower: "Tindex", num_upper: "Tindex" },
  outputs: { band: "T" },
  attrs: { T: attr.type(), Tindex: attr.typeOr("int64", "int32", "int64") },
  infer: ({ input }) => [{ shape: input.shape }],
  grad: (g, op, [dy]) => [g.add("MatrixBandPart", [dy!, op.inputs[1]!, op.inputs[2]!]), null, null],
  lower: (onnx, { input, num_lower, num_upper }) => {
    const [below, above] = [toNumbers(num_lower.constant!)[0]!, toNumbers(num_upper.constant!)[0]!];
    const out = { shape: input.shape };
    const kept =
      below < 0 ? input : onnx.add("Trilu", [input, onnx.scalar(-below, "int64")], { upper: 1 }, out);
    return [above < 0 ? kept : onnx.add("Trilu", [kept, onnx.scalar(above, "int64")], { upper: 0 }, out)];
  },
  lowers: ({ T }, { num_lower, num_upper }) =>
    ["float32", "float64", "int64"].includes(T) && num_lower.value !== null && num_upper.value !== null,
  host: ({ input, num_lower, num_upper }) => {
    const [rows, cols] = input.shape.slice(-2) as [number, number];
    const limit = (n: number, dim: number, name: string): number => {
      if (n > dim)
        throw invalid(`${name} must be negative or less or equal to number of rows (${dim}) got: ${n}`);
      return n < 0 ? dim : n;
    };
    const below = limit(toNumbers(num_lower)[0]!, rows, "num_lower");
    const above = limit(toNumbers(num_upper)[0]!, cols, "num_upper");
    const table = Array.from({ length: rows * cols }, (_, i) => {
      const d = (i % cols) - Math.floor(i / cols);
      return d >= -below && d <= above ? i : -1;
    });
    return [through(flat(input, 2), table, input.shape)];
  },
});

/** The band of `x` between `lower` diagonals below the main one and `upper` above; -1: all. Named "MatrixBandPart". */
export const bandPart = (x: Output, lower: Input, upper: Input, name = "MatrixBandPart"): Output =>
  x.graph.add(MatrixBandPart, [x, lower, upper], {
    name,
    attrs: { Tindex: pieces.isOutput(lower) ? lower.dtype : "int32" },
  });

const DIAGONAL_TYPES = [
  "bfloat16",
  "float16",
  "float32",
  "float64",
  "int32",
  "int64",
  "complex64",
  "complex128",
] as const;

const squareBand = (size: number): Band => bandOf(size, size, [0], "LEFT_LEFT");

/** A tensor of rank 2k with x on its diagonal. @see TensorFlow core/ops/array_ops.cc "Diag" */
export const Diag = defineOp("Diag", {
  inputs: { diagonal: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(...DIAGONAL_TYPES) },
  infer: ({ diagonal }) => [
    { shape: diagonal.shape === null ? null : [...diagonal.shape, ...diagonal.shape] },
  ],
  grad: (g, _op, [dy]) => [g.add("DiagPart", [dy!])],
  lower: (onnx, { diagonal }) => {
    const dims = diagonal.shape as number[];
    const size = sizeOf(dims);
    return [lowerThrough(onnx, diagonal, size, placesInBand(squareBand(size)), [...dims, ...dims])];
  },
  lowers: ({ T }, { diagonal }) => LOWERED.has(T) && unknown(diagonal.shape) === 0,
  host: ({ diagonal }) => {
    const { shape } = diagonal;
    const size = sizeOf(shape);
    return [through(reshaped(diagonal, [1, size]), placesInBand(squareBand(size)), [...shape, ...shape])];
  },
});

/** The diagonal of a tensor of rank 2k. @see TensorFlow core/ops/array_ops.cc "DiagPart" */
export const DiagPart = defineOp("DiagPart", {
  inputs: { input: "T" },
  outputs: { diagonal: "T" },
  attrs: { T: attr.type(...DIAGONAL_TYPES) },
  infer: ({ input }) => {
    if (input.shape === null) return [{ shape: null }];
    const rank = input.shape.length;
    if (rank === 0 || rank % 2 === 1)
      throw invalid(`Input must have even and non-zero rank, input rank is ${rank}`);
    return [{ shape: mergeShapes(input.shape.slice(0, rank / 2), input.shape.slice(rank / 2)) }];
  },
  grad: (g, _op, [dy]) => [g.add("Diag", [dy!])],
  lower: (onnx, { input }) => {
    const dims = input.shape!.slice(0, input.shape!.length / 2) as number[];
    const size = sizeOf(dims);
    return [lowerThrough(onnx, input, size * size, placesInMatrix(squareBand(size)), dims)];
  },
  lowers: ({ T }, { input }) => movable(T) && unknown(input.shape) === 0,
  host: ({ input }) => {
    const dims = input.shape.slice(0, input.shape.length / 2);
    const size = sizeOf(dims);
    return [through(reshaped(input, [1, size * size]), placesInMatrix(squareBand(size)), dims)];
  },
});

const align = attr.string({
  default: "RIGHT_LEFT",
  allowed: ["LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT"],
});

interface MatrixFacts {
  readonly k: readonly number[];
  readonly rows: number;
  readonly cols: number;
}

/** Size of the matrix that diagonals [.., length] make: as asked, else the smallest that holds them. */
function matrixSize(diagonal: readonly number[], { k, rows, cols }: MatrixFacts): readonly [number, number] {
  const length = diagonal.at(-1)!;
  const [lower, upper] = [k[0]!, k[1] ?? k[0]!];
  const [minRows, minCols] = [length - Math.min(upper, 0), length + Math.max(lower, 0)];
  if (rows < 0 && cols < 0) return [Math.max(minRows, minCols), Math.max(minRows, minCols)];
  const size = [rows < 0 ? minRows : rows, cols < 0 ? minCols : cols] as const;
  if (size[0] < minRows || size[1] < minCols) {
    throw invalid(
      `a matrix of ${size[0]} rows and ${size[1]} columns is too small: at least ${minRows} and ${minCols} are needed`,
    );
  }
  return size;
}

type Known<K extends string> = Readonly<Record<K, Spec | OnnxValue | Tensor>>;

function matrixFacts(x: Known<"k" | "num_rows" | "num_cols">): MatrixFacts | null {
  const [k, rows, cols] = [numbersOf(x.k), numbersOf(x.num_rows), numbersOf(x.num_cols)];
  return k === null || rows === null || cols === null ? null : { k, rows: rows[0]!, cols: cols[0]! };
}

const bandDims = (k: readonly number[]): 1 | 2 => (k.length === 2 && k[0] !== k[1] ? 2 : 1);

/** Matrices with given diagonals, the rest padding. @see TensorFlow core/ops/array_ops.cc "MatrixDiagV3" */
export const MatrixDiagV3 = defineOp("MatrixDiagV3", {
  inputs: { diagonal: "T", k: "int32", num_rows: "int32", num_cols: "int32", padding_value: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), align },
  infer: (inputs) => {
    const { shape } = inputs.diagonal;
    const facts = matrixFacts(inputs);
    if (shape === null || facts === null) return [{ shape: null }];
    const batch = shape.slice(0, shape.length - bandDims(facts.k));
    const length = shape.at(-1) ?? null;
    const size =
      length === null ? [facts.rows, facts.cols].map((n) => (n < 0 ? null : n)) : matrixSize([length], facts);
    return [{ shape: [...batch, ...size] }];
  },
  grad: (_g, op, [dy], attrs) => [
    diagPart(dy!, { k: op.inputs[1]!, align: attrs.align as Align }),
    null,
    null,
    null,
    null,
  ],
  lower: (onnx, inputs, attrs, op) => {
    const out = outShape(op, inputs)!;
    const band = bandOf(out.at(-2)!, out.at(-1)!, numbersOf(inputs.k)!, attrs.align as string);
    return [
      lowerThrough(
        onnx,
        inputs.diagonal,
        band.count * band.length,
        placesInBand(band),
        out,
        inputs.padding_value,
      ),
    ];
  },
  lowers: ({ T }, inputs) =>
    LOWERED.has(T) &&
    matrixFacts(inputs) !== null &&
    unknown(inputs.diagonal.shape) <= 1 &&
    inputs.diagonal.shape!.at(-1) !== null,
  host: (inputs, attrs) => {
    const { diagonal, padding_value } = inputs;
    const facts = matrixFacts(inputs)!;
    const dims = bandDims(facts.k);
    const [rows, cols] = matrixSize(diagonal.shape, facts);
    const band = bandOf(rows, cols, facts.k, attrs.align as string);
    const batch = diagonal.shape.slice(0, diagonal.shape.length - dims);
    return [through(flat(diagonal, dims), placesInBand(band), [...batch, rows, cols], padding_value)];
  },
});

function partShape(input: Shape | null, k: readonly number[] | null, how: string): Shape | null {
  if (input === null) return null;
  if (input.length < 2) throw invalid(`Shape must be at least rank 2 but is rank ${input.length}`);
  if (k === null) return null;
  const [rows, cols] = input.slice(-2);
  const batch = input.slice(0, -2);
  const many = bandDims(k) === 2 ? [k[1]! - k[0]! + 1] : [];
  if (rows == null || cols == null) return [...batch, ...many, null];
  return [...batch, ...many, bandOf(rows, cols, k, how).length];
}

/** Diagonals of matrices. @see TensorFlow core/ops/array_ops.cc "MatrixDiagPartV3" */
export const MatrixDiagPartV3 = defineOp("MatrixDiagPartV3", {
  inputs: { input: "T", k: "int32", padding_value: "T" },
  outputs: { diagonal: "T" },
  attrs: { T: attr.type(), align },
  infer: ({ input, k }, attrs) => [{ shape: partShape(input.shape, numbersOf(k), attrs.align as string) }],
  grad: (_g, op, [dy], attrs) => {
    const [x, k] = op.inputs as [Output, Output];
    const how = attrs.align as Align;
    const [rows, cols] = x.shape?.slice(-2) ?? [];
    if (rows != null && cols != null)
      return [diag(dy!, { k, numRows: rows, numCols: cols, align: how }), null, null];
    return [setDiag(pieces.zerosLike(x), dy!, { k, align: how }), null, null];
  },
  lower: (onnx, inputs, attrs, op) => {
    const { input, padding_value } = inputs;
    const [rows, cols] = input.shape!.slice(-2) as [number, number];
    const band = bandOf(rows, cols, numbersOf(inputs.k)!, attrs.align as string);
    return [
      lowerThrough(onnx, input, rows * cols, placesInMatrix(band), outShape(op, inputs)!, padding_value),
    ];
  },
  lowers: ({ T }, { input, k }) =>
    LOWERED.has(T) && k.value !== null && unknown(input.shape) <= 1 && unknown(input.shape!.slice(-2)) === 0,
  host: ({ input, k, padding_value }, attrs) => {
    const [rows, cols] = input.shape.slice(-2) as [number, number];
    const band = bandOf(rows, cols, toNumbers(k), attrs.align as string);
    const shape = partShape(input.shape, toNumbers(k), attrs.align as string) as number[];
    return [through(flat(input, 2), placesInMatrix(band), shape, padding_value)];
  },
});

/** For each place of the matrix: the input's own, or behind it that of the band. */
const replacing = (band: Band): number[] =>
  placesInBand(band).map((place, i) => (place < 0 ? i : band.rows * band.cols + place));

/** Matrices with some diagonals replaced. @see TensorFlow core/ops/array_ops.cc "MatrixSetDiagV3" */
export const MatrixSetDiagV3 = defineOp("MatrixSetDiagV3", {
  inputs: { input: "T", diagonal: "T", k: "int32" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), align },
  infer: ({ input }) => {
    if (input.shape !== null && input.shape.length < 2)
      throw invalid(`Shape must be at least rank 2 but is rank ${input.shape.length}`);
    return [{ shape: input.shape }];
  },
  grad: (g, op, [dy], attrs) => {
    const [, diagonal, k] = op.inputs as [Output, Output, Output];
    const { shape } = diagonal;
    if (shape === null || shape.includes(null)) {
      throw new VarscopeError(
        "UNIMPLEMENTED",
        "the gradient of MatrixSetDiagV3 needs a static shape of the diagonal",
        {
          at: op.name,
          hint: "use ensureShape on it",
        },
      );
    }
    const options = { k, align: attrs.align as Align };
    const zero = pieces.zeros(g, shape as number[], { dtype: dy!.dtype });
    const inputGrad = setDiag(dy!, zero, options);
    return [inputGrad, diagPart(dy!, options), null];
  },
  lower: (onnx, inputs, attrs) => {
    const { input, diagonal } = inputs;
    const [rows, cols] = input.shape!.slice(-2) as [number, number];
    const band = bandOf(rows, cols, numbersOf(inputs.k)!, attrs.align as string);
    const parts = [
      onnx.reshape(input, [null, rows * cols]),
      onnx.reshape(diagonal, [null, band.count * band.length]),
    ];
    const block = rows * cols + band.count * band.length;
    const both = onnx.add("Concat", parts, { axis: 1 }, { shape: [null, block] });
    return [lowerThrough(onnx, both, block, replacing(band), input.shape!)];
  },
  lowers: ({ T }, { input, k }) =>
    movable(T) && k.value !== null && unknown(input.shape) <= 1 && unknown(input.shape!.slice(-2)) === 0,
  host: ({ input, diagonal, k }, attrs) => {
    const [rows, cols] = input.shape.slice(-2) as [number, number];
    const band = bandOf(rows, cols, toNumbers(k), attrs.align as string);
    const matrices = flat(input, 2);
    const bands = reshaped(diagonal, [matrices.shape[0]!, band.count * band.length]);
    return [through(concatTensors([matrices, bands], 1), replacing(band), input.shape)];
  },
});

type Align = "LEFT_RIGHT" | "RIGHT_LEFT" | "LEFT_LEFT" | "RIGHT_RIGHT";

export interface DiagonalOptions {
  /** 0, the main diagonal; positive above it; a pair for a band */
  readonly k?: number | readonly [number, number] | Output;
  /** "RIGHT_LEFT": how short diagonals lie in their rows, above and below the main one */
  readonly align?: Align;
  readonly name?: string;
}

/** Matrices with `x` on their diagonals. Named "diag". @see TensorFlow python/ops/array_ops.py "matrix_diag" */
export function diag(
  x: Output,
  options: DiagonalOptions & { readonly numRows?: number; readonly numCols?: number } = {},
): Output {
  const { k = 0, numRows = -1, numCols = -1, align: how = "RIGHT_LEFT", name = "diag" } = options;
  const padding = x.dtype === "bool" ? false : 0;
  return x.graph.add(MatrixDiagV3, [x, k as Input, numRows, numCols, padding], {
    name,
    attrs: { align: how },
  });
}

/** Diagonals of matrices. Named "diag_part". @see TensorFlow python/ops/array_ops.py "matrix_diag_part" */
export function diagPart(x: Output, options: DiagonalOptions = {}): Output {
  const { k = 0, align: how = "RIGHT_LEFT", name = "diag_part" } = options;
  const padding = x.dtype === "bool" ? false : 0;
  return x.graph.add(MatrixDiagPartV3, [x, k as Input, padding], { name, attrs: { align: how } });
}

/** Matrices `x` with diagonals replaced. Named "set_diag". @see TensorFlow python/ops/array_ops.py "matrix_set_diag" */
export function setDiag(x: Output, diagonal: Output, options: DiagonalOptions = {}): Output {
  const { k = 0, align: how = "RIGHT_LEFT", name = "set_diag" } = options;
  return x.graph.add(MatrixSetDiagV3, [x, diagonal, k as Input], { name, attrs: { align: how } });
}
