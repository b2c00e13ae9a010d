import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { tensor } from "../../base/index.ts";
import { saveCheckpoint } from "./index.ts";
import { restoreTensors, saveV1Tensors } from "./restore-tensors.ts";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "tensors-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

const rows = (from: number, count: number) =>
  tensor(Array.from({ length: count }, (_, i) => [2 * (from + i), 2 * (from + i) + 1]));
const read = (name: string, slice = "") => ({ name, slice });

test.each(["V1", "V2"])(
  "slices of %s are joined, whole or across parts, and shards by their pattern",
  async (format) => {
    const at = join(dir, format);
    const parts = [
      { name: "emb", slice: "5 2 0,2:-", tensor: rows(0, 2) },
      { name: "emb", slice: "5 2 4,1:-", tensor: rows(4, 1) },
      { name: "emb", slice: "5 2 2,2:-", tensor: rows(2, 2) },
    ];
    const b = { name: "b", tensor: tensor(7) };
    if (format === "V2") await saveCheckpoint(at, [...parts, b]);
    else {
      // the first and last part in one file, which has a gap between them
      await saveV1Tensors(`${at}-00000-of-00002`, parts.slice(0, 2));
      await saveV1Tensors(`${at}-00001-of-00002`, [parts[2]!, b]);
    }
    const prefix = format === "V2" ? at : `${at}-?????-of-00002`;
    const found = await restoreTensors(prefix, [read("b"), read("emb"), read("emb", "5 2 1,3:1,1")]);
    expect(found).toEqual([tensor(7), rows(0, 5), tensor([[3], [5], [7]])]);
    await expect(restoreTensors(prefix, [read("emb", "4 2 0,1:-")])).rejects.toThrow(
      /shape in shape_and_slice spec \[4,2\] does not match the shape stored in checkpoint: \[5,2\]/,
    );
    await expect(restoreTensors(prefix, [read("q")])).rejects.toMatchObject({ code: "NOT_FOUND" });
  },
);

test("a V1 file says in TensorFlow's words what it lacks", async () => {
  const file = join(dir, "one");
  await saveV1Tensors(file, [{ name: "b", tensor: tensor(7) }]);
  await expect(restoreTensors(file, [read("q")])).rejects.toThrow(
    `Tensor name "q" not found in checkpoint files ${file}`,
  );
});

test("one name twice, an empty name, and what V1 cannot hold are refused", async () => {
  const twice = [
    { name: "w", tensor: tensor(1) },
    { name: "w", tensor: tensor(2) },
  ];
  await expect(saveCheckpoint(join(dir, "x"), twice)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await expect(saveV1Tensors(join(dir, "x"), twice)).rejects.toThrow("Adding duplicate key: w");
  const nameless = [{ name: "", tensor: tensor(1) }];
  await expect(saveCheckpoint(join(dir, "x"), nameless)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  const wide = [{ name: "w", tensor: tensor(1, "uint64") }];
  await expect(saveV1Tensors(join(dir, "x"), wide)).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
});

test("parts of a variable beyond memory are refused before it is taken", async () => {
  const parts = [0, 9].map((row) => ({ name: "w", slice: `100000000000000 ${row},1`, tensor: tensor([1]) }));
  await expect(saveV1Tensors(join(dir, "x"), parts)).rejects.toMatchObject({ code: "UNIMPLEMENTED" });
});

test("no checkpoint there", async () => {
  await expect(restoreTensors(join(dir, "nope"), [read("w")])).rejects.toMatchObject({ code: "NOT_FOUND" });
  await expect(restoreTensors(join(dir, "nope-?????-of-00002"), [read("w")])).rejects.toMatchObject({
    code: "NOT_FOUND",
  });
});
