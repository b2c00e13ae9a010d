import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tensor, toNumbers } from "../../base/index.ts";
import { type DataIterator, fromTensorSlices } from "../../data/index.ts";
import { newGraph } from "../../ops/index.ts";
import { createGlobalStep } from "../../variables/index.ts";
import { removeCheckpoint } from "../kept.ts";
import { iteratorHook } from "./iterator-hook.ts";
import { feedFnHook } from "./run-hooks.ts";
import { monitoredTrainingSession } from "./training-session.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "varscope-iterator-"));
});
afterAll(() => rm(folder, { recursive: true }));

type Batches = DataIterator<ReturnType<typeof tensor>>;

const batches = (): Batches => {
  const numbers = tensor(
    Array.from({ length: 20 }, (_, i) => i),
    "float32",
  );
  return fromTensorSlices(numbers).shuffle(20, { seed: 3 }).repeat().batch(4).iterator();
};

/** Steps `count` times, then leaves as a process that dies, or in good order. @returns what each step was fed, and the lines logged */
async function train(count: number, dies: boolean): Promise<{ fed: number[][]; lines: string[] }> {
  const graph = newGraph();
  const step = createGlobalStep(graph);
  const x = graph.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null] } } });
  const bump = step.assignAdd(1n, { readValue: false });
  const y = graph.add("Identity", [x]);
  const iterator = batches();
  const lines: string[] = [];
  const session = await monitoredTrainingSession(graph, {
    checkpointDir: folder,
    saveCheckpointSteps: 3,
    log: (line) => void lines.push(line),
    hooks: [
      iteratorHook(iterator, { checkpointDir: folder, log: (line) => void lines.push(line) }),
      feedFnHook(async () => ({ x: (await iterator.next()).value! })),
    ],
  });
  const fed: number[][] = [];
  for (let i = 0; i < count; i++) fed.push(toNumbers(await session.run(y, { targets: [bump as never] })));
  await (dies ? session.abandon() : session.close());
  return { fed, lines };
}

test("the order of the data goes on after a crash, a good end, and from a checkpoint without a state", async () => {
  const it = batches();
  const order: number[][] = [];
  for (let i = 0; i < 40; i++) order.push(toNumbers((await it.next()).value!));

  expect((await train(5, true)).fed).toEqual(order.slice(0, 5)); // saved at 0 and 3
  expect((await train(5, false)).fed).toEqual(order.slice(3, 8)); // 3, 6, 8
  expect((await train(2, false)).fed).toEqual(order.slice(8, 10)); // 8, 10
  const states = (await readdir(folder)).filter((f) => f.startsWith("input.ckpt") && f.endsWith(".index"));
  expect(states.sort()).toEqual([0, 10, 3, 6, 8].map((n) => `input.ckpt-${n}.index`));

  await removeCheckpoint(join(folder, "input.ckpt-10"));
  const { fed, lines } = await train(1, true);
  expect(fed).toEqual(order.slice(0, 1));
  expect(lines).toContain("No state of the input at step 10: its data begin anew.");
});

test("states go when their checkpoints go", async () => {
  await train(12, false); // saves at 10, 13, 16, 19, 22: five stay
  const left = (await readdir(folder)).filter((f) => f.endsWith(".index")).sort();
  expect(left).toEqual(
    ["input", "model"].flatMap((name) => [10, 13, 16, 19, 22].map((n) => `${name}.ckpt-${n}.index`)),
  );
});
