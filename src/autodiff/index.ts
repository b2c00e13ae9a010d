/**
 * @file Symbolic differentiation of graphs, as TensorFlow Python builds it. Knows no op by name. Start at
 * gradients.ts.
 */

export { type GradientsOptions, gradients } from "./gradients.ts";
export { isTrainable } from "./reach.ts";
