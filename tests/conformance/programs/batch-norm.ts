/** @file Programs of batch normalization with renormalization, parts of batches, and slim's: twins of tools/goldens/batch_norm.py. */

import { type Graph, group, type Operation, type Output } from "../../../src/graph/index.ts";
import {
  type BatchNormalizationOptions,
  type BatchNormOptions,
  batchNorm,
  batchNormalization,
} from "../../../src/layers/index.ts";
import { gradientDescentOptimizer } from "../../../src/train/index.ts";
import { GraphKeys, globalVariablesInitializer } from "../../../src/variables/index.ts";
import { trainNorm } from "./layers.ts";
import { both, holder, identity, type Program, reduceAll, relu, square, sub, use } from "./pieces.ts";

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

const slim =
  (shape: readonly number[], options: BatchNormOptions, asksPlaceholder = false) =>
  (g: Graph, resource = false): void => {
    use(g, resource);
    const isTraining = asksPlaceholder ? holder(g, "training", [], "bool") : true;
    const y = batchNorm(holder(g, "x", [null, ...shape.slice(1)]), { isTraining, ...options });
    const loss = reduceAll("Mean", square(sub(y, 1)), "loss");
    g.controlDependencies(g.getCollection<Operation | Output>(GraphKeys.UPDATE_OPS), () =>
      group(g, [gradientDescentOptimizer({ learningRate: 0.1 }).minimize(loss)], "train"),
    );
    identity(y, "y");
    globalVariablesInitializer(g);
  };

function slimTwice(g: Graph): void {
  use(g, false);
  const x = holder(g, "x", [null, 3]);
  batchNorm(x);
  batchNorm(x);
  for (const reuse of [null, true]) batchNorm(x, { scope: "bn", reuse, isTraining: false });
}

const inPlace = { updatesCollections: null };
const first = [4, 3, 2, 2];

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
  ...both("slim_rank2", slim([8, 3], { scale: true })),
  ...both("slim_debias", slim([4, 2, 2, 3], { zeroDebiasMovingMean: true, scope: "bn" })),
  ...both("slim_placeholder", slim([4, 2, 2, 3], { zeroDebiasMovingMean: true, decay: 0.9 }, true)),
  ...both("slim_in_place", slim([4, 2, 2, 3], { ...inPlace, scope: "bn", activationFn: (y) => relu(y) })),
  slim_unfused_images: slim([4, 2, 2, 3], { ...inPlace, scale: true, fused: false }),
  slim_unfused_first: slim(first, {
    dataFormat: "NCHW",
    zeroDebiasMovingMean: true,
    scale: true,
    fused: false,
  }),
  slim_unfused_rank3: slim([4, 5, 3], { updatesCollections: "mine", fused: false }),
  slim_unfused_placeholder: slim([8, 3], { ...inPlace, scale: true, fused: false }, true),
  slim_fused_first: slim(first, { dataFormat: "NCHW", updatesCollections: "mine", scope: "bn" }),
  slim_twice_x: slimTwice,
  ...both("lists", trained(IMAGES, { axis: [1, 3], fused: false })),
};
