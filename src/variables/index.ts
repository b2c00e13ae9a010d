/** @file Variables, their scopes, collections and initial values. Knows no layer and no optimizer. Start at scope.ts. */

export {
  GraphKeys,
  globalVariables,
  localVariables,
  modelVariables,
  movingAverageVariables,
  trainableVariables,
} from "./collections.ts";
export {
  type InitialValue,
  type VariableOptions,
  variable,
  variableFromProto,
  type Written,
  writeVariable,
} from "./create.ts";
export { ExponentialMovingAverage, type ExponentialMovingAverageOptions } from "./ema.ts";
export { createGlobalStep, getGlobalStep, getOrCreateGlobalStep } from "./global-step.ts";
export { valueOrInitial } from "./guard.ts";
export {
  globalVariablesInitializer,
  isVariableInitialized,
  localVariablesInitializer,
  reportUninitializedVariables,
  variablesInitializer,
} from "./init-ops.ts";
export {
  constantInitializer,
  glorotNormalInitializer,
  glorotUniformInitializer,
  heNormalInitializer,
  heUniformInitializer,
  identityInitializer,
  lecunNormalInitializer,
  lecunUniformInitializer,
  onesInitializer,
  orthogonalInitializer,
  randomNormalInitializer,
  randomUniformInitializer,
  type SeedOptions,
  truncatedNormalInitializer,
  uniformUnitScalingInitializer,
  type VarianceScalingOptions,
  varianceScalingInitializer,
  zerosInitializer,
} from "./initializers.ts";
export { type AssignMovingAverageOptions, assignMovingAverage } from "./moving-average.ts";
export { addOpWith, addWith, type Operand, toInput } from "./operand.ts";
export { regularizationLosses, regularize } from "./regularization.ts";
export {
  type GetVariableOptions,
  getVariable,
  getVariableScope,
  type VariableScopeOptions,
  variableScope,
} from "./scope.ts";
export { AUTO_REUSE, type Initializer, type Regularizer, type Reuse, VariableScope } from "./scope-state.ts";
export { shadowOf } from "./shadow.ts";
export { Aggregation, type AssignOptions, isVariable, Synchronization, type Variable } from "./variable.ts";
