/**
 * @file Optimizer steps on ref variables, over whole variables and over rows (`Sparse`). The formulas are in kernels/optimizer-steps.ts.
 *
 * @see TensorFlow core/ops/training_ops.cc
 */

import {
  adadelta,
  adagrad,
  adagradV2,
  adaMax,
  adam,
  centeredRmsProp,
  ftrl,
  gradientDescent,
  momentum,
  rmsProp,
} from "./kernels/optimizer-steps.ts";
import { LINEAR_BY_LR, NESTEROV, refStep, UPDATE_SLOTS } from "./training-def.ts";

/** var - alpha · delta. */
export const ApplyGradientDescent = refStep("ApplyGradientDescent", "var | alpha delta", gradientDescent);

/** Momentum, of Nesterov's kind with `use_nesterov`. */
export const ApplyMomentum = refStep("ApplyMomentum", "var accum | lr grad momentum", momentum, NESTEROV);

/** Momentum, of Nesterov's kind with `use_nesterov`, of the rows at `indices`. */
export const SparseApplyMomentum = refStep(
  "SparseApplyMomentum",
  "var accum | lr grad indices momentum",
  momentum,
  NESTEROV,
);

/** Adam; the powers are β₁ᵗ and β₂ᵗ of this step. */
export const ApplyAdam = refStep(
  "ApplyAdam",
  "var m v | beta1_power beta2_power lr beta1 beta2 epsilon grad",
  adam,
  NESTEROV,
);

/** AdaMax. */
export const ApplyAdaMax = refStep(
  "ApplyAdaMax",
  "var m v | beta1_power lr beta1 beta2 epsilon grad",
  adaMax,
);

/** RMSProp. */
export const ApplyRMSProp = refStep("ApplyRMSProp", "var ms mom | lr rho momentum epsilon grad", rmsProp);

/** RMSProp, of the rows at `indices`. */
export const SparseApplyRMSProp = refStep(
  "SparseApplyRMSProp",
  "var ms mom | lr rho momentum epsilon grad indices",
  rmsProp,
);

/** RMSProp over the variance. */
export const ApplyCenteredRMSProp = refStep(
  "ApplyCenteredRMSProp",
  "var mg ms mom | lr rho momentum epsilon grad",
  centeredRmsProp,
);

/** RMSProp over the variance, of the rows at `indices`. */
export const SparseApplyCenteredRMSProp = refStep(
  "SparseApplyCenteredRMSProp",
  "var mg ms mom | lr rho momentum epsilon grad indices",
  centeredRmsProp,
);

/** Adagrad. */
export const ApplyAdagrad = refStep("ApplyAdagrad", "var accum | lr grad", adagrad, UPDATE_SLOTS);

/** Adagrad, of the rows at `indices`. */
export const SparseApplyAdagrad = refStep(
  "SparseApplyAdagrad",
  "var accum | lr grad indices",
  adagrad,
  UPDATE_SLOTS,
);

/** Adagrad with ε. */
export const ApplyAdagradV2 = refStep(
  "ApplyAdagradV2",
  "var accum | lr epsilon grad",
  adagradV2,
  UPDATE_SLOTS,
);

/** Adagrad with ε, of the rows at `indices`. */
export const SparseApplyAdagradV2 = refStep(
  "SparseApplyAdagradV2",
  "var accum | lr epsilon grad indices",
  adagradV2,
  UPDATE_SLOTS,
);

/** Adadelta. */
export const ApplyAdadelta = refStep(
  "ApplyAdadelta",
  "var accum accum_update | lr rho epsilon grad",
  adadelta,
);

/** Adadelta, of the rows at `indices`. */
export const SparseApplyAdadelta = refStep(
  "SparseApplyAdadelta",
  "var accum accum_update | lr rho epsilon grad indices",
  adadelta,
);

/** FTRL. */
export const ApplyFtrl = refStep(
  "ApplyFtrl",
  "var accum linear | grad lr l1 l2 lr_power",
  ftrl,
  LINEAR_BY_LR,
);

/** FTRL, of the rows at `indices`. */
export const SparseApplyFtrl = refStep(
  "SparseApplyFtrl",
  "var accum linear | grad indices lr l1 l2 lr_power",
  ftrl,
  LINEAR_BY_LR,
);

/** FTRL with l2 shrinkage. */
export const ApplyFtrlV2 = refStep(
  "ApplyFtrlV2",
  "var accum linear | grad lr l1 l2 l2_shrinkage lr_power",
  ftrl,
  LINEAR_BY_LR,
);

/** FTRL with l2 shrinkage, of the rows at `indices`. */
export const SparseApplyFtrlV2 = refStep(
  "SparseApplyFtrlV2",
  "var accum linear | grad indices lr l1 l2 l2_shrinkage lr_power",
  ftrl,
  LINEAR_BY_LR,
);
