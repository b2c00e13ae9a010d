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
export { type GetVariableOptions, getLocalVariable, getVariable } from "./get-variable.ts";
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
export { type NameFinding, nameFindings } from "./name-findings.ts";
export { addOpWith, addWith, type Operand, toInput } from "./operand.ts";
export {
  fixedSizePartitioner,
  minMaxVariablePartitioner,
  type PartitionerOptions,
  variableAxisSizePartitioner,
} from "./partitioners.ts";
export { noRegularizer, regularizationLosses, regularize } from "./regularization.ts";
export { getVariableScope, type VariableScopeOptions, variableScope } from "./scope.ts";
export {
  AUTO_REUSE,
  type CustomGetter,
  type Getter,
  type GetterOptions,
  type Gotten,
  type Initializer,
  type Partitioner,
  type PartitionInfo,
  type Regularizer,
  type Reuse,
  VariableScope,
} from "./scope-state.ts";
export { shadowOf } from "./shadow.ts";
export { makeTemplate, type Template, type TemplateOptions } from "./template.ts";
export { type UpdateOpsOptions, updateOps } from "./update-ops.ts";
export {
  Aggregation,
  type AssignOptions,
  isPartitionedVariable,
  isVariable,
  type PartitionedVariable,
  Synchronization,
  type Variable,
  type WholeValue,
} from "./variable.ts";
