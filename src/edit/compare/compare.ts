/** @file How far the values of two tensors lie apart. Start at `Comparison`. */

import { type Element, getElement, type Tensor } from "../../base/index.ts";
import { numbersOf, sameBytes } from "../change/numbers.ts";

export interface Tolerance {
  /** 0 */
  readonly atol?: number;
  /** of the second value, as numpy's allclose: 0 */
  readonly rtol?: number;
}

/** What differs between two runs of values. */
export interface Distance {
  /** elements apart by more than the tolerance, |a - b| > atol + rtol * |b| */
  readonly different: number;
  /** largest |a - b|; NaN where a number stands against NaN; null for strings */
  readonly maxAbs: number | null;
  /** largest |a - b| / max(|a|, |b|) */
  readonly maxRel: number | null;
}

/** Adds up pieces that lie at the same place. NaN equals NaN. */
export class Comparison {
  private different = 0;
  private maxAbs = 0;
  private maxRel = 0;
  private text = false;
  private readonly atol: number;
  private readonly rtol: number;

  constructor({ atol = 0, rtol = 0 }: Tolerance = {}) {
    this.atol = atol;
    this.rtol = rtol;
  }

  /** @param a, b - tensors of rank 1 and one length */
  add(a: Tensor, b: Tensor): void {
    if (a.dtype === "string" || b.dtype === "string") {
      this.addStrings(a, b);
      return;
    }
    // NaN has the same bits here and there, and equals itself.
    if (a.dtype === b.dtype && sameBytes(a, b)) return;
    const x = numbersOf(a);
    const y = numbersOf(b);
    if (x !== null && y !== null) this.addAll(x, y);
    else for (let i = 0; i < a.shape[0]!; i++) this.addElements(getElement(a, i), getElement(b, i));
  }

  private addAll(x: ArrayLike<number>, y: ArrayLike<number>): void {
    for (let i = 0; i < x.length; i++) if (x[i] !== y[i]) this.addNumbers(x[i]!, y[i]!);
  }

  private addElements(a: Element, b: Element): void {
    if (typeof a === "bigint" && typeof b === "bigint") {
      if (a !== b) this.addDistance(Math.abs(Number(a - b)), Math.abs(Number(a)), Math.abs(Number(b)));
    } else if (Array.isArray(a) || Array.isArray(b)) {
      const [x, y] = [a, b].map((v) => (Array.isArray(v) ? v : [Number(v), 0]) as [number, number]);
      const same = (i: 0 | 1): boolean => x![i] === y![i] || (Number.isNaN(x![i]) && Number.isNaN(y![i]));
      if (same(0) && same(1)) return;
      this.addDistance(Math.hypot(x![0] - y![0], x![1] - y![1]), Math.hypot(...x!), Math.hypot(...y!));
    } else this.addNumbers(Number(a), Number(b));
  }

  private addNumbers(x: number, y: number): void {
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) return;
    this.addDistance(Math.abs(x - y), Math.abs(x), Math.abs(y));
  }

  private addDistance(abs: number, x: number, y: number): void {
    if (!(abs <= this.atol + this.rtol * y) || abs === Number.POSITIVE_INFINITY) this.different++;
    // NaN once is NaN for good.
    if (!(abs <= this.maxAbs)) this.maxAbs = Number.isNaN(this.maxAbs) ? this.maxAbs : abs;
    const rel = abs === Number.POSITIVE_INFINITY ? abs : abs / Math.max(x, y);
    if (!(rel <= this.maxRel)) this.maxRel = Number.isNaN(this.maxRel) ? this.maxRel : rel;
  }

  private addStrings(a: Tensor, b: Tensor): void {
    this.text = true;
    if (a.dtype !== b.dtype) {
      this.different += a.shape[0]!;
      return;
    }
    const [x, y] = [a.data as readonly Uint8Array[], b.data as readonly Uint8Array[]];
    x.forEach((bytes, i) => {
      const other = y[i]!;
      if (bytes.length !== other.length || bytes.some((byte, k) => byte !== other[k])) this.different++;
    });
  }

  get distance(): Distance {
    const { different, maxAbs, maxRel } = this;
    return this.text ? { different, maxAbs: null, maxRel: null } : { different, maxAbs, maxRel };
  }
}
