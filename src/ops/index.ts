/**
 * @file All ops of the core registry. Each family file holds its ops whole: signature, shapes, gradient, lowering, host kernel, and the
 * public builder functions beneath. Start at activation.ts.
 */

import { Graph, registry } from "../graph/index.ts";
import * as activation from "./activation.ts";
import * as activationGrad from "./activation-grad.ts";
import * as arithmetic from "./arithmetic.ts";
import * as arrange from "./arrange.ts";
import * as assert from "./assert.ts";
import * as batchMatmul from "./batch-matmul.ts";
import * as bias from "./bias.ts";
import * as bits from "./bits.ts";
import * as broadcast from "./broadcast.ts";
import * as checkpoint from "./checkpoint.ts";
import * as checkpointV1 from "./checkpoint-v1.ts";
import * as clip from "./clip.ts";
import * as color from "./color.ts";
import * as compare from "./compare.ts";
import * as complex from "./complex.ts";
import * as control from "./control.ts";
import * as conv from "./conv.ts";
import * as conv3dOps from "./conv3d.ts";
import * as crop from "./crop.ts";
import * as diagonal from "./diagonal.ts";
import * as dilation from "./dilation.ts";
import * as division from "./division.ts";
import * as drawBoxes from "./draw-boxes.ts";
import * as einsum from "./einsum.ts";
import * as fill from "./fill.ts";
import * as functional from "./functional.ts";
import * as gather from "./gather.ts";
import * as guarded from "./guarded.ts";
import * as histogram from "./histogram.ts";
import * as imageProject from "./image-project.ts";
import * as imageResize from "./image-resize.ts";
import * as imageScale from "./image-scale.ts";
import * as join from "./join.ts";
import * as linalg from "./linalg.ts";
import * as loop from "./loop.ts";
import * as loss from "./loss.ts";
import * as lrn from "./lrn.ts";
import * as matmul from "./matmul.ts";
import * as matrixInverse from "./matrix-inverse.ts";
import * as nms from "./nms.ts";
import * as nmsCombined from "./nms-combined.ts";
import * as norm from "./norm.ts";
import * as optional from "./optional.ts";
import * as pad from "./pad.ts";
import * as parse from "./parse.ts";
import * as patches from "./patches.ts";
import * as pool from "./pool.ts";
import * as poolVariants from "./pool-variants.ts";
import * as pool3dOps from "./pool3d.ts";
import * as print from "./print.ts";
import * as ragged from "./ragged.ts";
import * as raggedRows from "./ragged-rows.ts";
import * as random from "./random.ts";
import * as ranking from "./ranking.ts";
import * as reduce from "./reduce.ts";
import * as rounding from "./rounding.ts";
import * as scan from "./scan.ts";
import * as scatter from "./scatter.ts";
import * as segment from "./segment.ts";
import * as select from "./select.ts";
import * as sequence from "./sequence.ts";
import * as shape from "./shape.ts";
import * as spectral from "./signal/spectral.ts";
import * as slice from "./slice.ts";
import * as source from "./source.ts";
import * as space from "./space.ts";
import * as sparseOps from "./sparse.ts";
import * as sparseMath from "./sparse-math.ts";
import * as sparseSegment from "./sparse-segment.ts";
import * as special from "./special.ts";
import * as stack from "./stack.ts";
import * as state from "./state.ts";
import * as stateRows from "./state-rows.ts";
import * as stitch from "./stitch.ts";
import * as strided from "./strided.ts";
import * as stringCode from "./string-code.ts";
import * as stringEdit from "./string-edit.ts";
import * as stringHash from "./string-hash.ts";
import * as stringNumber from "./string-number.ts";
import * as stringRegex from "./string-regex.ts";
import * as stringSplitOps from "./string-split.ts";
import * as stringUnicode from "./string-unicode.ts";
import * as summary from "./summary.ts";
import * as table from "./table.ts";
import * as tensorArray from "./tensor-array.ts";
import * as tensorList from "./tensor-list.ts";
import * as tensorListBulk from "./tensor-list-bulk.ts";
import * as text from "./text.ts";
import * as training from "./training.ts";
import * as trainingRef from "./training-ref.ts";
import * as trigonometry from "./trigonometry.ts";
import * as unary from "./unary.ts";
import * as vocab from "./vocab.ts";

/** Every op that varscope knows, by type. */
export const CORE_OPS = registry(
  activation,
  activationGrad,
  arithmetic,
  arrange,
  assert,
  batchMatmul,
  bias,
  bits,
  broadcast,
  checkpoint,
  checkpointV1,
  clip,
  color,
  compare,
  complex,
  control,
  conv,
  conv3dOps,
  crop,
  diagonal,
  dilation,
  division,
  drawBoxes,
  einsum,
  fill,
  functional,
  gather,
  guarded,
  imageProject,
  imageResize,
  imageScale,
  histogram,
  join,
  linalg,
  loop,
  loss,
  lrn,
  matmul,
  matrixInverse,
  nms,
  nmsCombined,
  norm,
  optional,
  pad,
  patches,
  parse,
  pool,
  pool3dOps,
  poolVariants,
  print,
  ragged,
  raggedRows,
  random,
  ranking,
  reduce,
  rounding,
  scan,
  scatter,
  segment,
  select,
  sequence,
  shape,
  slice,
  source,
  space,
  sparseSegment,
  sparseOps,
  sparseMath,
  special,
  spectral,
  stack,
  state,
  stateRows,
  stitch,
  stringEdit,
  stringHash,
  stringRegex,
  stringCode,
  stringNumber,
  stringSplitOps,
  stringUnicode,
  strided,
  summary,
  table,
  text,
  tensorArray,
  tensorList,
  tensorListBulk,
  training,
  trainingRef,
  trigonometry,
  unary,
  vocab,
);

/** An empty graph of these ops. */
export const newGraph = (): Graph => new Graph(CORE_OPS);

export {
  crelu,
  elu,
  gelu,
  leakyRelu,
  logSigmoid,
  relu,
  relu6,
  selu,
  softplus,
  softsign,
} from "./activation.ts";
export { add, addN, maximum, minimum, multiply, pow, squaredDifference, subtract } from "./arithmetic.ts";
export { reverse, roll, tile } from "./arrange.ts";
export { type BiasAddOptions, biasAdd } from "./bias.ts";
export { bitwiseAnd, bitwiseOr, bitwiseXor, invert, leftShift, rightShift } from "./bits.ts";
export { broadcastDynamicShape, broadcastTo } from "./broadcast.ts";
export { clipByValue } from "./clip.ts";
export {
  approximateEqual,
  equal,
  greater,
  greaterEqual,
  less,
  lessEqual,
  logicalAnd,
  logicalNot,
  logicalOr,
  logicalXor,
  notEqual,
} from "./compare.ts";
export { angle, complex, conj, imag, real } from "./complex.ts";
export {
  conv2d,
  conv2dTranspose,
  conv3d,
  conv3dTranspose,
  depthwiseConv2d,
  separableConv2d,
} from "./conv-api.ts";
export {
  type CrossEntropyOptions,
  logSoftmax,
  type SoftmaxOptions,
  sigmoidCrossEntropyWithLogits,
  softmax,
  softmaxCrossEntropyWithLogits,
  sparseSoftmaxCrossEntropyWithLogits,
} from "./cross-entropy.ts";
export { bandPart, diag, diagPart, setDiag } from "./diagonal.ts";
export { divide, divideNoNan, floordiv, floormod, multiplyNoNan } from "./division.ts";
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
export { einsum } from "./einsum.ts";
export { fill } from "./fill.ts";
export { gather, gatherNd } from "./gather.ts";
export { group, tuple, withDependencies } from "./group.ts";
export { xdivy, xlog1py, xlogy } from "./guarded.ts";
export * as image from "./image.ts";
export * as io from "./io.ts";
export { split, stack, unstack } from "./join.ts";
export { qr } from "./linalg.ts";
export { type LrnOptions, localResponseNormalization } from "./lrn.ts";
export { type MatmulOptions, matmul } from "./matmul.ts";
export { inv } from "./matrix-inverse.ts";
export { batchNormalization, fusedBatchNorm } from "./norm-api.ts";
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
export { avgPool, avgPool2d, maxPool, maxPool2d } from "./pool.ts";
export { avgPool3d, maxPool3d } from "./pool3d.ts";
export { type ArgOptions, argmax, argmin, inTopK, type TopKOptions, topK } from "./ranking.ts";
export {
  l2Loss,
  type ReduceOptions,
  reduceAll,
  reduceAny,
  reduceEuclideanNorm,
  reduceMax,
  reduceMean,
  reduceMin,
  reduceProd,
  reduceSum,
} from "./reduce.ts";
export { ceil, floor, isFinite_ as isFinite, isInf, isNan, rint, round } from "./rounding.ts";
export { cumprod, cumsum, type ScanOptions, setdiff1d } from "./scan.ts";
export { scatterNd, tensorScatterNdUpdate } from "./scatter.ts";
export { unique, unsortedSegmentSum } from "./segment.ts";
export { where } from "./select.ts";
export { oneHot } from "./sequence.ts";
export { expandDims, invertPermutation, squeeze } from "./shape.ts";
export * as signal from "./signal/index.ts";
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
export { digamma, erf, erfc, erfinv, lgamma, ndtri, polygamma, zeta } from "./special.ts";
export { readVariable, variableShape } from "./state.ts";
export { l2Normalize, moments, reduceLogsumexp, reduceStd, reduceVariance } from "./statistics.ts";
export { dynamicPartition, dynamicStitch } from "./stitch.ts";
export { type AxisIndex, index, stridedSlice } from "./strided.ts";
export * as strings from "./strings.ts";
export {
  type SummaryMergeOptions,
  type SummaryOptions,
  summaryAudio,
  summaryHistogram,
  summaryImage,
  summaryMerge,
  summaryMergeAll,
  summaryScalar,
  summaryText,
} from "./summary-api.ts";
export { TABLE_INITIALIZERS, tablesInitializer } from "./table.ts";
export { type TensorArrayOptions, type TensorArrayValue, tensorArray } from "./tensor-array-api.ts";
export {
  acos,
  acosh,
  asin,
  asinh,
  atan,
  atan2,
  atanh,
  cos,
  cosh,
  sigmoid,
  sin,
  sinh,
  tan,
  tanh,
} from "./trigonometry.ts";
export { abs, exp, expm1, log, log1p, negative, reciprocal, rsqrt, sign, sqrt, square } from "./unary.ts";
