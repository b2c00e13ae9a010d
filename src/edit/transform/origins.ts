/**
 * @file Where the constants of a graph come from: a second graph, the recipe, which computes them from the variables. Passes that make
 * constants say there how. Start at `Origins`; provenance.ts writes it and reads it again.
 */

import type { Tensor } from "../../base/index.ts";
import { Graph, type Operation, type Output, type Registry } from "../../graph/index.ts";

/** Where a variable lies in checkpoints. */
export interface VariablePlace {
  readonly key: string;
  /** of a part of a partitioned variable, its place as SaveV2 writes it; "" is the whole */
  readonly slice: string;
  /** of the variable's op, or the name that the op shares: its name in containers without such keys */
  readonly name: string;
}

/** The place of the variable that a constant was; null for a constant that always was one. */
export type PlaceOf = (constant: Operation) => VariablePlace | null;

/** Recipes of a graph's constants, by the names that these have now. */
export class Origins {
  readonly recipe: Graph;
  /** variables by the name of their placeholder in the recipe */
  readonly variables = new Map<string, VariablePlace>();
  private readonly placeOf: PlaceOf;
  private made = new Map<string, Output>();
  /** ops of the recipe that no variable has part in */
  private readonly fixed = new Set<Operation>();

  constructor(registry: Registry, placeOf: PlaceOf) {
    this.recipe = new Graph(registry);
    this.placeOf = placeOf;
  }

  /** The recipe of a Const. */
  of(constant: Operation): Output {
    const known = this.made.get(constant.name);
    if (known !== undefined) return known;
    const value = constant.attrs.value as unknown as Tensor;
    const place = this.placeOf(constant);
    if (place === null) return this.record(constant.name, this.recipe.constant(value, { name: "fixed" }));
    const attrs = { dtype: value.dtype, shape: { dims: value.shape } };
    const leaf = this.recipe.add("Placeholder", [], { name: constant.name, attrs });
    this.variables.set(leaf.op.name, place);
    return this.record(constant.name, leaf);
  }

  /** The recipe of an output that follows from constants alone: the same ops on their recipes. */
  ofValue(x: Output): Output {
    const { op } = x;
    if (op.type === "Const") return this.of(op);
    const known = this.made.get(x.name) ?? (x.index === 0 ? this.made.get(op.name) : undefined);
    if (known !== undefined) return known;
    const inputs = op.inputs.map((y) => this.ofValue(y));
    const copy = this.recipe.addOp(op.type, grouped(op, inputs), { name: "made", attrs: withoutLabels(op) });
    return this.record(x.name, copy.outputs[x.index]!);
  }

  /** Says how the Const of this name is made. */
  record(name: string, recipe: Output): Output {
    this.made.set(name, recipe);
    return recipe;
  }

  /** Whether a recipe depends on a variable. */
  isFromVariable(constant: Operation): boolean {
    return this.dependsOnVariable(this.of(constant));
  }

  /** Whether it is computed from a placeholder of a variable. */
  private dependsOnVariable({ op: start }: Output): boolean {
    const seen = new Set<Operation>();
    const stack = [start];
    for (let op = stack.pop(); op !== undefined; op = stack.pop()) {
      if (this.variables.has(op.name)) return true;
      if (seen.has(op) || this.fixed.has(op)) continue;
      seen.add(op);
      for (const x of op.inputs) stack.push(x.op);
    }
    for (const op of seen) this.fixed.add(op);
    return false;
  }

  /** Constants got other names. */
  rename(names: ReadonlyMap<string, string>): void {
    this.made = new Map([...this.made].map(([name, x]) => [names.get(name) ?? name, x]));
  }
}

/** Inputs as `addOp` takes them: an argument that is a list as a list. */
function grouped(op: Operation, flat: readonly Output[]): (Output | Output[])[] {
  const out: (Output | Output[])[] = [];
  let next = 0;
  for (const text of Object.values(op.needDef().inputs)) {
    const star = /^(?:ref\()?(\w+)\*/.exec(text)?.[1];
    const list = /^\[(\w+)\]$/.exec(text)?.[1];
    if (star === undefined && list === undefined) out.push(flat[next++]!);
    else {
      const n = star === undefined ? (op.attrs[list!] as readonly unknown[]).length : Number(op.attrs[star]);
      out.push(flat.slice(next, next + n));
      next += n;
    }
  }
  return out;
}

const withoutLabels = (op: Operation): Operation["attrs"] =>
  Object.fromEntries(Object.entries(op.attrs).filter(([key]) => !key.startsWith("_")));
