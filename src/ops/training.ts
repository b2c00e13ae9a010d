/**
 * @file Optimizer steps on resource variables, over whole variables and over rows (`Sparse`). The formulas are in kernels/optimizer-steps.ts, the same
 * ops on ref variables in training-ref.ts.
 *
 * @see TensorFlow core/ops/training_ops.cc, core/kernels/training_ops.cc
 */

import {
  adadelta,
  adagrad,
  adagradV2,
  adaMax,
  adam,
  adamWithAmsgrad,
  centeredRmsProp,
  ftrl,
  gradientDescent,
  kerasMomentum,
  momentum,
  rmsProp,
} from "./kernels/optimizer-steps.ts";
import { LINEAR_BY_LR, NESTEROV, resourceStep, UPDATE_SLOTS } from "./training-def.ts";

/** var - alpha · delta. */
export const ResourceApplyGradientDescent = resourceStep(
  "ResourceApplyGradientDescent",
  "var | alpha delta",
  gradientDescent,
);

/** Momentum, of Nesterov's kind with `use_nesterov`. */
export const ResourceApplyMomentum = resourceStep(
  "ResourceApplyMomentum",
  "var accum | lr grad momentum",
  momentum,
  NESTEROV,
);

/** Momentum, of Nesterov's kind with `use_nesterov`, of the rows at `indices`. */
export const ResourceSparseApplyMomentum = resourceStep(
  "ResourceSparseApplyMomentum",
  "var accum | lr grad indices momentum",
  momentum,
  NESTEROV,
);

/** Momentum whose slot holds lr · accum. */
export const ResourceApplyKerasMomentum = resourceStep(
  "ResourceApplyKerasMomentum",
  "var accum | lr grad momentum",
  kerasMomentum,
  NESTEROV,
);

/** Momentum whose slot holds lr · accum, of the rows at `indices`. */
export const ResourceSparseApplyKerasMomentum = resourceStep(
  "ResourceSparseApplyKerasMomentum",
  "var accum | lr grad indices momentum",
  kerasMomentum,
  NESTEROV,
);

/** Adam; the powers are β₁ᵗ and β₂ᵗ of this step. */
export const ResourceApplyAdam = resourceStep(
  "ResourceApplyAdam",
  "var m v | beta1_power beta2_power lr beta1 beta2 epsilon grad",
  adam,
  NESTEROV,
);

/** AMSGrad. */
export const ResourceApplyAdamWithAmsgrad = resourceStep(
  "ResourceApplyAdamWithAmsgrad",
  "var m v vhat | beta1_power beta2_power lr beta1 beta2 epsilon grad",
  adamWithAmsgrad,
);

/** AdaMax. */
export const ResourceApplyAdaMax = resourceStep(
  "ResourceApplyAdaMax",
  "var m v | beta1_power lr beta1 beta2 epsilon grad",
  adaMax,
);

/** RMSProp. */
export const ResourceApplyRMSProp = resourceStep(
  "ResourceApplyRMSProp",
  "var ms mom | lr rho momentum epsilon grad",
  rmsProp,
);

/** RMSProp, of the rows at `indices`. */
export const ResourceSparseApplyRMSProp = resourceStep(
  "ResourceSparseApplyRMSProp",
  "var ms mom | lr rho momentum epsilon grad indices",
  rmsProp,
);

/** RMSProp over the variance. */
export const ResourceApplyCenteredRMSProp = resourceStep(
  "ResourceApplyCenteredRMSProp",
  "var mg ms mom | lr rho momentum epsilon grad",
  centeredRmsProp,
);

/** RMSProp over the variance, of the rows at `indices`. */
export const ResourceSparseApplyCenteredRMSProp = resourceStep(
  "ResourceSparseApplyCenteredRMSProp",
  "var mg ms mom | lr rho momentum epsilon grad indices",
  centeredRmsProp,
);

/** Adagrad. */
export const ResourceApplyAdagrad = resourceStep(
  "ResourceApplyAdagrad",
  "var accum | lr grad",
  adagrad,
  UPDATE_SLOTS,
);

/** Adagrad, of the rows at `indices`. */
export const ResourceSparseApplyAdagrad = resourceStep(
  "ResourceSparseApplyAdagrad",
  "var accum | lr grad indices",
  adagrad,
  UPDATE_SLOTS,
);

/** Adagrad with ε. */
export const ResourceApplyAdagradV2 = resourceStep(
  "ResourceApplyAdagradV2",
  "var accum | lr epsilon grad",
  adagradV2,
  UPDATE_SLOTS,
);

/** Adagrad with ε, of the rows at `indices`. */
export const ResourceSparseApplyAdagradV2 = resourceStep(
  "ResourceSparseApplyAdagradV2",
  "var accum | lr epsilon grad indices",
  adagradV2,
  UPDATE_SLOTS,
);

/** Adadelta. */
export const ResourceApplyAdadelta = resourceStep(
  "ResourceApplyAdadelta",
  "var accum accum_update | lr rho epsilon grad",
  adadelta,
);

/** Adadelta, of the rows at `indices`. */
export const ResourceSparseApplyAdadelta = resourceStep(
  "ResourceSparseApplyAdadelta",
  "var accum accum_update | lr rho epsilon grad indices",
  adadelta,
);

/** FTRL. */
export const ResourceApplyFtrl = resourceStep(
  "ResourceApplyFtrl",
  "var accum linear | grad lr l1 l2 lr_power",
  ftrl,
  LINEAR_BY_LR,
);

/** FTRL, of the rows at `indices`. */
export const ResourceSparseApplyFtrl = resourceStep(
  "ResourceSparseApplyFtrl",
  "var accum linear | grad indices lr l1 l2 lr_power",
  ftrl,
  LINEAR_BY_LR,
);

/** FTRL with l2 shrinkage. */
export const ResourceApplyFtrlV2 = resourceStep(
  "ResourceApplyFtrlV2",
  "var accum linear | grad lr l1 l2 l2_shrinkage lr_power",
  ftrl,
  LINEAR_BY_LR,
);

/** FTRL with l2 shrinkage, of the rows at `indices`. */
export const ResourceSparseApplyFtrlV2 = resourceStep(
  "ResourceSparseApplyFtrlV2",
  "var accum linear | grad indices lr l1 l2 l2_shrinkage lr_power",
  ftrl,
  LINEAR_BY_LR,
);
