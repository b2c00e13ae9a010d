/** @file How far moving statistics are from those of data: what a layer computes in evaluation against what it learned with. Start at `gapOf`. */

/** Of one layer. 0 and 1 mean that nothing differs. */
export interface Gap {
  /** root mean square over channels of (data's mean - moving mean) / √(moving variance + epsilon): in units of the layer's own output */
  readonly shift: number;
  /** how much wider or narrower the data are, ≥ 1: exp of the root mean square of ln √((data's variance + epsilon) / (moving + epsilon)) */
  readonly ratio: number;
  /** the channel that is farthest off */
  readonly worst: {
    readonly channel: number;
    readonly moving: { readonly mean: number; readonly variance: number };
    readonly data: { readonly mean: number; readonly variance: number };
  };
}

export interface MeanAndVariance {
  readonly mean: ArrayLike<number>;
  readonly variance: ArrayLike<number>;
}

/** The gap between moving statistics and those of data. */
export function gapOf(moving: MeanAndVariance, data: MeanAndVariance, epsilon: number): Gap {
  const channels = data.mean.length;
  let [shifts, ratios, worst, most] = [0, 0, 0, -1];
  for (let c = 0; c < channels; c++) {
    const width = Math.sqrt(moving.variance[c]! + epsilon);
    const shift = (data.mean[c]! - moving.mean[c]!) / width;
    const ratio = Math.log(Math.sqrt(data.variance[c]! + epsilon) / width);
    shifts += shift * shift;
    ratios += ratio * ratio;
    const distance = shift * shift + ratio * ratio;
    if (distance > most || Number.isNaN(distance)) [worst, most] = [c, distance];
  }
  const at = (of: MeanAndVariance) => ({ mean: of.mean[worst]!, variance: of.variance[worst]! });
  return {
    shift: Math.sqrt(shifts / channels),
    ratio: Math.exp(Math.sqrt(ratios / channels)),
    worst: { channel: worst, moving: at(moving), data: at(data) },
  };
}
