import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { toNumbers } from "../../base/index.ts";
import { Graph, type Output } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { globalVariablesInitializer, variable } from "../../variables/index.ts";
import { Checkpoint, type CheckpointManagerOptions, checkpointManager } from "../index.ts";

interface Action {
  readonly wait?: number;
  readonly again?: boolean;
  readonly steps?: number;
  readonly restore?: boolean;
  readonly save?: { readonly checkpoint_number?: number; readonly check_interval?: boolean };
}

interface Step {
  readonly action: Action;
  readonly result: string | null;
  readonly latest: string | null;
  readonly checkpoints: readonly string[];
  readonly files: readonly string[];
  readonly state: string | null;
}

interface Run {
  readonly name: string;
  readonly start: number;
  readonly options: Readonly<Record<string, number | string | null>>;
  readonly steps: readonly Step[];
}

/** Folders of TensorFlow's CheckpointManager under a clock of ours: tools/goldens/objects.py. */
const { managers, managerErrors } = JSON.parse(
  readFileSync("tests/goldens/objects/objects.json", "utf8"),
) as {
  readonly managers: readonly Run[];
  readonly managerErrors: Readonly<Record<string, readonly [string, string]>>;
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "manager-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** A model with a step that can be counted up. */
async function model() {
  const g = new Graph(CORE_OPS);
  const v = variable(g, 1, { name: "v" });
  const step = variable(g, 0n, { name: "step", dtype: "int64" });
  const by = g.add("Placeholder", [], { name: "by", attrs: { dtype: "int64", shape: { dims: [] } } });
  const grow = step.assignAdd(by) as Output;
  const session = new Session(g);
  await session.run([], { targets: [globalVariablesInitializer(g)] });
  return { v, step, session, count: (steps: number) => session.run(grow, { feeds: { "by:0": steps } }) };
}

describe("the folder is TensorFlow's after each save", () => {
  test.each(managers.map((run) => [run.name, run] as const))("%s", async (_, { start, options, steps }) => {
    let now = start;
    const folder = join(dir, "runs");
    const { v, step, session, count } = await model();
    const make = () =>
      checkpointManager(new Checkpoint({ v }), folder, {
        maxToKeep: options.max_to_keep as number | null,
        ...(options.keep_checkpoint_every_n_hours === undefined
          ? {}
          : { keepCheckpointEveryNHours: options.keep_checkpoint_every_n_hours as number }),
        ...(options.checkpoint_name === undefined
          ? {}
          : { checkpointName: options.checkpoint_name as string }),
        ...(options.checkpoint_interval === undefined
          ? {}
          : { checkpointInterval: options.checkpoint_interval as number, stepCounter: step }),
        clock: () => now,
      });
    let manager = await make();
    for (const { action, ...want } of steps) {
      now += action.wait ?? 0;
      if (action.again) manager = await make();
      await count(action.steps ?? 0);
      const { save } = action;
      const result =
        save !== undefined
          ? await manager.save(session, {
              ...(save.checkpoint_number === undefined ? {} : { checkpointNumber: save.checkpoint_number }),
              ...(save.check_interval === undefined ? {} : { checkInterval: save.check_interval }),
            })
          : action.restore
            ? await manager.restoreOrInitialize(session)
            : null;
      const inFolder = (path: string | null): string | null => path && relative(folder, path);
      const state = join(folder, "checkpoint");
      expect({
        result: inFolder(result),
        latest: inFolder(manager.latestCheckpoint),
        checkpoints: manager.checkpoints.map(inFolder),
        files: existsSync(folder) ? readdirSync(folder).sort() : [],
        state: existsSync(state) ? readFileSync(state, "utf8") : null,
      }).toEqual(want);
    }
    await session.close();
  });
});

test("restoreOrInitialize restores the newest, or else runs initFn", async () => {
  const { v, session } = await model();
  const asked: string[] = [];
  const make = () =>
    checkpointManager(new Checkpoint({ v }), dir, {
      maxToKeep: 2,
      initFn: async (s) => {
        asked.push("init");
        await s.run(v.assign(5) as Output);
      },
    });
  const manager = await make();
  expect(await manager.restoreOrInitialize(session)).toBeNull();
  expect(toNumbers(await session.run(v.snapshot))).toEqual([5]);
  const path = await manager.save(session);
  await session.run(v.assign(6) as Output);
  const again = await make();
  expect(await again.restoreOrInitialize(session)).toBe(path);
  expect(toNumbers(await session.run(v.snapshot))).toEqual([5]);
  expect(asked).toEqual(["init"]);
  expect(await again.save(session)).toBe(join(dir, "ckpt-2"));
  await session.close();
});

test("what is to be kept must be a positive number or null, and an interval needs a step", async () => {
  const make = (options: CheckpointManagerOptions) => checkpointManager(new Checkpoint({}), dir, options);
  await expect(make({ maxToKeep: 0 })).rejects.toThrow(managerErrors.zero![1]);
  await expect(make({} as never)).rejects.toThrow(/Expected a positive integer or `None` for `max_to_keep`/);
  await expect(make({ maxToKeep: 1, checkpointInterval: 2 })).rejects.toThrow(managerErrors["no step"]![1]);
});
