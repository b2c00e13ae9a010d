import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bytesSource, diskFiles, heldFiles } from "#platform";
import { tensor } from "../../base/index.ts";
import { variableOf } from "../collection/index.ts";
import {
  checkpointExists,
  latestCheckpoint,
  listVariables,
  loadVariable,
  newCheckpointReader,
  type PrintTensorsOptions,
  printTensorsInCheckpointFile,
  saveCheckpoint,
  updateCheckpointState,
  writeV1Collection,
} from "./index.ts";

const GOLDENS = new URL("../../../tests/goldens/checkpoint-v1/", import.meta.url).pathname;
const golden = (file: string): string => join(GOLDENS, file);

interface Report {
  readonly path: string;
  readonly debug: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly dtypes: Readonly<Record<string, string>>;
  readonly list: readonly (readonly [string, readonly number[]])[];
  readonly missing: string;
  readonly printed: readonly {
    readonly options: {
      readonly name?: string;
      readonly all_tensors?: boolean;
      readonly all_tensor_names?: boolean;
      readonly count_exclude_pattern?: string;
    };
    readonly text: string;
  }[];
}
const { reports, nope } = JSON.parse(fs.readFileSync(golden("reports.json"), "utf8")) as {
  readonly reports: readonly Report[];
  readonly nope: string;
};

/** Python's decode("utf-8", "ignore"), for keys whose names have no U+FFFD. */
const decoded = (base64: string): string =>
  new TextDecoder().decode(Buffer.from(base64, "base64")).replaceAll("\ufffd", "");
const sortedLines = (text: string): string[] => text.split("\n").sort();

/** What TensorFlow's reader refuses in V1, and ours reads. */
const REFUSED = "Sliced checkpoints are not supported\n";

describe.each(reports)("$path", (report) => {
  const { path, debug, shapes, dtypes, list, missing, printed } = report;
  const isV1 = path !== "v2";

  test("the reader tells what TensorFlow's tells", async () => {
    const reader = await newCheckpointReader(golden(path));
    expect(Object.fromEntries(reader.getVariableToShapeMap())).toEqual(shapes);
    expect(Object.fromEntries(reader.getVariableToDtypeMap())).toEqual(dtypes);
    if (isV1) expect(sortedLines(reader.debugString())).toEqual(sortedLines(decoded(debug)));
    else expect(reader.debugString()).toBe(decoded(debug));
    for (const name of Object.keys(shapes)) {
      expect(reader.hasTensor(name)).toBe(true);
      expect((await reader.getTensor(name)).shape).toEqual(shapes[name]);
    }
    expect(reader.hasTensor("qq")).toBe(false);
    await expect(reader.getTensor("qq")).rejects.toThrow(missing.replace("NotFoundError: ", ""));
    await reader.close();
    expect(await listVariables(golden(path))).toEqual(list);
  });

  test.each(printed)("it prints with $options what TensorFlow prints", async ({ options, text }) => {
    const ours: PrintTensorsOptions = {
      tensorName: options.name ?? "",
      allTensors: options.all_tensors ?? false,
      allTensorNames: options.all_tensor_names ?? false,
      countExcludePattern: options.count_exclude_pattern ?? "",
    };
    const found = await printTensorsInCheckpointFile(golden(path), ours);
    if (text.endsWith(REFUSED)) {
      const before = text.slice(0, -REFUSED.length);
      expect(found.slice(0, before.length)).toBe(before);
      expect(found.slice(before.length)).toMatch(/^\[\[ 0\. .*# Total number of params: \d+\n$/s);
    } else if (isV1 && Object.keys(options).length === 0)
      expect(sortedLines(found)).toEqual(sortedLines(text));
    else expect(found).toBe(text);
  });
});

test("what is not there is said in TensorFlow's words", async () => {
  expect(await printTensorsInCheckpointFile("nope")).toBe(nope);
  await expect(newCheckpointReader("nope")).rejects.toThrow(`[NOT_FOUND] ${nope.trimEnd()}`);
});

test("a file of a V2 checkpoint means the checkpoint", async () => {
  const whole = await printTensorsInCheckpointFile(golden("v2"));
  for (const ending of [".index", ".data-00000-of-00001"])
    expect(await printTensorsInCheckpointFile(golden(`v2${ending}`))).toBe(whole);
});

test("errors are printed, with TensorFlow's hints", async () => {
  const data = bytesSource(new TextEncoder().encode("garbage ".repeat(20)), "m.data-00000-of-00001");
  const files = heldFiles(new Map([["m.data-00000-of-00001", data]]));
  expect(await printTensorsInCheckpointFile("m.data-00000-of-00001", { files })).toBe(
    `[DATA_LOSS] m.data-00000-of-00001@152: not an sstable (bad magic number); the file is cut short, or no table such as an .index; copy it again

It's likely that this is a V2 checkpoint and you need to provide the filename
*prefix*.  Try removing the '.' and extension.  Try:
inspect checkpoint --file_name = m
`,
  );
  expect(await printTensorsInCheckpointFile(golden("shapes"), { countExcludePattern: "(" })).toMatch(
    /"\(" is no regular expression\n$/,
  );
});

test("the latest of a folder, V1 or V2, is read by folder and by state file", async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), "varscope-reader-"));
  const state = (path: string) => ({
    modelCheckpointPath: path,
    allModelCheckpointPaths: [path],
    allModelCheckpointTimestamps: [],
  });
  try {
    await expect(listVariables(folder)).rejects.toThrow(
      `[NOT_FOUND] ${folder}: Couldn't find 'checkpoint' file or checkpoints in given directory`,
    );
    await saveCheckpoint(join(folder, "m-1"), [{ name: "w", tensor: tensor([1], "float32") }]);
    await updateCheckpointState(folder, state(join(folder, "m-1")));
    expect(await loadVariable(folder, "w:0")).toEqual(tensor([1], "float32"));
    const variables = [2, 3].map((n) => variableOf(`v${n}`, tensor([n], "float32")));
    await writeV1Collection(join(folder, "one"), { variables });
    await updateCheckpointState(folder, state(join(folder, "one")));
    expect(await listVariables(folder)).toEqual([
      ["v2", [1]],
      ["v3", [1]],
    ]);
    await writeV1Collection(join(folder, "many"), { variables }, { shards: 2 });
    const pattern = join(folder, "many-?????-of-00002");
    await updateCheckpointState(folder, state(pattern));
    expect(await checkpointExists(pattern)).toBe(true);
    expect(await checkpointExists(join(folder, "none-?????-of-00002"))).toBe(false);
    expect(await latestCheckpoint(folder)).toBe(pattern);
    expect(await loadVariable(join(folder, "checkpoint"), "v3", diskFiles)).toEqual(tensor([3], "float32"));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
});
