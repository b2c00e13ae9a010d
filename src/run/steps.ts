/** @file What a plan is made of: steps that read and write slots. Made by analysis.ts, cut into stages by partition.ts, run by plan.ts. */

import type { Tensor } from "../base/index.ts";
import { type HandleSpec, isAbsent, type Operation, type Output, type Spec } from "../graph/index.ts";
import type { Loop } from "./control/loop.ts";

/** A place for one value of a run. */
export interface Slot {
  readonly id: number;
  readonly spec: Spec;
  readonly source: "feed" | "variable" | "constant" | "step";
  /** of a variable: its key */
  readonly key: string | null;
}

export interface Write {
  readonly key: string;
  readonly arg: string;
  readonly slot: Slot;
}

/** One op of the plan. Inputs are null where the op only overwrites the variable behind it. */
export interface Step {
  readonly op: Operation;
  readonly kind: "onnx" | "host";
  readonly inputs: readonly (Slot | null)[];
  readonly outputs: readonly (Slot | null)[];
  readonly writes: readonly Write[];
  /** of a loop: what it runs, and the slots of the variables that it uses; these are among the inputs too */
  readonly loop?: LoopStep;
}

export interface LoopStep {
  readonly loop: Loop;
  readonly variables: ReadonlyMap<string, Slot>;
}

export interface Analysis {
  readonly steps: readonly Step[];
  /** in order of the request's feeds */
  readonly feeds: ReadonlyMap<Output, Slot>;
  readonly fetches: readonly Slot[];
  /** variables as they are when the run begins */
  readonly reads: readonly Slot[];
  /** tensors that belong to the graph or the plan */
  readonly constants: ReadonlySet<Tensor>;
  /** last slot of every variable written */
  readonly final: ReadonlyMap<string, Slot>;
  /** what the plan took for granted: whether these variables have values */
  readonly probes: ReadonlyMap<string, boolean>;
  readonly variables: ReadonlyMap<string, VariableInfo>;
}

export interface VariableInfo extends HandleSpec {
  readonly isRef: boolean;
}

/** Whether host kernels can do all that the op does. */
export function hasHostForm({ op, writes }: Step): boolean {
  const def = op.needDef();
  return writes.length > 0 && def.update !== undefined ? def.updateHost !== undefined : !isAbsent(def.host);
}

const isHandle = (slot: Slot | null): boolean =>
  slot?.spec.dtype === "variant" || slot?.spec.dtype === "resource";

/** Whether the op is given or makes something that holds tensors: a list, an array, a stack, a table. */
export const touchesHandles = ({ inputs, outputs }: Step): boolean =>
  inputs.some(isHandle) || outputs.some(isHandle);
