/** @file The graph: nodes, names, scopes, op definitions. Knows no op and no file format. Start at graph.ts. */

export {
  type AttrKind,
  type AttrSpec,
  type AttrSpecs,
  type Attrs,
  type AttrValue,
  attr,
  type FuncValue,
  type ShapeValue,
} from "./attr.ts";
export {
  COND_CONTEXT,
  CondContext,
  type CondItem,
  type CondResult,
  cond,
  mergeOf,
  smartCond,
  smartConstant,
  switchOf,
} from "./cond.ts";
export { isFill, isTensor, toTensor } from "./constant.ts";
export { type Captured, type CustomGradient, GRADIENT_TYPE } from "./custom-gradient.ts";
export {
  type Device,
  type DeviceFunction,
  type DeviceSpec,
  formatDevice,
  mergeDevices,
  parseDevice,
} from "./device.ts";
export { Graph, scopePattern } from "./graph.ts";
export { group, tuple, withDependencies } from "./group.ts";
export { densify, type IndexedSlices, isIndexedSlices, mapRows, partsOf } from "./indexed-slices.ts";
export { LoopGrad, withContext } from "./loop-grad.ts";
export type { NodeOptions } from "./node-builder.ts";
export { makeOutputs } from "./node-builder.ts";
export type {
  DataFormat,
  Onnx,
  OnnxAttr,
  OnnxNn,
  OnnxOut,
  OnnxValue,
  OnnxVolumes,
  VolumeWindow,
  Window,
} from "./onnx.ts";
export {
  type Absent,
  type Access,
  type ArgSpecs,
  type Args,
  type ArgType,
  absent,
  argCount,
  argType,
  argTypes,
  type CheckpointFiles,
  type ControlKind,
  defineOp,
  type FullType,
  type Grad,
  groupArgs,
  type HandleSpec,
  type HostContext,
  type Inferred,
  isAbsent,
  type OpDef,
  type Registry,
  registry,
  type Spec,
  stopsGradients,
} from "./op-def.ts";
export { type ControlFlowContext, type Input, Operation, Output } from "./operation.ts";
export {
  constantValue,
  dimsOf,
  inferOutputs,
  inferWith,
  LazySpec,
  type SpecOf,
  shapeTensor,
  specLike,
  specOf,
} from "./spec.ts";
export { updatedVariable } from "./updated.ts";
export {
  contextOfOutput,
  enterAs,
  type LoopFacts,
  loopAround,
  WHILE_CONTEXT,
  WhileContext,
} from "./while-context.ts";
export { exitOf, type LoopValue, nextRound, type WhileLoopOptions, whileLoop } from "./while-loop.ts";
