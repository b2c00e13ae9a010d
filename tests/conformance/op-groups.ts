/** @file Families in groups of about the same work, one test file each, so that they run side by side. */

import { FAMILIES } from "./op-cases.ts";

const IMAGES: ReadonlySet<string> = new Set([
  "bias",
  "conv",
  "conv3d",
  "image-resize",
  "image-scale",
  "lrn",
  "norm",
  "pool",
  "pool3d",
  "reduce",
  "space",
]);

/** Families whose lowerings have blocked layouts. */
export const imageFamilies = FAMILIES.filter((f) => IMAGES.has(f));

const others = FAMILIES.filter((f) => !IMAGES.has(f));

/** The other families, in two halves that share the alphabet. */
export const evenFamilies = others.filter((_, i) => i % 2 === 0);
export const oddFamilies = others.filter((_, i) => i % 2 === 1);
