/**
 * @file The histogram of summaries: buckets whose limits grow by a tenth, from 1e-12 to 1e20, on both sides of 0. Start at `histogramOf`.
 *
 * @see TensorFlow core/lib/histogram/histogram.cc
 */

import { create } from "@bufbuild/protobuf";
import { type HistogramProto, HistogramProtoSchema } from "../../proto/index.ts";

/** Upper limits, exclusive, in ascending order. */
const LIMITS: Float64Array = (() => {
  const positive: number[] = [];
  for (let v = 1e-12; v < 1e20; v *= 1.1) positive.push(v);
  positive.push(Number.MAX_VALUE);
  return Float64Array.from([...positive.map((v) => -v).reverse(), 0, ...positive]);
})();

/** Index of the first limit above `value`; the last bucket takes what no limit is above. */
function bucketOf(value: number): number {
  let low = 0;
  let high = LIMITS.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (LIMITS[middle]! > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The message of finite `values`; buckets that are empty side by side are one. */
export function histogramOf(values: Iterable<number>): HistogramProto {
  const counts = new Float64Array(LIMITS.length);
  const proto = create(HistogramProtoSchema, { min: Number.MAX_VALUE, max: -Number.MAX_VALUE });
  for (const value of values) {
    counts[bucketOf(value)]!++;
    proto.min = Math.min(proto.min, value);
    proto.max = Math.max(proto.max, value);
    proto.num++;
    proto.sum += value;
    proto.sumSquares += value * value;
  }
  for (let i = 0; i < LIMITS.length; i++) {
    const count = counts[i]!;
    if (count === 0) while (i + 1 < LIMITS.length && counts[i + 1] === 0) i++;
    proto.bucketLimit.push(LIMITS[i]!);
    proto.bucket.push(count);
  }
  return proto;
}
