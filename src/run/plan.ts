/**
 * @file A compiled run: stages of host calls and ONNX programs over slots, and the variables to commit when all of it succeeded. Start at
 * `compilePlan`.
 */

import { isStatic, isVarscopeError, sizeOrNull, type Tensor, VarscopeError } from "../base/index.ts";
import {
  type Absent,
  groupArgs,
  type HostContext,
  isAbsent,
  type OnnxValue,
  type Operation,
} from "../graph/index.ts";
import { Builder, type Value } from "../lower/index.ts";
import type { Loop } from "./control/loop.ts";
import { partition } from "./partition.ts";
import type { Program, Runtime } from "./runtime.ts";
import { uninitialized, type VariableStore } from "./state.ts";
import { type Analysis, hasHostForm, type LoopStep, type Slot, type Step, touchesHandles } from "./steps.ts";

/** Values by slot id. */
type Values = (Tensor | undefined)[];

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
  run(values: Values, store: VariableStore, host: HostServices): Promise<void>;
  release(): Promise<void>;
}

export interface Plan {
  readonly analysis: Analysis;
  readonly stages: readonly CompiledStage[];
  /** ops put tensors into lists, arrays, stacks or tables, which hold them after the run, or the iteration, that made them */
  readonly keepsTensors: boolean;
  release(): Promise<void>;
}

/**
 * @param baked - values of variables that the plan takes as constants
 * @throws VarscopeError UNIMPLEMENTED - a lowering needs a size that is symbolic
 */
export async function compilePlan(
  analysis: Analysis,
  runtime: Runtime,
  baked: ReadonlyMap<string, Tensor> | null,
): Promise<Plan> {
  const stages = partition(analysis.steps);
  const needed = neededLater(analysis);
  const compiled: CompiledStage[] = [];
  const release = async (): Promise<void> => {
    await Promise.all(compiled.map((s) => s.release()));
  };
  try {
    for (const stage of stages) {
      if (stage.kind === "host") compiled.push(hostStage(stage.steps));
      else compiled.push(...(await onnxStage(stage.steps, analysis, runtime, baked, needed)));
    }
  } catch (e) {
    await release();
    throw e;
  }
  return { analysis, stages: compiled, keepsTensors: analysis.steps.some(touchesHandles), release };
}

/** For each slot the steps that read it, and whether it is an end result. */
function neededLater(analysis: Analysis): (slot: Slot, within: ReadonlySet<Step>) => boolean {
  const readers = new Map<Slot, Step[]>();
  for (const step of analysis.steps) {
    for (const slot of step.inputs) {
      if (slot !== null) readers.get(slot)?.push(step) ?? readers.set(slot, [step]);
    }
  }
  const results = new Set<Slot>([...analysis.fetches, ...analysis.final.values()]);
  return (slot, within) => results.has(slot) || (readers.get(slot) ?? []).some((s) => !within.has(s));
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

function hostStage(steps: readonly Step[]): CompiledStage {
  return {
    kind: "host",
    ops: steps.map((step) => step.op),
    async run(values, _store, host) {
      for (const step of steps) {
        const { op } = step;
        const def = op.needDef();
        if (step.loop !== undefined) {
          await loopStep(step, step.loop, values, host);
          continue;
        }
        const inputs = step.inputs.map((s) => (s === null ? undefined : needValue(s, values)));
        const args = groupArgs(def.inputs, op.attrs, inputs) as never;
        try {
          if (step.writes.length > 0) {
            const updates = def.updateHost!(args, op.attrs as never, op) as Record<string, Tensor>;
            for (const { arg, slot } of step.writes) values[slot.id] = updates[arg]!;
          }
          if (isAbsent(def.host)) continue;
          const results = await def.host(args, op.attrs as never, host.contextOf(op));
          step.outputs.forEach((slot, i) => {
            if (slot !== null) values[slot.id] = results[i]!;
          });
        } catch (e) {
          throw atOp(e, op);
        }
      }
    },
    release: async () => {},
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

function atOp(e: unknown, op: Operation): VarscopeError {
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

interface Port {
  readonly slot: Slot;
  readonly name: string;
}

async function onnxStage(
  steps: readonly Step[],
  analysis: Analysis,
  runtime: Runtime,
  baked: ReadonlyMap<string, Tensor> | null,
  needed: (slot: Slot, within: ReadonlySet<Step>) => boolean,
): Promise<CompiledStage[]> {
  const within = new Set(steps);
  const frozen = baked !== null || !analysis.variables.size;
  const builder = new Builder({ block: frozen ? null : runtime.block });
  const lowered = lowerSteps(steps, builder, baked);
  const outputs: Port[] = [];
  const results: OnnxValue[] = [];
  for (const slot of steps.flatMap((s) => [...s.outputs, ...s.writes.map((w) => w.slot)])) {
    if (slot === null || !needed(slot, within) || outputs.some((p) => p.slot === slot)) continue;
    outputs.push({ slot, name: "" });
    results.push(lowered.values.get(slot)!);
  }
  if (outputs.length === 0) return []; // ops that others only waited for
  const model = builder.finish(
    lowered.inputs.map((p) => lowered.values.get(p.slot) as Value),
    results,
  );
  const byName = new Map(lowered.inputs.map((p) => [p.name, p.slot]));
  const feeds = model.inputs.map((name) => byName.get(name)!);
  const program = await runtime.load(model.bytes, model.inputs, model.outputs, { optimize: frozen });
  const made = outputs.map((p) => p.slot);
  return [runProgram(program, feeds, made, steps)];
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
async function asOnHost(
  steps: readonly Step[],
  values: Values,
  store: VariableStore,
  host: HostServices,
): Promise<void> {
  const slots = steps.flatMap((s) => [...s.inputs, ...s.outputs]);
  const elements = slots.reduce(
    (sum, s) =>
      sum +
      (s === null ? 0 : (values[s.id]?.data.length ?? sizeOrNull(s.spec.shape) ?? Number.POSITIVE_INFINITY)),
    0,
  );
  if (elements > MAX_RETRIED_ELEMENTS) return;
  if (!steps.every((s) => hasHostForm(s) && !s.op.needDef().stateful)) return;
  await hostStage(steps).run([...values], store, host);
}

function runProgram(
  program: Program,
  feeds: readonly Slot[],
  outputs: readonly Slot[],
  steps: readonly Step[],
): CompiledStage {
  return {
    kind: "onnx",
    ops: steps.map((step) => step.op),
    async run(values, store, host) {
      const into = outputs.map((slot) => {
        if (slot.key === null || !isStatic(slot.spec.shape)) return null;
        return store.target(slot.key, { dtype: slot.spec.dtype, shape: slot.spec.shape });
      });
      const inputs = feeds.map((s) => needValue(s, values));
      try {
        const results = await program.run(inputs, into);
        results.forEach((t, i) => {
          values[outputs[i]!.id] = t;
        });
      } catch (e) {
        into.forEach((t, i) => {
          if (t !== null) store.recycle(outputs[i]!.key!, t);
        });
        await asOnHost(steps, values, store, host);
        throw explained(e, steps);
      }
    },
    release: () => program.release(),
  };
}

interface Lowered {
  readonly values: Map<Slot, OnnxValue>;
  readonly inputs: Port[];
}

/** Emits every step; values from outside become inputs, or constants where they are known. */
function lowerSteps(
  steps: readonly Step[],
  builder: Builder,
  baked: ReadonlyMap<string, Tensor> | null,
): Lowered {
  const values = new Map<Slot, OnnxValue>();
  const inputs: Port[] = [];
  const valueFor = (slot: Slot): OnnxValue => {
    let known = values.get(slot);
    if (known !== undefined) return known;
    const constant = slot.source === "variable" ? (baked?.get(slot.key!) ?? null) : slot.spec.value;
    if (constant !== null) known = builder.constant(constant);
    else {
      const name = `in${slot.id}`;
      inputs.push({ slot, name });
      known = builder.input(name, slot.spec.dtype, slot.spec.shape);
    }
    values.set(slot, known);
    return known;
  };
  for (const step of steps) lowerStep(step, builder, valueFor, values);
  return { values, inputs };
}

function lowerStep(
  step: Step,
  builder: Builder,
  valueFor: (slot: Slot) => OnnxValue,
  values: Map<Slot, OnnxValue>,
): void {
  const { op } = step;
  const def = op.needDef();
  builder.emitter.source = op.name;
  const args = groupArgs(
    def.inputs,
    op.attrs,
    step.inputs.map((s) => (s === null ? undefined : valueFor(s))),
  ) as never;
  try {
    if (def.update !== undefined && step.writes.length > 0) {
      const updates = def.update(builder, args, op.attrs as never) as Record<string, OnnxValue>;
      for (const { arg, slot } of step.writes)
        values.set(slot, builder.withShape(updates[arg]!, slot.spec.shape));
    }
    if (!step.outputs.some((s) => s !== null)) return;
    const lower = def.lower as Exclude<typeof def.lower, Absent>;
    const results = lower(builder, args, op.attrs as never, op);
    step.outputs.forEach((slot, i) => {
      if (slot !== null) values.set(slot, settle(builder, results[i]!, slot));
    });
  } catch (e) {
    throw atOp(e, op);
  }
}

/** The lowered value under the inferred shape. */
function settle(builder: Builder, value: OnnxValue, slot: Slot): OnnxValue {
  const { shape, dtype } = slot.spec;
  if (value.dtype !== dtype)
    throw new VarscopeError("INTERNAL", `lowered to ${value.dtype}, ${dtype} is meant`);
  return builder.withShape(value, shape ?? value.shape);
}
