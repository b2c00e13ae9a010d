/**
 * @file What folding does to the ranges of weights, channel by channel: 8 bits for a whole tensor leave a channel few levels where another is
 * much wider. Start at `rangeReport`.
 */

import { FEWEST_LEVELS, INT8_LEVELS } from "../doctor/channel-rules.ts";
import type { Folded } from "./fold-after.ts";
import { channelRanges } from "./linear.ts";

/** Ranges of one tensor of weights, over the channels of its output. */
export interface Ranges {
  /** per channel: smallest and largest weight */
  readonly min: readonly number[];
  readonly max: readonly number[];
  /** largest |weight| of the widest channel, and of the narrowest that is not all zeros */
  readonly widest: number;
  readonly narrowest: number;
  /** the one divided by the other */
  readonly dynamicRange: number;
}

export interface RangeReport {
  readonly layer: string;
  readonly channels: number;
  readonly before: Ranges;
  readonly after: Ranges;
  /** steps of int8 that the narrowest channel has, where the tensor has one scale; 127 of the widest */
  readonly levels: number;
  /** fewer than 4, as the doctor counts: quantize this layer per channel, or equalise it first */
  readonly hazard: boolean;
}

/** Ranges of a folded layer. */
export function rangeReport({ layer, before, after, axes, scale }: Folded): RangeReport {
  const old = channelRanges(before, axes);
  const [first, second] = [old, scale === null ? channelRanges(after, axes) : scaled(old, scale)].map(
    rangesOf,
  );
  const levels = second!.widest === 0 ? INT8_LEVELS : (INT8_LEVELS * second!.narrowest) / second!.widest;
  return {
    layer,
    channels: first!.min.length,
    before: first!,
    after: second!,
    levels: Math.round(levels * 10) / 10,
    hazard: levels < FEWEST_LEVELS,
  };
}

type Extremes = ReturnType<typeof channelRanges>;

/** Ranges of channels that were multiplied by these. */
const scaled = ({ min, max }: Extremes, scale: Float64Array): Extremes => ({
  min: min.map((low, c) => (scale[c]! < 0 ? max[c]! : low) * scale[c]!),
  max: max.map((high, c) => (scale[c]! < 0 ? min[c]! : high) * scale[c]!),
});

function rangesOf({ min, max }: Extremes): Ranges {
  const sizes = Array.from(min, (low, i) => Math.max(Math.abs(low), Math.abs(max[i]!))).filter((s) => s > 0);
  const widest = sizes.reduce((a, b) => Math.max(a, b), 0);
  const narrowest = sizes.reduce((a, b) => Math.min(a, b), widest);
  const dynamicRange = narrowest === 0 ? 1 : widest / narrowest;
  return { min: [...min], max: [...max], widest, narrowest, dynamicRange };
}
