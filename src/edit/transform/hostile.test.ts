/** Damaged graphs: passes and repair answer with typed errors, or with a graph. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { isVarscopeError } from "../../base/index.ts";
import { fromGraphDef, readMessage } from "../../formats/graph-def/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { type GraphDef, GraphDefSchema } from "../../proto/graph.gen.ts";
import { PASSES } from "./passes.ts";
import { transformGraph } from "./pipeline.ts";
import { repairGraphDef } from "./repair-graph.ts";

const GOLDENS = new URL("../../../tests/goldens/transform/", import.meta.url);
const read = (name: string): GraphDef =>
  readMessage(GraphDefSchema, new Uint8Array(readFileSync(new URL(`${name}.pb`, GOLDENS))), name);

/** The same numbers each time. @see "Numerical Recipes", a linear congruence */
function dice(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** A message with a few nodes dropped, renamed, rewired, or of another op. */
function mutant(def: GraphDef, seed: number): GraphDef {
  const pick = dice(seed);
  const node = def.node.map((n) => ({ ...n, input: [...n.input], attr: { ...n.attr } }));
  for (let i = 0; i < 1 + pick(3); i++) {
    const [a, b] = [node[pick(node.length)]!, node[pick(node.length)]!];
    const change = pick(6);
    if (change === 0) node.splice(node.indexOf(a), 1);
    else if (change === 1) a.op = b.op;
    else if (change === 2 && a.input.length > 0) a.input[pick(a.input.length)] = b.name;
    else if (change === 3) a.input.push(`^${b.name}`);
    else if (change === 4) delete a.attr[Object.keys(a.attr)[0] ?? ""];
    else Object.assign(a.attr, b.attr);
  }
  return { ...def, node };
}

const passes = [...PASSES.keys()].filter((name) => name !== "rename");

test.each(["conv_bias_bn", "placeholder_flag", "update_ops_awaited", "keras3"])(
  "mutants of %s are repaired, transformed or refused by name",
  async (name) => {
    const whole = read(name);
    let survived = 0;
    for (let seed = 1; seed <= 60; seed++) {
      try {
        const graph = fromGraphDef(repairGraphDef(mutant(whole, seed), CORE_OPS).def, { registry: CORE_OPS });
        await transformGraph(graph, { passes, prove: false });
        survived++;
      } catch (e) {
        if (!isVarscopeError(e)) throw new Error(`seed ${seed}`, { cause: e });
      }
    }
    expect(survived).toBeGreaterThan(0);
  },
);
