/**
 * @file Ops that call functions of the graph's library: calls, and TensorFlow 2's conditionals and loops. A session puts the functions' ops
 * in their place before it runs anything (src/run/control), and `gradients()` before it differentiates, so they have neither lowering, kernel nor gradient.
 *
 * @see TensorFlow core/ops/functional_ops.cc
 */

import {
  type Attrs,
  absent,
  attr,
  defineOp,
  type Inferred,
  type ShapeValue,
  type Spec,
} from "../graph/index.ts";

const PLANNED = absent("solved while planning: the function's ops take its place");
const NO_GRAD = absent("gradients() puts the function's ops in its place first");

/** Outputs of `Tout`, under `output_shapes` where the node states them. */
function stated(_inputs: unknown, attrs: Attrs): readonly Inferred[] {
  const shapes = (attrs.output_shapes ?? []) as readonly ShapeValue[];
  const types = attrs.Tout as readonly unknown[];
  return types.map((_, i) => ({ shape: shapes.length === types.length ? shapes[i]!.dims : null }));
}

/** Shapes that the node states, else those that the loop begins with. */
function kept({ input }: { readonly input: readonly Spec[] }, attrs: Attrs): readonly Inferred[] {
  const shapes = (attrs.output_shapes ?? []) as readonly ShapeValue[];
  return input.map((x, i) => ({ shape: shapes.length > 0 ? (shapes[i]?.dims ?? null) : x.shape }));
}

const planned = { grad: NO_GRAD, lower: PLANNED, host: PLANNED } as const;

const call = {
  inputs: { args: "[Tin]" },
  outputs: { output: "[Tout]" },
  attrs: {
    Tin: attr.types({ min: 0 }),
    Tout: attr.types({ min: 0 }),
    f: attr.func(),
    config: attr.string({ default: "" }),
    config_proto: attr.string({ default: "" }),
    executor_type: attr.string({ default: "" }),
  },
  control: "call",
  infer: stated as never,
  ...planned,
} as const;

/** The outputs of function `f`. */
export const PartitionedCall = defineOp("PartitionedCall", call);

/** The same for functions with side effects. */
export const StatefulPartitionedCall = defineOp("StatefulPartitionedCall", { ...call, stateful: true });

const conditional = {
  inputs: { cond: "Tcond", input: "[Tin]" },
  outputs: { output: "[Tout]" },
  attrs: {
    Tcond: attr.type(),
    Tin: attr.types({ min: 0 }),
    Tout: attr.types({ min: 0 }),
    then_branch: attr.func(),
    else_branch: attr.func(),
    output_shapes: attr.shapes({ default: [] }),
  },
  control: "if",
  infer: stated as never,
  ...planned,
} as const;

/** `then_branch` of the inputs where `cond` is true, else `else_branch`. A number is true where it is not 0, a string where it is not empty. */
export const If = defineOp("If", { ...conditional, stateful: true });

/** The same for branches without side effects. */
export const StatelessIf = defineOp("StatelessIf", conditional);

const choice = {
  inputs: { branch_index: "int32", input: "[Tin]" },
  outputs: { output: "[Tout]" },
  attrs: {
    Tin: attr.types({ min: 0 }),
    Tout: attr.types({ min: 0 }),
    branches: attr.funcs({ min: 1 }),
    output_shapes: attr.shapes({ default: [] }),
  },
  control: "case",
  infer: stated as never,
  ...planned,
} as const;

/** The branch with that index; the last one for an index that is out of range. */
export const Case = defineOp("Case", { ...choice, stateful: true });

/** The same for branches without side effects. */
export const StatelessCase = defineOp("StatelessCase", choice);

const loop = {
  inputs: { input: "[T]" },
  outputs: { output: "[T]" },
  attrs: {
    T: attr.types({ min: 0 }),
    cond: attr.func(),
    body: attr.func(),
    output_shapes: attr.shapes({ default: [] }),
    parallel_iterations: attr.int({ default: 10 }),
  },
  control: "loop",
  infer: kept as never,
  ...planned,
} as const;

/** `body` over and over, while `cond` of the loop's variables is true. */
export const While = defineOp("While", { ...loop, stateful: true });

/** The same without side effects. */
export const StatelessWhile = defineOp("StatelessWhile", loop);
