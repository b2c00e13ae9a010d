/**
 * @file The pruned ops of a run as steps over slots: fed shapes are known, constants are folded, and variables are threaded through:
 * a read is the slot of the latest write before it. Start at `analyse`.
 */

import { dtypeCppName, formatShape, type Shape, type Tensor, tensor, VarscopeError } from "../base/index.ts";
import {
  type Access,
  dimsOf,
  groupArgs,
  type HandleSpec,
  inferWith,
  isAbsent,
  LazySpec,
  type Operation,
  type Output,
  type Spec,
} from "../graph/index.ts";
import { isOnnxType } from "../lower/index.ts";
import { accessOf, type Loop, loopOf, loopShapes, variablesOf } from "./control/loop.ts";
import { foldStep } from "./fold.ts";
import type { Pruned, Request } from "./prune.ts";
import { RefReads } from "./ref-reads.ts";
import { uninitialized, type VariableStore, variableKey } from "./state.ts";
import type { Analysis, Slot, Step, VariableInfo, Write } from "./steps.ts";

/**
 * @param onHost - ops that the engine has no kernels for
 * @throws VarscopeError - a missing feed, an uninitialised variable, shapes that do not fit, an op nobody can run
 */
export function analyse(
  request: Request,
  pruned: Pruned,
  fedSpecs: ReadonlyMap<Output, { readonly shape: Shape; readonly value: Tensor | null }>,
  store: VariableStore,
  onHost: ReadonlySet<Operation>,
): Analysis {
  return new Analyser(pruned, fedSpecs, store, onHost).run(request);
}

class Analyser {
  private readonly pruned: Pruned;
  private readonly store: VariableStore;
  private readonly onHost: ReadonlySet<Operation>;
  private readonly slots = new Map<Output, Slot>();
  private readonly keys = new Map<Output, string>();
  private readonly current = new Map<string, Slot>();
  private readonly final = new Map<string, Slot>();
  private readonly probes = new Map<string, boolean>();
  private readonly variables = new Map<string, VariableInfo>();
  private readonly feeds = new Map<Output, Slot>();
  private readonly steps: Step[] = [];
  private readonly reads: Slot[] = [];
  private readonly constants = new Set<Tensor>();
  private readonly refReads = new RefReads();
  private nextId = 0;

  constructor(
    pruned: Pruned,
    fedSpecs: ReadonlyMap<Output, { shape: Shape; value: Tensor | null }>,
    store: VariableStore,
    onHost: ReadonlySet<Operation>,
  ) {
    this.pruned = pruned;
    this.store = store;
    this.onHost = onHost;
    for (const [output, fed] of fedSpecs) {
      const spec = new LazySpec(output, fed.shape, null, this.specOf, fed.value);
      const slot = this.slot(spec, "feed", null);
      this.slots.set(output, slot);
      this.feeds.set(output, slot);
    }
  }

  run(request: Request): Analysis {
    for (const op of this.pruned.order) this.visit(op);
    return {
      steps: this.steps,
      feeds: this.feeds,
      fetches: request.fetches.map((x) => this.fetched(x)),
      reads: this.reads,
      constants: this.constants,
      final: this.final,
      probes: this.probes,
      variables: this.variables,
    };
  }

  private slot(spec: Spec, source: Slot["source"], key: string | null): Slot {
    return { id: this.nextId++, spec, source, key };
  }

  /** What an op computes; a fed value stays, though the op may run for its other outputs. */
  private give(output: Output, slot: Slot): void {
    if (!this.feeds.has(output)) this.slots.set(output, slot);
  }

  /** Follows Switch and Merge to the output they stand for. */
  private resolve(output: Output): Output {
    let x = output;
    while (!this.feeds.has(x)) {
      const next = this.pruned.alias.get(x);
      if (next === undefined) break;
      x = next;
    }
    return x;
  }

  private readonly specOf = (output: Output): Spec => {
    const x = this.resolve(output);
    const key = this.keys.get(x);
    if (key === undefined) return this.slots.get(x)!.spec;
    const info = this.variables.get(key)!;
    const shape = this.current.get(key)?.spec.shape ?? this.store.get(key)?.shape ?? info.shape;
    if (x.dtype !== "resource") return new LazySpec(x, shape, null, this.specOf, null);
    return new LazySpec(x, [], { dtype: info.dtype, shape }, this.specOf, null);
  };

  private fetched(output: Output): Slot {
    const x = this.resolve(output);
    const key = this.keys.get(x);
    if (key !== undefined && x.isRef) return this.read(key);
    const slot = this.slots.get(x);
    if (slot !== undefined) return slot;
    throw new VarscopeError("INVALID_ARGUMENT", `a ${x.dtype} has no value to fetch`, { at: x.name });
  }

  private read(key: string): Slot {
    const known = this.current.get(key);
    if (known !== undefined) return known;
    const info = this.variables.get(key)!;
    const value = this.store.get(key);
    if (value === null) throw uninitialized(key, info.isRef);
    const slot = this.slot(fixedSpec(info.dtype, value.shape), "variable", key);
    this.reads.push(slot);
    this.current.set(key, slot);
    return slot;
  }

  private visit(op: Operation): void {
    const def = op.needDef();
    if (op.outputs.length > 0 && op.outputs.every((x) => this.feeds.has(x))) return;
    const access = accessOf(op);
    const onlyResources = op.outputs.length > 0 && op.outputs.every((x) => x.dtype === "resource");
    const loop = loopOf(op);
    if (def.control === "switch") return;
    if (def.control === "merge") this.visitMerge(op);
    else if (loop !== undefined) this.visitLoop(op, loop);
    else if (def.control !== undefined) throw misplaced(op);
    else if (def.variable !== undefined) this.visitVariable(op, def.variable(op.attrs as never));
    else if (access.includes("probe")) this.visitProbe(op);
    else if (onlyResources && (isAbsent(def.host) || op.inputs.some((x) => x.dtype === "resource")))
      this.passResource(op);
    else this.visitComputation(op, access);
  }

  private visitComputation(op: Operation, access: readonly (Access | null)[]): void {
    const inputs = op.inputs.map((x, i) => this.inputSlot(x, access[i]!, op));
    if (this.isNothing(op)) return;
    this.checkFed(op);
    this.addStep(op, inputs, access);
  }

  private isNothing(op: Operation): boolean {
    const def = op.needDef();
    return op.outputs.length === 0 && def.access === undefined && isAbsent(def.host);
  }

  /** The second output of a Merge: which input was taken. */
  private visitMerge(op: Operation): void {
    const taken = this.pruned.alias.get(op.outputs[0]!)!;
    const index = tensor(op.inputs.indexOf(taken), "int32", []);
    this.give(op.outputs[1]!, this.constant(index));
  }

  private visitLoop(op: Operation, loop: Loop): void {
    const inputs = op.inputs.map((x) =>
      this.keys.has(this.resolve(x)) && !x.isRef ? null : this.inputSlot(x, null, op),
    );
    const variables = new Map<string, Slot>();
    for (const { key, written: _, ...info } of variablesOf(loop).values()) {
      if (!this.variables.has(key)) this.variables.set(key, info);
      if (this.current.has(key) || this.store.has(key)) variables.set(key, this.read(key));
    }
    const shapes = loopShapes(
      loop,
      op.inputs.map((x, i) => inputs[i]?.spec ?? this.specOf(x)),
    );
    const outputs = op.outputs.map((x, i) => {
      const input = this.resolve(op.inputs[i]!);
      const key = this.keys.get(input);
      if (inputs[i] === null && key !== undefined) {
        this.keys.set(x, key);
        return null;
      }
      const slot = this.slot(new LazySpec(x, shapes[i] ?? null, null, this.specOf, null), "step", null);
      this.give(x, slot);
      return slot;
    });
    const writes = [...variablesOf(loop).values()].flatMap((variable): Write[] => {
      if (!variable.written) return [];
      const { key } = variable;
      const slot = this.slot(
        fixedSpec(variable.dtype, variables.get(key)?.spec.shape ?? variable.shape),
        "step",
        key,
      );
      this.current.set(key, slot);
      this.final.set(key, slot);
      this.refReads.written(key, op, slot);
      return [{ key, arg: "", slot }];
    });
    const all = [...inputs, ...variables.values()];
    this.steps.push({ op, kind: "host", inputs: all, outputs, writes, loop: { loop, variables } });
  }

  private visitVariable(op: Operation, info: HandleSpec): void {
    const output = op.outputs[0]!;
    const key = variableKey(op);
    this.keys.set(output, key);
    this.variables.set(key, { ...info, isRef: output.isRef });
  }

  private visitProbe(op: Operation): void {
    const key = this.keys.get(this.resolve(op.inputs[0]!))!;
    const known = this.current.get(key) !== undefined || this.store.has(key);
    if (!this.current.has(key)) this.probes.set(key, known);
    this.give(op.outputs[0]!, this.constant(tensor(known, "bool", [])));
  }

  private passResource(op: Operation): void {
    const from = op.inputs.map((x) => this.keys.get(this.resolve(x))).find((k) => k !== undefined);
    const value = op.inputs.length === 1 ? this.slots.get(this.resolve(op.inputs[0]!)) : undefined;
    if (from === undefined && value !== undefined) {
      for (const out of op.outputs) this.give(out, value); // a handle that a host kernel made
      return;
    }
    if (from === undefined)
      throw new VarscopeError("UNIMPLEMENTED", `${op.type} makes a resource that varscope does not know`, {
        at: op.name,
      });
    for (const out of op.outputs) this.keys.set(out, from);
  }

  private inputSlot(input: Output, access: Access | null, op: Operation): Slot | null {
    const x = this.resolve(input);
    const key = this.keys.get(x);
    if (access === "write") return null;
    if (key !== undefined) return this.read(key);
    return this.refReads.after(x, op, this.pruned.order) ?? this.slots.get(x)!;
  }

  private checkFed(op: Operation): void {
    const def = op.needDef();
    if (!isAbsent(def.host) || !isAbsent(def.lower) || def.update !== undefined || op.inputs.length > 0)
      return;
    const [x] = op.outputs;
    const shape = x?.shape == null ? "" : ` and shape ${formatShape(x.shape)}`;
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `You must feed a value for placeholder tensor '${op.name}' with dtype ${dtypeCppName(x?.dtype ?? "invalid")}${shape}`,
      { at: op.name },
    );
  }

  private addStep(op: Operation, inputs: (Slot | null)[], access: readonly (Access | null)[]): void {
    const inferred = inferWith(op, this.specOf);
    const refKey = (out: Output, i: number): string | undefined =>
      out.dtype === "resource" && op.inputs.length === op.outputs.length
        ? this.keys.get(this.resolve(op.inputs[i]!)) // handed on, among tensors
        : out.isRef
          ? op.inputs.map((x, i) => (access[i] ? this.keys.get(this.resolve(x)) : undefined)).find((k) => k)
          : undefined;
    const specs = op.outputs.map(
      (out, i) =>
        new LazySpec(out, inferred[i]?.shape ?? null, inferred[i]?.handle ?? null, this.specOf, null),
    );
    const folded = foldStep(op, inputs);
    if (folded !== null) {
      for (const [i, out] of op.outputs.entries()) this.give(out, this.constant(folded[i]!));
      return;
    }
    const outputs = op.outputs.map((out, i) => {
      const key = refKey(out, i);
      if (key !== undefined) this.keys.set(out, key);
      const slot = key === undefined ? this.slot(specs[i]!, "step", null) : null;
      if (slot !== null) this.give(out, slot);
      return slot;
    });
    if (op.def?.sharesMemory) {
      const x = this.resolve(op.inputs[0]!);
      this.refReads.add(op.outputs[0]!, x, x.isRef ? this.keys.get(x) : undefined);
    }
    const kind = this.kindOf(op, inputs, outputs);
    const writes = this.writesOf(op, inputs, access);
    this.steps.push({ op, kind, inputs, outputs, writes });
  }

  private writesOf(
    op: Operation,
    inputs: readonly (Slot | null)[],
    access: readonly (Access | null)[],
  ): Write[] {
    const args = Object.entries(op.needDef().inputs).map(([name]) => name);
    const writes: Write[] = [];
    op.inputs.forEach((x, i) => {
      if (access[i] !== "write" && access[i] !== "update") return;
      const key = this.keys.get(this.resolve(x));
      if (key === undefined)
        throw new VarscopeError("INVALID_ARGUMENT", `input '${args[i]}' is not a variable`, { at: op.name });
      const info = this.variables.get(key)!;
      const shape = access[i] === "update" ? (inputs[i]!.spec.shape ?? null) : this.writtenShape(op, i, info);
      const slot = this.slot(fixedSpec(info.dtype, shape), "step", key);
      this.current.set(key, slot);
      this.final.set(key, slot);
      if (info.isRef) this.refReads.written(key, op, slot);
      writes.push({ key, arg: args[i]!, slot });
    });
    return writes;
  }

  /** An assignment gives the variable the shape of its value, which is the input after the variable. */
  private writtenShape(op: Operation, index: number, info: VariableInfo): Shape | null {
    const value = op.inputs[index + 1];
    return value === undefined ? info.shape : this.specOf(value).shape;
  }

  private constant(value: Tensor): Slot {
    this.constants.add(value);
    const partial = dimsOf(value);
    return this.slot(
      { dtype: value.dtype, shape: value.shape, value, partial, handle: null },
      "constant",
      null,
    );
  }

  private kindOf(
    op: Operation,
    inputs: readonly (Slot | null)[],
    outputs: readonly (Slot | null)[],
  ): Step["kind"] {
    const def = op.needDef();
    const byOnnx = !this.onHost.has(op) && (def.update !== undefined || !isAbsent(def.lower));
    const carried = [...inputs, ...outputs].every((s) => s === null || isOnnxType(s.spec.dtype));
    const specs = op.inputs.map((x, i) => inputs[i]?.spec ?? this.specOf(x));
    const accepted =
      byOnnx &&
      carried &&
      (def.lowers?.(op.attrs as never, groupArgs(def.inputs, op.attrs, specs) as never) ?? true);
    if (accepted) return "onnx";
    if (def.updateHost !== undefined || !isAbsent(def.host)) return "host";
    const reason = isAbsent(def.lower) ? def.lower.absent : "its dtypes or attributes are not supported";
    throw new VarscopeError("UNIMPLEMENTED", `op ${op.type} cannot run here: ${reason}`, { at: op.name });
  }
}

const misplaced = (op: Operation): VarscopeError =>
  new VarscopeError("INVALID_ARGUMENT", `${op.type} stands in no loop`, { at: op.name });

const fixedSpec = (dtype: Spec["dtype"], shape: Shape | null): Spec => ({
  dtype,
  shape,
  value: null,
  partial: null,
  handle: null,
});
