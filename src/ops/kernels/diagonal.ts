/**
 * @file Where the elements of diagonals lie in matrices: tables of source positions, -1 for padding. Start at `bandOf`.
 *
 * @see TensorFlow core/kernels/linalg/matrix_diag_op.cc
 */

import { VarscopeError } from "../../base/index.ts";

/** Diagonals `lower` to `upper` (0: the main one, above it positive) of a [rows, cols] matrix, as rows of a [count, length] band. */
export interface Band {
  readonly rows: number;
  readonly cols: number;
  readonly lower: number;
  readonly upper: number;
  readonly count: number;
  readonly length: number;
  readonly align: string;
}

const lengthOf = (rows: number, cols: number, d: number): number =>
  Math.min(rows + Math.min(d, 0), cols - Math.max(d, 0));

/** @throws VarscopeError INVALID_ARGUMENT - a diagonal outside the matrix */
export function bandOf(rows: number, cols: number, k: readonly number[], align: string): Band {
  const [lower, upper] = [k[0]!, k[1] ?? k[0]!];
  const fits = (d: number): boolean => (d > -rows && d < cols) || d === 0;
  if (lower > upper || !fits(lower) || !fits(upper)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `diagonals ${lower} to ${upper} are not in a matrix of ${rows} rows and ${cols} columns`,
    );
  }
  const length = Math.max(0, Math.min(rows + Math.min(upper, 0), cols - Math.max(lower, 0)));
  return { rows, cols, lower, upper, count: upper - lower + 1, length, align };
}

/** Blank places before the elements of diagonal d in its row of the band. */
function offsetOf(band: Band, d: number): number {
  const [above, below] = band.align.split("_");
  const left = (d >= 0 && above === "LEFT") || (d <= 0 && below === "LEFT");
  return left ? 0 : band.length - lengthOf(band.rows, band.cols, d);
}

/** For each place of the band, its place in the matrix; -1 for padding. */
export function placesInMatrix(band: Band): number[] {
  const out = new Array<number>(band.count * band.length).fill(-1);
  for (let d = band.lower; d <= band.upper; d++) {
    const start = (band.upper - d) * band.length + offsetOf(band, d);
    const n = lengthOf(band.rows, band.cols, d);
    for (let i = 0; i < n; i++) out[start + i] = (i - Math.min(d, 0)) * band.cols + i + Math.max(d, 0);
  }
  return out;
}

/** For each place of the matrix, its place in the band; -1 where it is on none of the diagonals. */
export function placesInBand(band: Band): number[] {
  const out = new Array<number>(band.rows * band.cols).fill(-1);
  placesInMatrix(band).forEach((place, i) => {
    if (place >= 0) out[place] = i;
  });
  return out;
}
