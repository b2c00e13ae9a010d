/**
 * @file Non-maximum suppression: boxes are taken by score, best first, and one that overlaps a taken one too much is dropped, or taken
 * later with a smaller score. Boxes are [y1, x1, y2, x2], any two opposite corners. Start at `suppress`.
 *
 * @see TensorFlow core/kernels/image/non_max_suppression_op.cc
 */

import { floatToHalf, halfToFloat } from "../../base/index.ts";

const f = Math.fround;

/** Rounds to the dtype that scores have. */
export type Round = (x: number) => number;
export const toHalf: Round = (x) => halfToFloat(floatToHalf(x));

/**
 * A heap whose ties come out as those of C++'s std::priority_queue in libstdc++, where TensorFlow leaves their order open.
 * `less(a, b)`: b comes out before a.
 */
class Heap<X> {
  private readonly items: X[] = [];
  private readonly less: (a: X, b: X) => boolean;

  constructor(less: (a: X, b: X) => boolean) {
    this.less = less;
  }

  get size(): number {
    return this.items.length;
  }

  push(item: X): void {
    this.items.push(item);
    this.rise(this.items.length - 1, item);
  }

  /** The first; there must be one. */
  pop(): X {
    const first = this.items[0]!;
    const last = this.items.pop()!;
    const { length } = this.items;
    if (length === 0) return first;
    let hole = 0;
    for (let child = 1; child < length; child = 2 * hole + 1) {
      const right = child + 1;
      if (right < length && !this.less(this.items[right]!, this.items[child]!)) child = right;
      this.items[hole] = this.items[child]!;
      hole = child;
    }
    this.rise(hole, last);
    return first;
  }

  private rise(from: number, item: X): void {
    let hole = from;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.less(this.items[parent]!, item)) break;
      this.items[hole] = this.items[parent]!;
      hole = parent;
    }
    this.items[hole] = item;
  }
}

interface Box {
  readonly top: number;
  readonly left: number;
  readonly bottom: number;
  readonly right: number;
}

function boxAt(boxes: ArrayLike<number>, at: number): Box {
  const [a, b, c, d] = [boxes[at]!, boxes[at + 1]!, boxes[at + 2]!, boxes[at + 3]!];
  return { top: Math.min(a, c), left: Math.min(b, d), bottom: Math.max(a, c), right: Math.max(b, d) };
}

const areaOf = ({ top, left, bottom, right }: Box): number => f(f(bottom - top) * f(right - left));

/** Intersection over union of the boxes that begin at elements i and j, in float32; 0 where one is empty. */
export function overlap(boxes: ArrayLike<number>, i: number, j: number): number {
  const [a, b] = [boxAt(boxes, i), boxAt(boxes, j)];
  const [areaA, areaB] = [areaOf(a), areaOf(b)];
  if (areaA <= 0 || areaB <= 0) return 0;
  const height = Math.max(f(Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)), 0);
  const width = Math.max(f(Math.min(a.right, b.right) - Math.max(a.left, b.left)), 0);
  const common = f(height * width);
  return f(common / f(f(areaA + areaB) - common));
}

export interface Suppression {
  readonly scores: ArrayLike<number>;
  /** overlap of two boxes by their indices */
  readonly similarity: (i: number, j: number) => number;
  readonly most: number;
  /** above: dropped */
  readonly threshold: number;
  /** at or below: never taken */
  readonly scoreThreshold: number;
  /** 0: dropped; else an overlap s multiplies the score by exp(-s²/(2 sigma)) */
  readonly sigma: number;
  readonly round: Round;
}

interface Candidate {
  readonly box: number;
  score: number;
  /** number of taken boxes that it was compared with */
  seen: number;
}

/** The boxes taken, best first, with the scores that they had then. */
export function suppress(options: Suppression): { boxes: number[]; scores: number[] } {
  const { scores, scoreThreshold } = options;
  const queue = new Heap<Candidate>((a, b) => (a.score === b.score ? a.box > b.box : a.score < b.score));
  for (let box = 0; box < scores.length; box++) {
    const score = scores[box]!;
    if (score > scoreThreshold) queue.push({ box, score, seen: 0 });
  }
  const taken: { boxes: number[]; scores: number[] } = { boxes: [], scores: [] };
  while (taken.boxes.length < options.most && queue.size > 0) {
    const next = queue.pop();
    const { score } = next;
    if (!survives(next, taken.boxes, options)) continue;
    next.seen = taken.boxes.length;
    if (next.score === score) {
      taken.boxes.push(next.box);
      taken.scores.push(score);
    } else if (next.score > scoreThreshold) queue.push(next);
  }
  return taken;
}

/** Compares a candidate with the boxes taken since it was last looked at, the latest first; its score may shrink. */
function survives(next: Candidate, taken: readonly number[], options: Suppression): boolean {
  const { round, sigma, threshold, scoreThreshold } = options;
  const scale = sigma > 0 ? round(-0.5 / sigma) : 0;
  for (let j = taken.length - 1; j >= next.seen; j--) {
    const similarity = round(options.similarity(next.box, taken[j]!));
    if (sigma === 0 && similarity > threshold) return false;
    // an overlap that is NaN is neither
    const kept = sigma > 0 || similarity <= threshold;
    const weight = kept ? round(Math.exp(round(round(scale * similarity) * similarity))) : 0;
    next.score = round(next.score * weight);
    if (next.score <= scoreThreshold) break;
  }
  return true;
}

export interface ClassSuppression {
  /** of one image: [boxes, q, 4] where q is 1 or the number of classes */
  readonly boxes: ArrayLike<number>;
  readonly q: number;
  /** [boxes, classes] */
  readonly scores: ArrayLike<number>;
  readonly classes: number;
  readonly mostPerClass: number;
  readonly most: number;
  readonly threshold: number;
  readonly scoreThreshold: number;
}

/** A box that was taken for a class; `at`: where it begins in `boxes`. */
export interface Detection {
  readonly at: number;
  readonly score: number;
  readonly label: number;
}

/** The best detections of one image over all classes, best first, each class suppressed by itself. */
export function suppressClasses(options: ClassSuppression): Detection[] {
  const all = Array.from({ length: options.classes }, (_, label) => detections(options, label)).flat();
  return all.sort((a, b) => b.score - a.score).slice(0, options.most);
}

function detections(options: ClassSuppression, label: number): Detection[] {
  const { boxes, q, scores, classes } = options;
  const queue = new Heap<Detection>((a, b) => a.score < b.score);
  for (let box = 0; box * classes < scores.length; box++) {
    const score = scores[box * classes + label]!;
    const at = (box * q + (q > 1 ? label : 0)) * 4;
    if (score > options.scoreThreshold) queue.push({ at, score, label });
  }
  const taken: Detection[] = [];
  while (taken.length < options.mostPerClass && queue.size > 0) {
    const next = queue.pop();
    if (taken.every(({ at }) => !(overlap(boxes, next.at, at) > options.threshold))) taken.push(next);
  }
  return taken;
}
