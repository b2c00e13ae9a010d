/**
 * @file Slot variables: what an optimizer remembers of each variable, beside it in the checkpoint as `<variable>/<Optimizer>`, `..._1`. Start
 * at `Slots.get`.
 *
 * @see TensorFlow python/training/slot_creator.py; python/training/optimizer.py
 */

import { compareText } from "../base/index.ts";
import type { Graph } from "../graph/index.ts";
import { type Initializer, shadowOf, type Variable, variable } from "../variables/index.ts";

/** The slots of one optimizer: by slot name, then by variable. */
export class Slots {
  private readonly byName = new Map<string, Map<Variable["op"], Variable>>();
  private readonly others = new Map<Graph, Map<string, Variable>>();

  /** A slot of `v`, or null where there is none. */
  get(v: Variable, slot: string): Variable | null {
    return this.byName.get(slot)?.get(v.op) ?? null;
  }

  names(): string[] {
    return [...this.byName.keys()].sort();
  }

  /** Variables that belong to no variable in particular: the powers of Adam's betas. */
  other(graph: Graph, name: string): Variable | null {
    return this.others.get(graph)?.get(name) ?? null;
  }

  /** These in a graph, by the names that the optimizer has for them, sorted. */
  othersOf(graph: Graph): Map<string, Variable> {
    const others = [...(this.others.get(graph) ?? [])];
    return new Map(others.sort(([a], [b]) => compareText(a, b)));
  }

  /** All variables of the optimizer in a graph, by name. */
  variables(graph: Graph): Variable[] {
    const slots = [...this.byName.values()].flatMap((m) => [...m.values()]).filter((v) => v.graph === graph);
    const all = [...(this.others.get(graph)?.values() ?? []), ...slots];
    return all.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  /** The slot of `v`, made where it is not there yet: shaped like `v`, of its dtype and kind, and placed with it. */
  make(v: Variable, slot: string, opName: string, initializer: Initializer): Variable {
    const known = this.get(v, slot);
    if (known !== null) return known;
    const made = shadowOf(v, opName, initializer);
    if (!this.byName.has(slot)) this.byName.set(slot, new Map());
    this.byName.get(slot)!.set(v.op, made);
    return made;
  }

  /** A variable beside the slots, made where it is not there yet: of the kind of `near`, and placed with it. */
  makeOther(near: Variable, name: string, initialValue: number): Variable {
    const { graph } = near;
    const known = this.other(graph, name);
    if (known !== null) return known;
    const made = graph.colocateWith(near.op, () =>
      variable(graph, initialValue, { name, trainable: false, useResource: near.isResource }),
    );
    if (!this.others.has(graph)) this.others.set(graph, new Map());
    this.others.get(graph)!.set(name, made);
    return made;
  }
}
