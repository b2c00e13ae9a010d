/**
 * @file All ops of the core registry. Each family file holds its ops whole: signature, shapes, gradient, lowering, host kernel, and the
 * public builder functions beneath. Start at activation.ts.
 */

import { registry } from "../graph/index.ts";
import * as arrange from "./arrange.ts";
import * as broadcast from "./broadcast.ts";
import * as control from "./control.ts";
import * as conv from "./conv.ts";
import * as diagonal from "./diagonal.ts";
import * as fill from "./fill.ts";
import * as gather from "./gather.ts";
import * as join from "./join.ts";
import * as norm from "./norm.ts";
import * as pad from "./pad.ts";
import * as pool from "./pool.ts";
import * as poolVariants from "./pool-variants.ts";
import * as random from "./random.ts";
import * as scatter from "./scatter.ts";
import * as segment from "./segment.ts";
import * as select from "./select.ts";
import * as sequence from "./sequence.ts";
import * as shape from "./shape.ts";
import * as slice from "./slice.ts";
import * as source from "./source.ts";
import * as state from "./state.ts";
import * as stitch from "./stitch.ts";
import * as strided from "./strided.ts";

/** Every op that varscope knows, by type. */
export const CORE_OPS = registry(
  arrange,
  broadcast,
  control,
  conv,
  diagonal,
  fill,
  gather,
  join,
  norm,
  pad,
  pool,
  poolVariants,
  random,
  scatter,
  segment,
  select,
  sequence,
  shape,
  slice,
  source,
  state,
  stitch,
  strided,
);

export { reverse, roll, tile } from "./arrange.ts";
export { broadcastDynamicShape, broadcastTo } from "./broadcast.ts";
export { bandPart, diag, diagPart, setDiag } from "./diagonal.ts";
export {
  getSeed,
  type NormalOptions,
  type RandomOptions,
  randomNormal,
  randomShuffle,
  randomUniform,
  type StatelessOptions,
  setRandomSeed,
  statelessNormal,
  statelessTruncatedNormal,
  statelessUniform,
  truncatedNormal,
  type UniformOptions,
} from "./draw.ts";
export { fill } from "./fill.ts";
export { gather, gatherNd } from "./gather.ts";
export { split, stack, unstack } from "./join.ts";
export { pad } from "./pad.ts";
export {
  cast,
  concat,
  ones,
  onesLike,
  range,
  rank,
  reshape,
  shape,
  shapeN,
  size,
  transpose,
  zeros,
  zerosLike,
} from "./pieces.ts";
export { scatterNd, tensorScatterNdUpdate } from "./scatter.ts";
export { unique, unsortedSegmentSum } from "./segment.ts";
export { where } from "./select.ts";
export { oneHot } from "./sequence.ts";
export { expandDims, invertPermutation, squeeze } from "./shape.ts";
export { slice } from "./slice.ts";
export {
  checkNumerics,
  constant,
  ensureShape,
  identity,
  identityN,
  noOp,
  placeholder,
  placeholderWithDefault,
  stopGradient,
} from "./source.ts";
export { readVariable, variableShape } from "./state.ts";
export { dynamicPartition, dynamicStitch } from "./stitch.ts";
export { type AxisIndex, index, stridedSlice } from "./strided.ts";
