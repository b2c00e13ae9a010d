import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { openCheckpoint } from "../formats/checkpoint/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { batchNormalization, dense, l2Regularizer } from "../layers/index.ts";
import { CORE_OPS, placeholder, reduceSum, setRandomSeed, square } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { adamOptimizer, momentumOptimizer, saver } from "../train/index.ts";
import {
  constantInitializer,
  fixedSizePartitioner,
  GraphKeys,
  getVariable,
  globalVariables,
  globalVariablesInitializer,
  isPartitionedVariable,
  isVariable,
  minMaxVariablePartitioner,
  type PartitionedVariable,
  trainableVariables,
  variableAxisSizePartitioner,
  variableFromProto,
  variableScope,
} from "./index.ts";

const graph = (): Graph => new Graph(CORE_OPS);
const VALUES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

const table = (g: Graph, shards: number, options: object = {}): PartitionedVariable =>
  getVariable<PartitionedVariable>(g, "table", {
    shape: [5, 2],
    initializer: constantInitializer(VALUES.slice(0, 1)),
    partitioner: fixedSizePartitioner(shards),
    ...options,
  });

async function started(g: Graph): Promise<Session> {
  const init = globalVariablesInitializer(g);
  const session = new Session(g, { warn: () => {} });
  await session.run([], { targets: [init] });
  return session;
}

test.each([
  ["fixed size", fixedSizePartitioner(3), [5, 2], [3, 1]],
  ["fixed size, more parts than rows", fixedSizePartitioner(9), [5, 2], [5, 1]],
  ["fixed size, last axis", fixedSizePartitioner(2, -1), [5, 4], [1, 2]],
  ["axis size of 40 bytes", variableAxisSizePartitioner(40), [7, 4], [4, 1]],
  ["axis size, smaller than a row", variableAxisSizePartitioner(1), [7, 4], [7, 1]],
  ["axis size, at most 3", variableAxisSizePartitioner(1, { maxShards: 3 }), [7, 4], [3, 1]],
  ["min max, 1024 by 1024", minMaxVariablePartitioner({ maxPartitions: 99 }), [1024, 1024], [16, 1]],
  ["min max, at most 4", minMaxVariablePartitioner({ maxPartitions: 4 }), [1024, 1024], [4, 1]],
  ["min max, small", minMaxVariablePartitioner({ maxPartitions: 4 }), [8, 2], [1, 1]],
])("partitioner %s", (_, partitioner, shape, want) => {
  expect(partitioner(shape, "float32")).toEqual(want);
});

test("a partitioned variable is one value, several variables, and no variable itself", () => {
  const g = graph();
  const w = table(g, 3);
  expect(isPartitionedVariable(w)).toBe(true);
  expect(isVariable(w)).toBe(false);
  expect([w.name, w.shape, w.partitions]).toEqual(["table", [5, 2], [3, 1]]);
  expect([...w].map((part) => [part.op.name, part.shape])).toEqual([
    ["table/part_0", [2, 2]],
    ["table/part_1", [2, 2]],
    ["table/part_2", [1, 2]],
  ]);
  expect(globalVariables(g)).toEqual(w.parts);
  expect([w.value().name, w.value().name]).toEqual(["table:0", "table_1:0"]);
  expect(w.value().shape).toEqual([5, 2]);
});

test("a part knows its place, in its VariableDef too", () => {
  const g = graph();
  const [, second] = table(g, 3, { useResource: true });
  const def = second!.toProto();
  expect(def.saveSliceInfoDef).toMatchObject({
    fullName: "table",
    fullShape: [5n, 2n],
    varOffset: [2n, 0n],
    varShape: [2n, 2n],
  });
  expect(variableFromProto(g, def).saveSliceInfo).toEqual(second!.saveSliceInfo);
});

describe.each([false, true])("useResource %s", (useResource) => {
  test("assigning the whole cuts it; a list, or another variable of this kind, goes part by part", async () => {
    const g = graph();
    const w = table(g, 3, { useResource });
    const whole = w.value();
    const ops = {
      set: w.assign(g.constant(VALUES, { shape: [5, 2] })),
      literal: w.assignAdd([
        [1, 1],
        [1, 1],
        [1, 1],
        [1, 1],
        [1, 1],
      ]),
      list: w.assignAdd(w.parts.map((part) => part.value())),
      itself: w.assignSub(w),
    };
    await using session = await started(g);
    const valuesAfter = async (targets: readonly unknown[]) => {
      await session.run([], { targets: targets as Output[] });
      return toNumbers(await session.run(whole));
    };
    expect(await valuesAfter(ops.set)).toEqual(VALUES);
    expect(await valuesAfter(ops.literal)).toEqual(VALUES.map((v) => v + 1));
    expect(await valuesAfter(ops.list)).toEqual(VALUES.map((v) => 2 * v + 2));
    expect(await valuesAfter(ops.itself)).toEqual(VALUES.map(() => 0));
    expect(() => w.assign([g.constant([[1, 1]])])).toThrow(/1 values for 3 parts/);
  });

  test("optimizers see the parts; their slots are parts of the whole's slots", async () => {
    const g = graph();
    const w = table(g, 2, { useResource });
    const optimizer = momentumOptimizer({ learningRate: 0.1, momentum: 0.9 });
    const train = optimizer.minimize(reduceSum(square(w.value())));
    const slots = w.parts.map((part) => optimizer.getSlot(part, "momentum")!);
    expect(slots.map((slot) => [slot.op.name, slot.saveSliceInfo!.fullName])).toEqual([
      ["table/part_0/Momentum", "table/Momentum"],
      ["table/part_1/Momentum", "table/Momentum"],
    ]);
    expect(slots[1]!.saveSliceInfo!.varOffset).toEqual([3n, 0n]);
    await using session = await started(g);
    await session.run([], { targets: [train] });
    for (const part of w) {
      for (const v of toNumbers(await session.run(part))) expect(v).toBeCloseTo(0.8, 6);
    }
  });

  test("layers work in a partitioned scope, each part regularized", async () => {
    const g = graph();
    setRandomSeed(g, 1);
    const x = placeholder(g, "float32", { shape: [null, 4], name: "x" });
    const y = variableScope(g, "net", { partitioner: fixedSizePartitioner(2), useResource }, () =>
      batchNormalization(dense(x, 3, { kernelRegularizer: l2Regularizer(0.1) }), { training: true }),
    );
    expect(trainableVariables(g).map((v) => v.op.name)).toEqual([
      "net/dense/kernel/part_0",
      "net/dense/kernel/part_1",
      "net/dense/bias/part_0",
      "net/dense/bias/part_1",
      "net/batch_normalization/gamma/part_0",
      "net/batch_normalization/gamma/part_1",
      "net/batch_normalization/beta/part_0",
      "net/batch_normalization/beta/part_1",
    ]);
    expect(g.getCollection(GraphKeys.REGULARIZATION_LOSSES).length).toBe(2);
    const train = adamOptimizer().minimize(reduceSum(square(y)));
    await using session = await started(g);
    await session.run([], {
      targets: [train],
      feeds: {
        "x:0": [
          [1, 2, 3, 4],
          [0, 1, 0, 1],
        ],
      },
    });
  });
});

describe("checkpoints", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "varscope-parts-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("hold the whole by its own name, as slices; other parts, or none, restore it", async () => {
    const g = graph();
    const w = table(g, 3);
    const set = w.assign(g.constant(VALUES, { shape: [5, 2] }));
    const save = saver(g);
    await using session = await started(g);
    await session.run([], { targets: set as Output[] });
    const prefix = (await save.save(session, join(folder, "model")))!;

    const file = await openCheckpoint(prefix);
    expect(file.names()).toEqual(["table"]);
    expect(toNumbers(await file.read("table"))).toEqual(VALUES);
    await file.close();

    for (const shards of [1, 2, 5, 0]) {
      const h = graph();
      const v = shards === 0 ? getVariable(h, "table", { shape: [5, 2] }) : table(h, shards);
      const value = v.value();
      const restore = saver(h);
      await using other = new Session(h);
      await restore.restore(other, prefix);
      expect(toNumbers(await other.run(value)), `${shards} parts`).toEqual(VALUES);
    }
  });

  test("hold the slots of parts as slices of one slot", async () => {
    const g = graph();
    const w = table(g, 2);
    const train = adamOptimizer().minimize(reduceSum(square(w.value())));
    const save = saver(g);
    await using session = await started(g);
    await session.run([], { targets: [train] });
    const file = await openCheckpoint((await save.save(session, join(folder, "model")))!);
    expect(file.names()).toEqual(["beta1_power", "beta2_power", "table", "table/Adam", "table/Adam_1"]);
    expect((await file.read("table/Adam")).shape).toEqual([5, 2]);
    await file.close();
  });
});
