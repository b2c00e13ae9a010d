/**
 * @file Variables: what makes one, reads it, assigns to it, asks for it. The session holds the values and threads them through a
 * run; an op here says only how it treats the variable (`access`) and what the new value is (`update`). Rows of variables are in
 * state-rows.ts, optimizer steps in training.ts.
 */

import {
  type DType,
  dtypeCppName,
  formatShape,
  isCompatible,
  isStatic,
  isVarscopeError,
  mergeShapes,
  type Shape,
  type Tensor,
  VarscopeError,
} from "../base/index.ts";
import {
  absent,
  attr,
  defineOp,
  type HandleSpec,
  type Output,
  type Spec,
  shapeTensor,
} from "../graph/index.ts";
import { addTo } from "./kernels/accumulate.ts";
import { movable } from "./onnx-facts.ts";
import { NUMBER_TYPES } from "./signatures.ts";

const HELD = absent("the session holds the variable");
const IS_REF = absent("its output is the variable after the update, which the session holds");
const NO_GRADIENT = absent("TensorFlow registers none");

/** Dtypes that ONNX Runtime's Add and Sub take on the CPU. */
const ADDABLE: ReadonlySet<DType> = new Set<DType>(["float32", "float64", "int32", "int64"]);

const variableAttrs = {
  shape: attr.shape(),
  dtype: attr.type(),
  container: attr.string({ default: "" }),
  shared_name: attr.string({ default: "" }),
};

/** A ref variable. @see TensorFlow core/ops/state_ops.cc "VariableV2" */
export const VariableV2 = defineOp("VariableV2", {
  inputs: {},
  outputs: { ref: "ref(dtype)" },
  attrs: variableAttrs,
  stateful: true,
  infer: (_, { shape }) => [{ shape: shape.dims }],
  grad: () => [],
  lower: HELD,
  host: HELD,
  variable: ({ dtype, shape }) => ({ dtype, shape: shape.dims }),
});

/** A ref variable of old graphs, whose scalar shape may mean that none was known. @see TensorFlow core/ops/state_ops.cc "Variable" */
export const Variable = defineOp("Variable", {
  inputs: {},
  outputs: { ref: "ref(dtype)" },
  attrs: variableAttrs,
  stateful: true,
  infer: (_, { shape }) => [{ shape: legacyShape(shape.dims) }],
  grad: () => [],
  lower: HELD,
  host: HELD,
  variable: ({ dtype, shape }) => ({ dtype, shape: legacyShape(shape.dims) }),
});

const legacyShape = (dims: Shape | null): Shape | null => (dims?.length === 0 ? null : dims);

/** A handle to a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc "VarHandleOp" */
export const VarHandleOp = defineOp("VarHandleOp", {
  inputs: {},
  outputs: { resource: "resource" },
  attrs: {
    container: attr.string({ default: "" }),
    shared_name: attr.string({ default: "" }),
    debug_name: attr.string({ default: "" }),
    dtype: attr.type(),
    shape: attr.shape(),
    allowed_devices: attr.strings({ default: [] }),
  },
  stateful: true,
  infer: (_, { dtype, shape }) => [{ shape: [], handle: { dtype, shape: shape.dims } }],
  grad: () => [],
  lower: HELD,
  host: HELD,
  variable: ({ dtype, shape }) => ({ dtype, shape: shape.dims }),
});

/** What a handle leads to. @throws VarscopeError INVALID_ARGUMENT - it holds another dtype */
export function handleOf(resource: Spec, dtype: DType): HandleSpec {
  const { handle } = resource;
  if (handle === null) return { dtype, shape: null };
  if (handle.dtype !== dtype) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Trying to read variable with wrong dtype. Expected ${dtypeCppName(handle.dtype)} got ${dtypeCppName(dtype)}`,
    );
  }
  return handle;
}

/** The value of a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc; python "_ReadGrad" */
export const ReadVariableOp = defineOp("ReadVariableOp", {
  inputs: { resource: "resource" },
  outputs: { value: "dtype" },
  attrs: { dtype: attr.type() },
  stateful: true,
  infer: ({ resource }, { dtype }) => [{ shape: handleOf(resource, dtype).shape }],
  grad: (_g, _op, dys) => [dys[0]!],
  gradTakesSlices: true,
  access: { resource: "read" },
  lower: (_, { resource }) => [resource],
  lowers: ({ dtype }) => movable(dtype),
  host: ({ resource }) => [resource],
});

/** The value of the variable behind a handle. Named "ReadVariableOp". */
export const readVariable = (handle: Output, dtype: DType, name = "ReadVariableOp"): Output =>
  handle.graph.add(ReadVariableOp, [handle], { name, attrs: { dtype } });

/**
 * variable = value, of a ref variable. With `validate_shape` the value must have the shape that the variable was declared with;
 * without, the variable takes the value's shape.
 *
 * @see TensorFlow core/ops/state_ops.cc "Assign"; core/kernels/assign_op.h
 */
export const Assign = defineOp("Assign", {
  inputs: { ref: "ref(T)", value: "T" },
  outputs: { output_ref: "ref(T)" },
  attrs: {
    T: attr.type(),
    validate_shape: attr.bool({ default: true }),
    use_locking: attr.bool({ default: true }),
  },
  allowsUninitialized: true,
  infer: ({ ref, value }, attrs) => [
    { shape: attrs.validate_shape ? assignedShape(ref.shape, value.shape, mismatch) : value.shape },
  ],
  grad: NO_GRADIENT,
  access: { ref: "write" },
  lower: IS_REF,
  // a value whose shape is only known when it is there must be checked then: by `updateHost`
  lowers: ({ T, validate_shape }, { value }) => movable(T) && (!validate_shape || isStatic(value.shape)),
  host: IS_REF,
  update: (_, { value }) => ({ ref: value }),
  updateHost: ({ value }, { validate_shape }, op) => {
    const { shape } = op.inputs[0]!;
    if (validate_shape && !isCompatible(shape, value.shape)) {
      throw new VarscopeError("INVALID_ARGUMENT", mismatch(shape, value.shape));
    }
    return { ref: value };
  },
});

const mismatch = (lhs: Shape | null, rhs: Shape | null): string =>
  `Assign requires shapes of both tensors to match. lhs shape= ${formatShape(lhs)} rhs shape= ${formatShape(rhs)}`;

/** TensorFlow says one sentence while building and another while running; a plan may learn shapes in between, so both are said. */
function assignedShape(lhs: Shape | null, rhs: Shape | null, sentence: typeof mismatch): Shape | null {
  try {
    return mergeShapes(lhs, rhs);
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
    throw new VarscopeError(e.code, `${sentence(lhs, rhs)}: ${e.what}`, { cause: e });
  }
}

const wrongShape: typeof mismatch = (lhs, rhs) =>
  `Trying to assign to variable with tensor with wrong shape. Expected ${formatShape(lhs)} got ${formatShape(rhs)}`;

const wrongSize: typeof mismatch = () => "Parameters and update must be the same size";

const wrongUpdate: typeof mismatch = (lhs, rhs) =>
  `Cannot update variable with shape ${formatShape(lhs)} using a Tensor with shape ${formatShape(rhs)}, shapes must be equal.`;

/**
 * variable = value, of a resource variable. TensorFlow lets a value of another shape pass where it learns the shape only while
 * running and `validate_shape` is false; here the declared shape always holds.
 *
 * @see TensorFlow core/ops/resource_variable_ops.cc "AssignVariableOp"
 */
export const AssignVariableOp = defineOp("AssignVariableOp", {
  inputs: { resource: "resource", value: "dtype" },
  outputs: {},
  attrs: { dtype: attr.type(), validate_shape: attr.bool({ default: false }) },
  stateful: true,
  infer: checkedHandle(wrongShape),
  grad: NO_GRADIENT,
  access: { resource: "write" },
  lower: () => [],
  lowers: ({ dtype }, { value }) => movable(dtype) && isStatic(value.shape),
  host: () => [],
  update: (_, { value }) => ({ resource: value }),
  updateHost: ({ value }, _, op) => {
    const shape = op.inputs[0]!.handle?.shape ?? null;
    if (!isCompatible(shape, value.shape)) {
      throw new VarscopeError("INVALID_ARGUMENT", wrongShape(shape, value.shape));
    }
    return { resource: value };
  },
});

function checkedHandle(sentence: typeof mismatch) {
  return (inputs: { resource: Spec; value: Spec }, { dtype }: { dtype: DType }): readonly [] => {
    assignedShape(handleOf(inputs.resource, dtype).shape, inputs.value.shape, sentence);
    return [];
  };
}

const sumAttrs = { T: attr.type(...NUMBER_TYPES), use_locking: attr.bool({ default: false }) };

function refSum(type: "AssignAdd" | "AssignSub") {
  const [kind, node] = type === "AssignAdd" ? (["add", "Add"] as const) : (["sub", "Sub"] as const);
  return defineOp(type, {
    inputs: { ref: "ref(T)", value: "T" },
    outputs: { output_ref: "ref(T)" },
    attrs: sumAttrs,
    infer: ({ ref, value }) => [{ shape: assignedShape(ref.shape, value.shape, wrongSize) }],
    grad: NO_GRADIENT,
    access: { ref: "update" },
    lower: IS_REF,
    lowers: ({ T }, { value }) => ADDABLE.has(T) && isStatic(value.shape),
    host: IS_REF,
    update: (onnx, { ref, value }) => ({ ref: onnx.map(node, [ref, value]) }),
    updateHost: ({ ref, value }) => {
      requireSameShape(ref, value, wrongSize);
      return { ref: addTo(ref, value, kind) };
    },
  });
}

/** variable += value, of a ref variable. @see TensorFlow core/ops/state_ops.cc "AssignAdd" */
export const AssignAdd = refSum("AssignAdd");

/** variable -= value, of a ref variable. @see TensorFlow core/ops/state_ops.cc "AssignSub" */
export const AssignSub = refSum("AssignSub");

function resourceSum(type: "AssignAddVariableOp" | "AssignSubVariableOp") {
  const [kind, node] = type === "AssignAddVariableOp" ? (["add", "Add"] as const) : (["sub", "Sub"] as const);
  return defineOp(type, {
    inputs: { resource: "resource", value: "dtype" },
    outputs: {},
    attrs: { dtype: attr.type() },
    stateful: true,
    infer: checkedHandle(wrongUpdate),
    grad: NO_GRADIENT,
    access: { resource: "update" },
    lower: () => [],
    lowers: ({ dtype }, { value }) => ADDABLE.has(dtype) && isStatic(value.shape),
    host: () => [],
    update: (onnx, { resource, value }) => ({ resource: onnx.map(node, [resource, value]) }),
    updateHost: ({ resource, value }, { dtype }, op) => {
      if (!NUMBER_TYPES.includes(dtype)) {
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `'${op.type}' needs numbers, the variable holds ${dtype}`,
        );
      }
      requireSameShape(resource, value, wrongUpdate);
      return { resource: addTo(resource, value, kind) };
    },
  });
}

/** variable += value, of a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc "AssignAddVariableOp" */
export const AssignAddVariableOp = resourceSum("AssignAddVariableOp");

/** variable -= value, of a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc "AssignSubVariableOp" */
export const AssignSubVariableOp = resourceSum("AssignSubVariableOp");

function requireSameShape(a: Tensor, b: Tensor, sentence: typeof mismatch): void {
  if (a.shape.join() !== b.shape.join())
    throw new VarscopeError("INVALID_ARGUMENT", sentence(a.shape, b.shape));
}

const PROBED = absent("the session knows which variables have a value");

/** Whether a ref variable has a value. @see TensorFlow core/ops/state_ops.cc "IsVariableInitialized" */
export const IsVariableInitialized = defineOp("IsVariableInitialized", {
  inputs: { ref: "ref(dtype)" },
  outputs: { is_initialized: "bool" },
  attrs: { dtype: attr.type() },
  allowsUninitialized: true,
  infer: () => [{ shape: [] }],
  grad: NO_GRADIENT,
  access: { ref: "probe" },
  lower: PROBED,
  host: PROBED,
});

/** Whether a resource variable has a value. @see TensorFlow core/ops/resource_variable_ops.cc "VarIsInitializedOp" */
export const VarIsInitializedOp = defineOp("VarIsInitializedOp", {
  inputs: { resource: "resource" },
  outputs: { is_initialized: "bool" },
  stateful: true,
  infer: () => [{ shape: [] }],
  grad: () => [null],
  access: { resource: "probe" },
  lower: PROBED,
  host: PROBED,
});

/** Shape of a resource variable's value. @see TensorFlow core/ops/resource_variable_ops.cc "VariableShape" */
export const VariableShape = defineOp("VariableShape", {
  inputs: { input: "resource" },
  outputs: { output: "out_type" },
  attrs: { out_type: attr.typeOr("int32", "int32", "int64") },
  stateful: true,
  infer: ({ input }) => [{ shape: [input.handle?.shape?.length ?? null] }],
  grad: () => [null],
  access: { input: "read" },
  shapeOnly: true,
  lower: (onnx, { input }, { out_type }) => [onnx.cast(onnx.shapeOf(input), out_type)],
  lowers: (_, { input }) => input.handle === null || movable(input.handle.dtype),
  host: ({ input }, { out_type }) => [shapeTensor(input.shape, out_type as "int32" | "int64")],
});

/** Shape of a variable, int32: a Const where the handle knows it. Named "Const" or "VariableShape", as TF Python names it. */
export function variableShape(handle: Output): Output {
  const shape = handle.handle?.shape ?? null;
  const g = handle.graph;
  if (isStatic(shape)) return g.constant([...shape], { dtype: "int32" });
  return g.add(VariableShape, [handle]);
}

/** Forgets a resource variable. @see TensorFlow core/ops/resource_variable_ops.cc "DestroyResourceOp" */
export const DestroyResourceOp = defineOp("DestroyResourceOp", {
  inputs: { resource: "resource" },
  outputs: {},
  attrs: { ignore_lookup_error: attr.bool({ default: true }) },
  stateful: true,
  infer: () => [],
  grad: NO_GRADIENT,
  access: { resource: "write" },
  lower: HELD,
  host: HELD,
  updateHost: (_inputs, _attrs, op): never => {
    throw new VarscopeError("UNIMPLEMENTED", "a session keeps its variables until it is closed", {
      at: op.name,
      hint: "close the session and make a new one",
    });
  },
});
