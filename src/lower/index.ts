/**
 * @file Graph to ONNX: the builder that ops lower themselves with, image layouts, fusion, the model's bytes. Knows no session. Start at
 * builder.ts; recipes are in blocked-conv.ts.
 */

export { Builder } from "./builder.ts";
export type { LayoutChoice } from "./layout.ts";
export type { ModelPort } from "./model.ts";
export { isOnnxType, ONNX_TYPES } from "./onnx-types.ts";
export type { Value } from "./value.ts";
