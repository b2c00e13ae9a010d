/**
 * @file The stages of a plan as they run: host kernels one after the other, or one ONNX program. A stage waits only where a kernel or the
 * engine makes it wait. Start at `CompiledStage`.
 */

import { isStatic, isVarscopeError, sizeOrNull, type Tensor, VarscopeError } from "../base/index.ts";
import { argCount, argTypes, groupArgs, type HostContext, isAbsent, type Operation } from "../graph/index.ts";
import type { Loop } from "./control/loop.ts";
import type { Program } from "./runtime.ts";
import { andThen, inTurn, type Soon } from "./soon.ts";
import { uninitialized, type VariableStore } from "./state.ts";
import { hasHostForm, type LoopStep, type Slot, type Step } from "./steps.ts";

/** Values by slot id. */
export type Values = (Tensor | undefined)[];

export interface HostServices {
  contextOf(op: Operation): HostContext;
  /** Runs a loop to its end. `variables` are those that it uses, as they are before it. */
  loop(
    loop: Loop,
    start: readonly (Tensor | undefined)[],
    variables: ReadonlyMap<string, Tensor | undefined>,
  ): Promise<LoopEnd>;
}

/** What a loop ends with. */
export interface LoopEnd {
  /** undefined for arguments that are variables */
  readonly values: readonly (Tensor | undefined)[];
  /** value of a variable after it */
  variables(key: string): Tensor | null;
}

export interface CompiledStage {
  readonly kind: "host" | "onnx";
  readonly ops: readonly Operation[];
  run(values: Values, store: VariableStore, host: HostServices): Soon<void>;
  release(): Promise<void>;
}

/**
 * What a slot holds.
 *
 * @throws VarscopeError FAILED_PRECONDITION - a variable that a loop was to set, and the loop had no round
 */
export function needValue(slot: Slot, values: Readonly<Values>): Tensor {
  const value = slot.spec.value ?? values[slot.id];
  if (value === undefined && slot.key !== null) throw uninitialized(slot.key, false);
  return value!;
}

/** One step on values. */
type Call = (values: Values, host: HostServices) => Soon<void>;

export function hostStage(steps: readonly Step[]): CompiledStage {
  const calls = steps.map(callOf);
  return {
    kind: "host",
    ops: steps.map((step) => step.op),
    run: (values, _store, host) => inTurn(calls, (call) => call(values, host)),
    release: async () => {},
  };
}

function callOf(step: Step): Call {
  const { loop, op, inputs, outputs, writes } = step;
  if (loop !== undefined) return (values, host) => loopStep(step, loop, values, host);
  const { attrs } = op;
  const { host: kernel, updateHost, inputs: specs } = op.needDef();
  const types = argTypes(specs);
  const isPlain = types.every((arg) => argCount(arg, attrs) === null);
  const held = (values: Values): Record<string, unknown> => {
    if (!isPlain)
      return groupArgs(
        specs,
        attrs,
        inputs.map((s) => (s === null ? undefined : needValue(s, values))),
      );
    const args: Record<string, unknown> = {};
    for (let i = 0; i < types.length; i++) {
      const slot = inputs[i]!;
      args[types[i]!.name] = slot === null ? undefined : needValue(slot, values);
    }
    return args;
  };
  const keep = (values: Values, results: readonly Tensor[]): void => {
    for (let i = 0; i < outputs.length; i++) {
      const slot = outputs[i]!;
      if (slot !== null) values[slot.id] = results[i]!;
    }
  };
  const failed = (e: unknown): never => {
    throw atOp(e, op);
  };
  return (values, host) => {
    const args = held(values) as never;
    try {
      if (writes.length > 0) {
        const updates = updateHost!(args, attrs as never, op) as Record<string, Tensor>;
        for (const { arg, slot } of writes) values[slot.id] = updates[arg]!;
      }
      if (isAbsent(kernel)) return;
      const results = kernel(args, attrs as never, host.contextOf(op));
      return results instanceof Promise
        ? results.then((r) => keep(values, r)).catch(failed)
        : keep(values, results);
    } catch (e) {
      return failed(e);
    }
  };
}

async function loopStep(
  { op, inputs, outputs, writes }: Step,
  { loop, variables }: LoopStep,
  values: Values,
  host: HostServices,
): Promise<void> {
  const held = (slot: Slot | null): Tensor | undefined =>
    slot === null ? undefined : (slot.spec.value ?? values[slot.id]);
  try {
    const start = op.inputs.map((_, i) => held(inputs[i]!));
    const before = new Map([...variables].map(([key, slot]) => [key, held(slot)]));
    const end = await host.loop(loop, start, before);
    outputs.forEach((slot, i) => {
      if (slot !== null) values[slot.id] = end.values[i];
    });
    for (const { key, slot } of writes) values[slot.id] = end.variables(key) ?? undefined;
  } catch (e) {
    throw atOp(e, op);
  }
}

/** The error, if it has no place, at an op. */
export function atOp(e: unknown, op: Operation): VarscopeError {
  if (!isVarscopeError(e))
    return new VarscopeError("INTERNAL", e instanceof Error ? e.message : String(e), {
      at: op.name,
      cause: e,
    });
  if (e.at !== undefined) return e;
  return new VarscopeError(e.code, e.what, {
    at: op.name,
    cause: e,
    ...(e.hint === undefined ? {} : { hint: e.hint }),
  });
}

/** What ONNX Runtime refused, in TensorFlow's words where the op knows them. */
function explained(e: unknown, steps: readonly Step[]): unknown {
  if (!isVarscopeError(e)) return e;
  const op = steps.find((step) => step.op.name === e.at)?.op;
  const what = op?.needDef().explain?.(e.what) ?? null;
  return what === null ? e : new VarscopeError(e.code, what, { at: e.at!, cause: e });
}

/** Above this a stage is not run again: the error comes at once. */
const MAX_RETRIED_ELEMENTS = 1 << 16;

/**
 * Runs on host kernels a stage that ONNX Runtime failed, so that what is wrong with the data (an index out of range) is told in TensorFlow's
 * words; returns where that is impossible or finds nothing wrong.
 */
function asOnHost(
  steps: readonly Step[],
  values: Values,
  store: VariableStore,
  host: HostServices,
): Soon<void> {
  const slots = steps.flatMap((s) => [...s.inputs, ...s.outputs]);
  const elements = slots.reduce(
    (sum, s) =>
      sum +
      (s === null ? 0 : (values[s.id]?.data.length ?? sizeOrNull(s.spec.shape) ?? Number.POSITIVE_INFINITY)),
    0,
  );
  if (elements > MAX_RETRIED_ELEMENTS) return;
  if (!steps.every((s) => hasHostForm(s) && !s.op.needDef().stateful)) return;
  return hostStage(steps).run([...values], store, host);
}

export function programStage(
  program: Program,
  feeds: readonly Slot[],
  outputs: readonly Slot[],
  steps: readonly Step[],
): CompiledStage {
  const kept = outputs.some((slot) => slot.key !== null && isStatic(slot.spec.shape));
  const none = outputs.map(() => null);
  const targets = (store: VariableStore): (Tensor | null)[] =>
    outputs.map(({ key, spec: { dtype, shape } }) =>
      key === null || !isStatic(shape) ? null : store.target(key, { dtype, shape }),
    );
  return {
    kind: "onnx",
    ops: steps.map((step) => step.op),
    run(values, store, host) {
      const into = kept ? targets(store) : none;
      const keep = (results: readonly Tensor[]): void => {
        for (let i = 0; i < outputs.length; i++) values[outputs[i]!.id] = results[i]!;
      };
      const failed = (e: unknown): Soon<never> => {
        into.forEach((t, i) => {
          if (t !== null) store.recycle(outputs[i]!.key!, t);
        });
        return andThen(asOnHost(steps, values, store, host), () => {
          throw explained(e, steps);
        });
      };
      const inputs = feeds.map((s) => needValue(s, values));
      try {
        const results = program.run(inputs, into);
        return results instanceof Promise ? results.then(keep, failed) : keep(results);
      } catch (e) {
        return failed(e);
      }
    },
    release: () => program.release(),
  };
}
