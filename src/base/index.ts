/** @file Values and errors: dtypes, shapes, tensors, half floats. Imports nothing. Start at tensor.ts. */

export { type Box, copyRegion, flatStart, intersect, overlap, runOf, wholeBox } from "./box.ts";
export { joinBytes } from "./bytes.ts";
export { combineCrc, crc32, crc32c, maskCrc, unmaskCrc } from "./crc32c.ts";
export { scaledDecimal } from "./decimal.ts";
export {
  DTYPES,
  type DType,
  dtypeCppName,
  dtypeFromCode,
  dtypeFromProto,
  dtypeToProto,
  formatPyDType,
  isBigInt,
  isComplex,
  isDType,
  isFloat,
  isInteger,
  REF_OFFSET,
} from "./dtype.ts";
export { type ErrorCode, type ErrorDetails, isVarscopeError, need, VarscopeError } from "./errors.ts";
export { float8ToFloat, isFloat8 } from "./float8.ts";
export { groupedBy } from "./group.ts";
export { bfloat16ToFloat, floatToBfloat16, floatToHalf, halfToFloat, roundHalfEven } from "./half.ts";
export { handleOf, handleTensor } from "./handle.ts";
export { formatTensor, type PrintOptions } from "./numpy.ts";
export { formatBytes, formatScalar } from "./numpy-elements.ts";
export { defined } from "./options.ts";
export {
  broadcastShapes,
  formatPyShape,
  formatShape,
  isCompatible,
  isStatic,
  mergeShapes,
  normalizeAxis,
  type Shape,
  sameShape,
  sizeOf,
  sizeOrNull,
  stridesOf,
} from "./shape.ts";
export {
  allocate,
  bytesOf,
  type Element,
  fromBytes,
  fromData,
  getElement,
  type Nested,
  type NumericArray,
  naturalDType,
  reshaped,
  scalar,
  setElement,
  type Tensor,
  type TensorData,
  tensor,
  toNested,
  toNumbers,
  zeros,
} from "./tensor.ts";
export { compareText } from "./text.ts";
