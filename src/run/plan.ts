/**
 * @file A compiled run: stages of host calls and ONNX programs over slots, and the variables to commit when all of it succeeded. Start at
 * `compilePlan`.
 */

import { sameShape, sizeOrNull, type Tensor, VarscopeError } from "../base/index.ts";
import { type Absent, groupArgs, type OnnxValue, type Output } from "../graph/index.ts";
import { Builder, type Value } from "../lower/index.ts";
import { partition } from "./partition.ts";
import type { Runtime } from "./runtime.ts";
import { atOp, type CompiledStage, hostStage, programStage } from "./stages.ts";
import { type Analysis, type Slot, type Step, touchesHandles } from "./steps.ts";

export interface Plan {
  readonly analysis: Analysis;
  readonly stages: readonly CompiledStage[];
  /** ops put tensors into lists, arrays, stacks or tables, which hold them after the run, or the iteration, that made them */
  readonly keepsTensors: boolean;
  /** outputs of ops with a state, which would give others if they ran again; reads of variables are none of them */
  readonly drawn: readonly (readonly [Output, Slot])[];
  release(): Promise<void>;
}

export interface PlanOptions {
  /** values of variables that the plan takes as constants */
  readonly baked: ReadonlyMap<string, Tensor> | null;
  /** its programs run in the caller's turn of the event loop, where the engine can do that */
  readonly immediate: boolean;
}

/** @throws VarscopeError UNIMPLEMENTED - a lowering needs a size that is symbolic */
export async function compilePlan(analysis: Analysis, runtime: Runtime, options: PlanOptions): Promise<Plan> {
  const stages = partition(analysis.steps);
  const needed = neededLater(analysis);
  const compiled: CompiledStage[] = [];
  const release = async (): Promise<void> => {
    await Promise.all(compiled.map((s) => s.release()));
  };
  try {
    for (const stage of stages) {
      if (stage.kind === "host") compiled.push(hostStage(stage.steps));
      else compiled.push(...(await onnxStage(stage.steps, analysis, runtime, options, needed)));
    }
  } catch (e) {
    await release();
    throw e;
  }
  const keepsTensors = analysis.steps.some(touchesHandles);
  return { analysis, stages: compiled, keepsTensors, drawn: analysis.steps.flatMap(drawnBy), release };
}

function drawnBy({ op, outputs }: Step): [Output, Slot][] {
  const { stateful, access } = op.needDef();
  if (stateful !== true || access !== undefined) return [];
  return outputs.flatMap((slot, i): [Output, Slot][] => (slot === null ? [] : [[op.outputs[i]!, slot]]));
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

/** So many multiplications are done, in about 0.1 ms, before it pays to wake other threads. */
const MAX_BRIEF_PRODUCTS = 1 << 23;

const isBrief = (steps: readonly Step[]): boolean =>
  steps.every((step) => productsOf(step) <= MAX_BRIEF_PRODUCTS);

/**
 * How many multiplications an op may take: [m, k] times [k, n] takes m k n, the root of the product of the three sizes. Few ops on
 * other shapes exceed that; one on tensors of the same shape, unless they are square, takes one for each element.
 */
function productsOf({ inputs, outputs }: Step): number {
  const shapes = [...inputs, ...outputs].flatMap((slot) => (slot === null ? [] : [slot.spec.shape]));
  const sizes = shapes.map((shape) => sizeOrNull(shape) ?? Number.POSITIVE_INFINITY).sort((a, b) => b - a);
  const [largest = 0] = sizes;
  const isEach = shapes.every((shape) => sameShape(shape, shapes[0]!)) && new Set(shapes[0]).size > 1;
  return isEach ? largest : Math.max(largest, Math.sqrt(sizes.slice(0, 3).reduce((n, size) => n * size, 1)));
}

interface Port {
  readonly slot: Slot;
  readonly name: string;
}

async function onnxStage(
  steps: readonly Step[],
  analysis: Analysis,
  runtime: Runtime,
  { baked, immediate }: PlanOptions,
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
  const program = await runtime.load(model.bytes, model.inputs, model.outputs, {
    optimize: frozen,
    immediate,
    threads: immediate && isBrief(steps) ? 1 : undefined,
  });
  const made = outputs.map((p) => p.slot);
  return [programStage(program, feeds, made, steps)];
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
