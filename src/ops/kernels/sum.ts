/** @file Sums of tensors of one shape, of plain ones and of variants: what AddN and arrays of gradients do. Start at `addTensors`. */

import type { Tensor } from "../../base/index.ts";
import { cadd } from "./complex.ts";
import { mapBinary } from "./elementwise.ts";
import { addVariants } from "./variant.ts";

/** x + y, for each kind of element. */
export const SUM = {
  float: (x: number, y: number) => x + y,
  int: (x: number, y: number) => x + y,
  big: (x: bigint, y: bigint) => x + y,
  complex: cadd,
};

/** a + b; of variants item by item. The shapes are the caller's to check. */
export const addTensors = (a: Tensor, b: Tensor): Tensor =>
  a.dtype === "variant" ? addVariants(a, b, addTensors) : mapBinary(a, b, SUM);
