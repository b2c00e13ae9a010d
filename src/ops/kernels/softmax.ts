/** @file Softmax and cross entropy of rows, in double, rounded once. NaN where the largest of a row is not finite, as TensorFlow. */

import { sizeOf, type Tensor } from "../../base/index.ts";
import { fromNumbers, numbersOf } from "./numbers.ts";

/** Rows of the last axis. */
const columnsOf = (t: Tensor): number => t.shape[t.shape.length - 1] ?? 1;

/** Calls back with each row's place, its largest element, and Σ exp(x - largest). */
function eachRow(
  t: Tensor,
  x: ArrayLike<number>,
  use: (base: number, largest: number, sum: number) => void,
): void {
  const columns = columnsOf(t);
  for (let base = 0; base < x.length; base += columns) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < columns; c++) largest = Math.max(largest, x[base + c]!);
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += Math.exp(x[base + c]! - largest);
    use(base, largest, sum);
  }
}

/** exp(x) / Σ exp(x) along the last axis, or its logarithm. */
export function softmaxRows(t: Tensor, logarithm: boolean): Tensor {
  const x = numbersOf(t);
  const columns = columnsOf(t);
  const out = new Float64Array(sizeOf(t.shape));
  eachRow(t, x, (base, largest, sum) => {
    for (let i = base; i < base + columns; i++) {
      const shifted = x[i]! - largest;
      out[i] = logarithm ? shifted - Math.log(sum) : Math.exp(shifted) / sum;
    }
  });
  return fromNumbers(t.dtype, t.shape, out);
}

/** -Σ labels · log softmax(logits) of each row, and its gradient, softmax - labels. Both are matrices of one shape. */
export function crossEntropyRows(logits: Tensor, labels: Tensor): [Tensor, Tensor] {
  const [rows, columns] = logits.shape as [number, number];
  const [x, p] = [numbersOf(logits), numbersOf(labels)];
  const loss = new Float64Array(rows);
  const backprop = new Float64Array(rows * columns);
  eachRow(logits, x, (base, largest, sum) => {
    let total = 0;
    for (let i = base; i < base + columns; i++) {
      const shifted = x[i]! - largest;
      total += p[i]! * (Math.log(sum) - shifted);
      backprop[i] = Math.exp(shifted) / sum - p[i]!;
    }
    loss[base / columns] = total;
  });
  return [fromNumbers(logits.dtype, [rows], loss), fromNumbers(logits.dtype, [rows, columns], backprop)];
}

/** The same for labels that are class numbers in range. */
export function sparseCrossEntropyRows(logits: Tensor, labels: readonly number[]): [Tensor, Tensor] {
  const [rows, columns] = logits.shape as [number, number];
  const x = numbersOf(logits);
  const loss = new Float64Array(rows);
  const backprop = new Float64Array(rows * columns);
  eachRow(logits, x, (base, largest, sum) => {
    const row = base / columns;
    const label = labels[row]!;
    loss[row] = Math.log(sum) - (x[base + label]! - largest);
    for (let c = 0; c < columns; c++) {
      backprop[base + c] = Math.exp(x[base + c]! - largest) / sum - (c === label ? 1 : 0);
    }
  });
  return [fromNumbers(logits.dtype, [rows], loss), fromNumbers(logits.dtype, [rows, columns], backprop)];
}
