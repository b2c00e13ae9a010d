/** @file Which containers of variables there are, by the names that `inspect` prints. Start at `Format`. */

/** What a container of variables or graphs can be. */
export const FORMATS = [
  "checkpoint-v1",
  "checkpoint-v2",
  "checkpoint-object",
  "saved-model",
  "graph-def",
  "meta-graph",
  "keras-v3",
  "keras-weights",
  "keras-h5",
  "npz",
  "safetensors",
  "tflite",
  "onnx",
] as const;

export type Format = (typeof FORMATS)[number];
