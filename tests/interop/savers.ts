/** @file Savers and checkpoints of objects, both ways: each side restores what the other saved, goes on, and saves for it again. */

import { writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startServers } from "../../examples/cluster/servers.ts";
import { type Tensor, toNumbers } from "../../src/base/index.ts";
import { latestCheckpoint } from "../../src/formats/checkpoint/index.ts";
import { writeGraphDef } from "../../src/formats/graph-def/index.ts";
import { Graph, type Operation, type Output } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import { Session } from "../../src/run/index.ts";
import {
  adamOptimizer,
  Checkpoint,
  checkpointManager,
  initFromCheckpoint,
  type SaverOptions,
  saver,
} from "../../src/train/index.ts";
import {
  addWith,
  fixedSizePartitioner,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  type Initializer,
  type PartitionedVariable,
  variable,
} from "../../src/variables/index.ts";
import type { TensorFlow } from "./tensorflow.ts";

type Values = Readonly<Record<string, readonly number[]>>;

/** Counts from `start`, in any shape. */
const counting =
  (start: number): Initializer =>
  (g, shape) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return g.constant(
      Array.from({ length: size }, (_, i) => start + i),
      { shape, dtype: "float32" },
    );
  };

/** Variables of both kinds on two devices, one in parts. */
function model(resource: boolean): Graph {
  const g = new Graph(CORE_OPS);
  g.withDevice("/cpu:0", () =>
    getVariable(g, "a", { shape: [2, 3], initializer: counting(1), useResource: resource }),
  );
  getVariable(g, "b", { shape: [], initializer: counting(5), useResource: !resource });
  getVariable<PartitionedVariable>(g, "p", {
    shape: [5, 2],
    initializer: (graph, shape) => graph.constant(9, { shape, dtype: "float32" }),
    partitioner: fixedSizePartitioner(2),
    useResource: resource,
  });
  return g;
}

async function valuesOf(session: Session): Promise<Values> {
  const all = globalVariables(session.graph);
  const values = await session.run(all.map((v) => v.snapshot));
  return Object.fromEntries(all.map((v, i) => [v.op.name, toNumbers(values[i]!)]));
}

const plusOne = (values: Values): Values =>
  Object.fromEntries(Object.entries(values).map(([name, list]) => [name, list.map((x) => x + 1)]));

const SAVERS: readonly (readonly [string, SaverOptions])[] = [
  ["of V2", {}],
  ["of V2, sharded", { sharded: true }],
  ["of V1", { writeVersion: 1 }],
  ["of V1, sharded", { sharded: true, writeVersion: 1 }],
];

/** The training of savers.py, with other names. */
function training() {
  const g = new Graph(CORE_OPS);
  const weights = getVariable(g, "weights", { initializer: [0, 0, 0], useResource: true });
  const bias = getVariable(g, "bias", { initializer: 0 });
  const x = g.constant([
    [1, 2, 3],
    [-1, 0.5, 2],
  ]);
  const axis = g.constant([1], { dtype: "int32" });
  const product = g.add("Sum", [addWith(g, "Mul", [x, weights]), axis]);
  const error = g.add("Sub", [addWith(g, "AddV2", [product, bias]), g.constant([1, -1])]);
  const loss = g.add("Sum", [g.add("Mul", [error, error]), g.constant([0], { dtype: "int32" })]);
  const optimizer = adamOptimizer({ learningRate: 0.1 });
  const train = optimizer.minimize(loss);
  const checkpoint = new Checkpoint({ net: { weights, more: [bias] }, optimizer });
  return { g, loss, train, checkpoint };
}

async function steps(session: Session, loss: Output, train: Operation, count: number): Promise<number[]> {
  const losses: number[] = [];
  for (let i = 0; i < count; i++) {
    const value: Tensor = await session.run(loss, { targets: [train] });
    losses.push(toNumbers(value)[0]!);
  }
  return losses;
}

const closeTo = (got: readonly number[], want: readonly number[]): void => {
  expect(got).toHaveLength(want.length);
  got.forEach((x, i) => {
    expect(Math.abs(x - want[i]!), `step ${i}`).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(want[i]!)));
  });
};

export function saverSuite(tf: TensorFlow | null, folder: string): void {
  const at = async (name: string): Promise<string> => {
    const place = join(folder, "savers", name);
    await mkdir(place, { recursive: true });
    return place;
  };

  describe.skipIf(tf === null)("savers and checkpoints of objects", () => {
    describe.each([true, false])("resources: %s", (resource) => {
      test.each(SAVERS)("a saver %s: TensorFlow runs its nodes, both ways", async (name, options) => {
        const place = await at(`${name}-${resource}`.replaceAll(/[ ,]/g, ""));
        const g = model(resource);
        const save = saver(g, options);
        const session = new Session(g);
        await session.run([], { targets: [globalVariablesInitializer(g)] });
        const ours = await save.save(session, join(place, "ours"));
        const values = await valuesOf(session);
        const answer = await tf!.ask<{ values: Values; path: string }>("resave", {
          meta: join(place, "ours.meta"),
          prefix: ours,
          out: join(place, "theirs"),
        });
        expect(answer.values).toEqual(values);
        const report = await save.restore(session, answer.path);
        expect(await valuesOf(session)).toEqual(plusOne(values));
        expect([report.missing, report.unused]).toEqual([[], []]);
        await session.close();
      });

      test("initializers from a checkpoint run there", async () => {
        const place = await at(`init-${resource}`);
        const g = model(resource);
        const session = new Session(g);
        await session.run([], { targets: [globalVariablesInitializer(g)] });
        await saver(g).save(session, join(place, "from"));
        const other = model(!resource);
        await initFromCheckpoint(other, join(place, "from"), { "/": "/" });
        writeFileSync(join(place, "graph.pb"), writeGraphDef(other));
        const all = globalVariables(other);
        const found = await tf!.ask<Values>("initialized", {
          graph: join(place, "graph.pb"),
          initializers: all.map((v) => v.initializer.name),
          fetches: all.map((v) => v.snapshot.name),
        });
        expect(Object.values(found)).toEqual(Object.values(await valuesOf(session)));
        await session.close();
      });
    });

    test("a training of objects goes there and back, optimizer and all", async () => {
      const place = await at("training");
      const ask = (path: string | null, count: number, out: string) =>
        tf!.ask<{ losses: number[]; path: string }>("train_objects", {
          path,
          steps: count,
          out: join(place, out),
        });
      const whole = await ask(null, 12, "whole");
      const first = training();
      const session = new Session(first.g);
      await session.run([], { targets: [globalVariablesInitializer(first.g)] });
      const losses = await steps(session, first.loss, first.train, 4);
      const there = await ask(await first.checkpoint.save(session, join(place, "ours")), 4, "theirs");
      const last = training();
      const again = new Session(last.g);
      (await last.checkpoint.restore(again, there.path)).assertConsumed();
      const rest = await steps(again, last.loss, last.train, 4);
      closeTo([...losses, ...there.losses, ...rest], whole.losses);
      await Promise.all([session.close(), again.close()]);
    });

    test("a manager's folder is gone on with, both ways", async () => {
      const place = await at("manager");
      const g = new Graph(CORE_OPS);
      const pair = variable(g, [1, 2]);
      const count = variable(g, 3n, { dtype: "int64" });
      const step = variable(g, 4);
      const session = new Session(g);
      await session.run([], { targets: [globalVariablesInitializer(g)] });
      const make = () => new Checkpoint({ net: { layers: [pair, { "a.b/c": count }] }, step });
      const manager = await checkpointManager(make(), place, { maxToKeep: 3 });
      for (let i = 0; i < 2; i++) await manager.save(session);
      const answer = await tf!.ask("eager_objects", { directory: place });
      expect(answer).toEqual({
        values: [[1, 2], 3, 4],
        counter: 3,
        saved: "ckpt-3",
        checkpoints: ["ckpt-1", "ckpt-2", "ckpt-3"],
      });
      const next = await checkpointManager(make(), place, { maxToKeep: 3 });
      expect(next.checkpoints).toEqual([1, 2, 3].map((i) => join(place, `ckpt-${i}`)));
      (await next.checkpoint.restore(session, next.latestCheckpoint)).assertConsumed();
      expect(toNumbers(await session.run(pair.snapshot))).toEqual([7, 8]);
      expect(await next.save(session)).toBe(join(place, "ckpt-4"));
      expect(await latestCheckpoint(place)).toBe(join(place, "ckpt-4"));
      await session.close();
    });

    test("objects are saved and restored over a remote session, without a disk that the server shares", async () => {
      const servers = (await startServers({ local: 1 }))!;
      try {
        const { g, loss, train, checkpoint } = training();
        const init = globalVariablesInitializer(g);
        g.finalize();
        const remote = new Session(g, { target: servers.target("local", 0) });
        await remote.run([], { targets: [init] });
        const losses = await steps(remote, loss, train, 3);
        const path = await checkpoint.save(remote, join(await at("remote"), "c"));
        const after = await steps(remote, loss, train, 2);
        (await checkpoint.restore(remote, path)).assertConsumed();
        expect(await steps(remote, loss, train, 2)).toEqual(after);
        expect(losses[2]).toBeGreaterThan(after[0]!);
        await remote.close();
      } finally {
        await servers.close();
      }
    });

    test("checkpoints by name go into objects, both ways", async () => {
      const place = await at("names");
      const g = new Graph(CORE_OPS);
      const w = getVariable(g, "w", { initializer: [4, 5] });
      const b = getVariable(g, "s/b", { initializer: 6, useResource: true });
      const session = new Session(g);
      await session.run([], { targets: [globalVariablesInitializer(g)] });
      const ours = await saver(g).save(session, join(place, "ours"));
      expect(await tf!.ask("eager_names", { path: ours })).toEqual([[4, 5], 6]);
      const theirs = await tf!.ask<string>("by_names", { out: join(place, "theirs") });
      (await new Checkpoint({ deep: [{ w }, b] }).restore(session, theirs)).assertConsumed();
      expect(await valuesOf(session)).toEqual({ w: [1, 2], "s/b": [3] });
      await session.close();
    });
  });
}
