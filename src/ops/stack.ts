/**
 * @file Stacks behind a handle: TensorFlow 1's gradients of loops keep here what the loop computed, and take it back in reverse.
 *
 * @see TensorFlow core/ops/data_flow_ops.cc "StackV2"; core/kernels/stack.cc
 */

import { formatShape, handleOf, handleTensor, type Tensor, toNumbers, VarscopeError } from "../base/index.ts";
import { absent, attr, defineOp } from "../graph/index.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);
const onHost = { lower: absent("what it works on is an object of the run, not a tensor") };
const noGradient = { grad: absent("TensorFlow registers none") };

/** A stack of one run. */
interface Stack {
  readonly name: string;
  /** most elements; negative: any number */
  readonly max: number;
  readonly items: Tensor[];
  closed: boolean;
}

function openStack(handle: Tensor): Stack {
  const stack = handleOf<Stack>(handle);
  if (stack.closed) throw invalid(`Stack[${stack.name}] has already been closed.`);
  return stack;
}

/** A new stack, every time it runs. */
export const StackV2 = defineOp("StackV2", {
  ...onHost,
  ...noGradient,
  inputs: { max_size: "int32" },
  outputs: { handle: "resource" },
  attrs: { elem_type: attr.type(), stack_name: attr.string({ default: "" }) },
  stateful: true,
  infer: () => [{ shape: [2] }],
  host: ({ max_size }, { stack_name }, { op }) => {
    if (max_size.shape.length !== 0)
      throw invalid(`Stack size must be a scalar, but had shape: ${formatShape(max_size.shape)}`);
    const stack: Stack = {
      name: `${stack_name || op.name}_0`,
      max: toNumbers(max_size)[0]!,
      items: [],
      closed: false,
    };
    return [handleTensor("resource", stack)];
  },
});

/** Puts a tensor on top; gives it back. */
export const StackPushV2 = defineOp("StackPushV2", {
  ...onHost,
  ...noGradient,
  inputs: { handle: "resource", elem: "T" },
  outputs: { output: "T" },
  attrs: { T: attr.type(), swap_memory: attr.bool({ default: false }) },
  stateful: true,
  infer: ({ elem }) => [{ shape: elem.shape, handle: elem.handle }],
  host: ({ handle, elem }) => {
    const stack = openStack(handle);
    if (stack.max >= 0 && stack.items.length > stack.max)
      throw invalid(`Stack[${stack.name}] overflowed its max_size (${stack.max})`);
    stack.items.push(elem);
    return [elem];
  },
});

/** Takes the tensor on top. */
export const StackPopV2 = defineOp("StackPopV2", {
  ...onHost,
  ...noGradient,
  inputs: { handle: "resource" },
  outputs: { elem: "elem_type" },
  attrs: { elem_type: attr.type() },
  stateful: true,
  infer: () => [{ shape: null }],
  host: ({ handle }, { elem_type }) => {
    const stack = openStack(handle);
    const top = stack.items.pop();
    if (top === undefined) throw invalid(`Stack[${stack.name}] is empty when calling Pop().`);
    if (top.dtype !== elem_type)
      throw new VarscopeError(
        "INTERNAL",
        `Output 0 of type ${top.dtype} does not match declared output type ${elem_type}`,
      );
    return [top];
  },
});

/** Lets all tensors go. */
export const StackCloseV2 = defineOp("StackCloseV2", {
  ...onHost,
  ...noGradient,
  inputs: { handle: "resource" },
  outputs: {},
  stateful: true,
  infer: () => [],
  host: ({ handle }) => {
    const stack = handleOf<Stack>(handle);
    stack.closed = true;
    stack.items.length = 0;
    return [];
  },
});
