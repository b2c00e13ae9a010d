/** @file Programs of batch normalization with renormalization, parts of batches, and slim's: twins of tools/goldens/batch_norm.py. */

import { type Graph, group, type Operation, type Output } from "../../../src/graph/index.ts";
import { type BatchNormalizationOptions, batchNormalization } from "../../../src/layers/index.ts";
import { GraphKeys } from "../../../src/variables/index.ts";
import { trainNorm } from "./layers.ts";
import { both, holder, identity, type Program, use } from "./pieces.ts";

const trained =
  (shape: (number | null)[], options: BatchNormalizationOptions) =>
  (g: Graph, resource = false): void => {
    use(g, resource);
    trainNorm(batchNormalization(holder(g, "x", shape), { training: true, ...options }));
  };

function renormClipped(g: Graph, resource: boolean): void {
  use(g, resource);
  const training = holder(g, "training", [], "bool");
  const clipping = { rmax: 1.5, rmin: 1 / 1.5, dmax: 0.5 };
  const x = holder(g, "x", [null, 2, 2, 3]);
  trainNorm(batchNormalization(x, { training, renorm: true, renormClipping: clipping, renormMomentum: 0.9 }));
}

const inference =
  (shape: (number | null)[], options: BatchNormalizationOptions): Program =>
  (g) => {
    use(g, false);
    identity(batchNormalization(holder(g, "x", shape), { name: "bn", ...options }), "y");
  };

const oneStep =
  (options: BatchNormalizationOptions): Program =>
  (g) => {
    use(g, false);
    identity(batchNormalization(holder(g, "x", [null, 1]), { training: true, ...options }), "y");
    group(g, g.getCollection<Operation | Output>(GraphKeys.UPDATE_OPS), "train");
  };

const WIDE = [4, 2, 5, 3];
const IMAGES = [null, 2, 2, 3];
const limits = { rmax: 3, dmax: 5 };

export const BATCH_NORM_PROGRAMS: Record<string, Program> = {
  ...both("renorm", trained([null, 3], { renorm: true })),
  ...both("renorm_clipped", renormClipped),
  renorm_axis_first: trained(WIDE, { renorm: true, name: "bn", axis: 1, scale: false }),
  renorm_axis_several: trained(WIDE, { renorm: true, name: "bn", axis: [1, 3], center: false }),
  renorm_axis_inference: inference(WIDE, { renorm: true }),
  renorm_one_step_x: oneStep({ renorm: true, renormClipping: limits }),
  ...both("virtual", trained([null, 3], { virtualBatchSize: 4 })),
  virtual_axis_images: trained(IMAGES, { virtualBatchSize: 2, name: "bn" }),
  virtual_axis_first: trained(IMAGES, { virtualBatchSize: 2, name: "bn", axis: 1 }),
  virtual_axis_inference: inference([null, 3], { virtualBatchSize: 2 }),
  virtual_one_step_x: oneStep({ virtualBatchSize: 2 }),
  ...both("lists", trained(IMAGES, { axis: [1, 3], fused: false })),
};
