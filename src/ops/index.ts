/**
 * @file All ops of the core registry. Each family file holds its ops whole: signature, shapes, gradient, lowering, host kernel, and the
 * public builder functions beneath. Start at activation.ts.
 */

import { registry } from "../graph/index.ts";
import * as broadcast from "./broadcast.ts";
import * as control from "./control.ts";
import * as fill from "./fill.ts";
import * as shape from "./shape.ts";
import * as source from "./source.ts";
import * as state from "./state.ts";

/** Every op that varscope knows, by type. */
export const CORE_OPS = registry(broadcast, control, fill, shape, source, state);

export { broadcastDynamicShape, broadcastTo } from "./broadcast.ts";
export { fill } from "./fill.ts";
export {
  cast,
  concat,
  ones,
  onesLike,
  rank,
  reshape,
  shape,
  shapeN,
  size,
  zeros,
  zerosLike,
} from "./pieces.ts";
export { expandDims, invertPermutation, squeeze } from "./shape.ts";
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
