/**
 * @file Files of named arrays: numpy's .npz and safetensors, read lazily and written as streams. Start at `openNpz` and
 * `openSafetensors`.
 */

export { openNpz } from "./npz.ts";
export { writeNpz } from "./npz-write.ts";
export { openSafetensors } from "./safetensors.ts";
export { writeSafetensors } from "./safetensors-write.ts";
