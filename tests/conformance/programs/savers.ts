/** @file Programs of savers: twins of tools/goldens/savers.py. */

import type { Graph } from "../../../src/graph/index.ts";
import type { SaverDef } from "../../../src/proto/index.ts";
import { type Saver, saver } from "../../../src/train/index.ts";
import {
  fixedSizePartitioner,
  getVariable,
  globalVariables,
  type PartitionedVariable,
  type Variable,
  zerosInitializer,
} from "../../../src/variables/index.ts";
import { both, type Program, use } from "./pieces.ts";

/** The SaverDefs of the savers that a program makes, by graph. */
export const saverDefs = new WeakMap<Graph, readonly (SaverDef | null)[]>();

const zeros = (g: Graph, name: string, shape: readonly number[]): Variable =>
  getVariable(g, name, { shape, initializer: zerosInitializer() });

function onDevices(g: Graph): void {
  g.withDevice("/cpu:0", () => zeros(g, "a", [2]));
  g.withDevice("/job:ps/task:1", () => zeros(g, "b", [2, 3]));
  zeros(g, "c", []);
}

const note = (g: Graph, ...savers: readonly Saver[]): void => {
  saverDefs.set(
    g,
    savers.map((s) => s.saverDef),
  );
};

function sharded(g: Graph): void {
  onDevices(g);
  note(g, saver(g, { sharded: true }), saver(g, { sharded: true, reshape: true, name: "again" }));
}

function v1(g: Graph): void {
  onDevices(g);
  note(g, saver(g, { writeVersion: 1 }), saver(g, { sharded: true, writeVersion: 1 }));
}

function deferred(g: Graph): void {
  const later = saver(g, { deferBuild: true, filename: "runs/m", maxToKeep: null });
  zeros(g, "a", [2]);
  g.nameScope("scope", () => later.build());
  later.build();
  note(g, later);
}

function lists(g: Graph): void {
  onDevices(g);
  const [a, b, c] = globalVariables(g) as [Variable, Variable, Variable];
  note(
    g,
    saver(g, { varList: [[c], b] }),
    saver(g, { varList: { z: a, "y/x": b }, keepCheckpointEveryNHours: 0.5 }),
    saver(g, { varList: [a] }),
  );
}

function partitioned(g: Graph): void {
  const cut = (name: string, shape: readonly number[], parts: number): PartitionedVariable =>
    getVariable<PartitionedVariable>(g, name, {
      shape,
      initializer: zerosInitializer(),
      partitioner: fixedSizePartitioner(parts),
    });
  const p = cut("p", [5, 2], 2);
  const q = cut("q", [3], 3);
  zeros(g, "w", [2]);
  note(
    g,
    saver(g),
    saver(g, { varList: { other: p, list: [...q] } }),
    saver(g, { sharded: true, reshape: true }),
  );
}

const each = (name: string, build: (g: Graph) => void): Record<string, Program> =>
  both(name, (g, resource) => {
    use(g, resource);
    build(g);
  });

export const SAVER_PROGRAMS: Record<string, Program> = {
  ...each("sharded", sharded),
  ...each("v1", v1),
  ...each("deferred", deferred),
  ...each("lists", lists),
  ...each("partitioned", partitioned),
};
