import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tensor } from "../../base/index.ts";
import {
  checkpointExists,
  latestCheckpoint,
  openCheckpoint,
  readCheckpointState,
  saveCheckpoint,
  updateCheckpointState,
} from "./index.ts";
import { formatState, parseState } from "./state-text.ts";

const manifest = new URL("../../../tests/goldens/checkpoint/manifest.json", import.meta.url);
const { states } = JSON.parse(fs.readFileSync(manifest, "utf8")) as {
  readonly states: readonly {
    readonly case: string;
    readonly latest: string;
    readonly paths: readonly string[] | null;
    readonly timestamps: readonly number[] | null;
    readonly preserved: number | null;
    readonly text: string;
  }[];
};

let folder = "";
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "varscope-state-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

test.each(states)(
  "state $case: TensorFlow's text, both ways",
  async ({ case: name, latest, paths, timestamps, preserved, text }) => {
    const dir = relative(process.cwd(), join(folder, name)); // relative to the working folder, as in the golden
    fs.mkdirSync(join(folder, name));
    const placed = (path: string): string => (path.startsWith("/") ? path : `${dir}/${path}`);
    const state = {
      modelCheckpointPath: placed(latest),
      allModelCheckpointPaths: (paths ?? []).map(placed),
      allModelCheckpointTimestamps: timestamps ?? [],
      ...(preserved === null ? {} : { lastPreservedTimestamp: preserved }),
    };
    await updateCheckpointState(dir, state);
    expect(fs.readFileSync(join(folder, name, "checkpoint"), "utf8")).toBe(text);
    expect(formatState(parseState(text))).toBe(text);
    const all = state.allModelCheckpointPaths;
    const want = { ...state, allModelCheckpointPaths: all.length === 0 ? [state.modelCheckpointPath] : all };
    expect(await readCheckpointState(dir)).toEqual(want);
  },
);

test("text of any layout is parsed: comments, separators, quotes, escapes", () => {
  const text = `# made by hand
    model_checkpoint_path : 'a' "b\\x41\\101" ; all_model_checkpoint_paths:"c"
    all_model_checkpoint_timestamps: 1e3, last_preserved_timestamp: -2.5f`;
  expect(parseState(text)).toEqual({
    modelCheckpointPath: "abAA",
    allModelCheckpointPaths: ["c"],
    allModelCheckpointTimestamps: [1000],
    lastPreservedTimestamp: -2.5,
  });
});

test.each([
  "garbage {",
  "model_checkpoint_path: 3",
  'other: "x"',
  'model_checkpoint_path: "x',
  'constructor: "x"',
  "toString: 1",
])("%j is no state", (text) => {
  expect(() => parseState(text, "f")).toThrow(
    /^\[DATA_LOSS\] f@\d+: .* is not a field of CheckpointState; only model_/,
  );
});

test("absolute paths become relative where asked", async () => {
  const dir = join(folder, "asked");
  fs.mkdirSync(dir);
  const state = {
    modelCheckpointPath: join(dir, "m-1"),
    allModelCheckpointPaths: [],
    allModelCheckpointTimestamps: [],
  };
  await updateCheckpointState(dir, state, { relativePaths: true });
  expect(fs.readFileSync(join(dir, "checkpoint"), "utf8")).toContain('model_checkpoint_path: "m-1"');
});

test("timestamps must match, and a save path must not be the state file", async () => {
  const state = {
    modelCheckpointPath: "/x/m",
    allModelCheckpointPaths: [],
    allModelCheckpointTimestamps: [1, 2],
  };
  await expect(updateCheckpointState(folder, state)).rejects.toThrow(
    "Checkpoint timestamps, if provided, must match checkpoint paths",
  );
  const clash = {
    modelCheckpointPath: join(folder, "checkpoint"),
    allModelCheckpointPaths: [],
    allModelCheckpointTimestamps: [],
  };
  await expect(updateCheckpointState(folder, clash)).rejects.toThrow(
    "conflicts with path used for checkpoint state",
  );
});

test("the latest checkpoint: TensorFlow's rules", async () => {
  const dir = join(folder, "latest");
  fs.mkdirSync(dir);
  const write = (text: string) => fs.writeFileSync(join(dir, "checkpoint"), text);
  expect(await latestCheckpoint(dir)).toBe(null); // no state file
  write("garbage {");
  expect(await latestCheckpoint(dir)).toBe(null);
  write('model_checkpoint_path: "m-4"');
  expect(await latestCheckpoint(dir)).toBe(null); // its files are gone
  await saveCheckpoint(join(dir, "m-4"), [{ name: "w", tensor: tensor([4]) }]);
  expect(await latestCheckpoint(dir)).toBe(join(dir, "m-4"));
  expect(await latestCheckpoint(relative(process.cwd(), dir))).toBe(`${relative(process.cwd(), dir)}/m-4`);
  fs.rmSync(join(dir, "m-4.data-00000-of-00001"));
  expect(await checkpointExists(join(dir, "m-4"))).toBe(true); // only the index is looked for
  write('model_checkpoint_path: ""');
  await expect(latestCheckpoint(dir)).rejects.toThrow(`Invalid checkpoint state loaded from ${dir}`);
});

test("a folder and a state file open the latest; a folder of one checkpoint needs no state file", async () => {
  const dir = join(folder, "open");
  fs.mkdirSync(dir);
  await expect(openCheckpoint(dir)).rejects.toThrow(
    "Couldn't find 'checkpoint' file or checkpoints in given directory",
  );
  await saveCheckpoint(join(dir, "m-1"), [{ name: "one", tensor: tensor([1]) }]);
  const names = async (path: string) => {
    const checkpoint = await openCheckpoint(path);
    await checkpoint.close();
    return checkpoint.names();
  };
  expect(await names(dir)).toEqual(["one"]);
  await saveCheckpoint(join(dir, "m-2"), [{ name: "two", tensor: tensor([2]) }]);
  await expect(openCheckpoint(dir)).rejects.toThrow("there are 2: m-1.index, m-2.index");
  const none = { allModelCheckpointPaths: [], allModelCheckpointTimestamps: [] };
  await updateCheckpointState(dir, { modelCheckpointPath: "m-1", ...none });
  expect(await names(dir)).toEqual(["one"]);
  await updateCheckpointState(dir, { modelCheckpointPath: "m-2", ...none }, { name: "other" });
  expect(await names(join(dir, "other"))).toEqual(["two"]);
});

test("a file that is no checkpoint is refused by name", async () => {
  const file = join(folder, "v1");
  fs.writeFileSync(file, new Uint8Array(100));
  await expect(openCheckpoint(file)).rejects.toThrow(`[UNIMPLEMENTED] ${file}: this is no V2 checkpoint`);
  await expect(openCheckpoint(join(folder, "nope"))).rejects.toThrow("Failed to find any matching files for");
});
