import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Graph } from "../graph/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { getVariable, globalVariablesInitializer, zerosInitializer } from "../variables/index.ts";
import { removeCheckpoint, type SaveOptions, type SaverOptions, saver } from "./index.ts";

interface Action {
  readonly step?: number;
  readonly wait?: number;
  readonly recover?: readonly string[];
  readonly options?: Readonly<Record<string, boolean | string>>;
}

interface Rotation {
  readonly name: string;
  readonly start: number;
  readonly before: readonly number[];
  readonly options: Readonly<Record<string, number | boolean | null>>;
  readonly steps: readonly {
    readonly action: Action;
    readonly result: string | null;
    readonly last: readonly string[];
    readonly files: readonly string[];
    readonly state: string | null;
  }[];
}

/** What TensorFlow's Saver leaves in a folder, under a clock of ours: tools/goldens/savers.py. */
const { rotations } = JSON.parse(readFileSync("tests/goldens/savers/savers.json", "utf8")) as {
  readonly rotations: readonly Rotation[];
};

const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
/** Options as Python names them. */
const optionsOf = <T>(options: object): T =>
  Object.fromEntries(Object.entries(options).map(([key, value]) => [camel(key), value])) as T;

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "kept-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

async function model() {
  const g = new Graph(CORE_OPS);
  getVariable(g, "w", { shape: [2], initializer: zerosInitializer() });
  getVariable(g, "r", { shape: [], initializer: zerosInitializer(), useResource: true });
  const session = new Session(g);
  await session.run([], { targets: [globalVariablesInitializer(g)] });
  return { g, session };
}

describe("the folder is TensorFlow's after each save", () => {
  test.each(rotations.map((r) => [r.name, r] as const))(
    "%s",
    async (name, { start, before, options, steps }) => {
      let now = start;
      const { g, session } = await model();
      const first = saver(g, { name: "first" });
      for (const globalStep of before)
        await first.save(session, join(dir, "m"), { globalStep, writeMetaGraph: false });
      const save = saver(g, { ...optionsOf<SaverOptions>(options), clock: () => now });
      for (const { action, ...want } of steps) {
        now += action.wait ?? 0;
        if (action.recover !== undefined)
          await save.recoverLastCheckpoints(action.recover.map((p) => join(dir, p)));
        const saveOptions = optionsOf<SaveOptions>(action.options ?? {});
        const result =
          action.step === undefined
            ? null
            : await save.save(session, join(dir, "m"), { ...saveOptions, globalStep: action.step });
        const state = join(dir, "checkpoint");
        const found = {
          result,
          last: save.lastCheckpoints(),
          files: readdirSync(dir).sort(),
          state: existsSync(state) ? readFileSync(state, "utf8") : null,
        };
        expect(JSON.parse(JSON.stringify(found).replaceAll(dir, `FOLDER/${name}`))).toEqual(want);
      }
      await session.close();
    },
  );
});

test("checkpoints that are set by hand count with the time that is given", async () => {
  let now = 0;
  const { g, session } = await model();
  const clock = () => now;
  const save = saver(g, { maxToKeep: 1, keepCheckpointEveryNHours: 1, clock });
  const paths: string[] = [];
  for (const globalStep of [1, 2])
    paths.push((await saver(g, { maxToKeep: 0 }).save(session, join(dir, "m"), { globalStep }))!);
  save.setLastCheckpoints([paths[0]!], [10]);
  now = 20;
  await save.save(session, join(dir, "m"), { globalStep: 3 });
  expect(existsSync(`${paths[0]}.index`)).toBe(false);
  save.setLastCheckpoints([paths[1]!]);
  await save.save(session, join(dir, "m"), { globalStep: 4 });
  expect(existsSync(`${paths[1]}.index`)).toBe(true); // without a time it is preserved
  await session.close();
});

test("a V1 checkpoint of an earlier process counts when it is recovered", async () => {
  const { g, session } = await model();
  const old = saver(g, { writeVersion: 1, sharded: true });
  const path = (await old.save(session, join(dir, "m"), { globalStep: 1 }))!;
  const [file] = readdirSync(dir).filter((name) => /-of-/.test(name));
  utimesSync(join(dir, file!), 1, 1);
  const save = saver(g, { writeVersion: 1, maxToKeep: 1 });
  await save.recoverLastCheckpoints([path, join(dir, "gone")]);
  expect(save.lastCheckpoints()).toEqual([path]);
  await save.save(session, join(dir, "m"), { globalStep: 2 });
  expect(readdirSync(dir).sort()).toEqual(["checkpoint", "m-2", "m-2.meta"]);
  await session.close();
});

test("removeCheckpoint leaves checkpoints whose names begin alike", async () => {
  const { g, session } = await model();
  const save = saver(g, { maxToKeep: 0 });
  for (const globalStep of [1, 11]) await save.save(session, join(dir, "m"), { globalStep });
  await removeCheckpoint(join(dir, "m-1"));
  expect(readdirSync(dir).sort()).toEqual([
    "checkpoint",
    "m-11.data-00000-of-00001",
    "m-11.index",
    "m-11.meta",
  ]);
  await removeCheckpoint(join(dir, "m-1"));
  await session.close();
});
