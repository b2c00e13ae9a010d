/** Keras's layers for words and numbers, in a SavedModel that TensorFlow wrote, against what they answer there. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DType, type Nested, type Tensor, tensor, toNested } from "../../base/index.ts";
import { type LoadedModel, loadSavedModel } from "./index.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "keras-text");
interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values: readonly (number | string)[];
}
const { feeds, outputs } = JSON.parse(readFileSync(join(GOLDENS, "manifest.json"), "utf8")) as Record<
  "feeds" | "outputs",
  Readonly<Record<string, Value>>
>;

const decoded = ({ dtype, shape, values }: Value): Tensor =>
  tensor((dtype === "int64" ? values.map((v) => BigInt(v)) : values) as Nested, dtype, shape);

const dir = mkdtempSync(join(tmpdir(), "varscope-text-"));
let answer: Readonly<Record<string, Tensor>>;

beforeAll(async () => {
  cpSync(join(GOLDENS, "model"), dir, { recursive: true });
  writeFileSync(join(dir, "saved_model.pb"), gunzipSync(readFileSync(join(dir, "saved_model.pb.gz"))));
  await using model: LoadedModel = await loadSavedModel(dir);
  answer = await model.run(Object.fromEntries(Object.entries(feeds).map(([k, v]) => [k, decoded(v)])));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe("Keras's layers answer as in TensorFlow:", () => {
  test.each(Object.entries(outputs))("%s", (name, told) => {
    const [got, want] = [answer[name]!, decoded(told)];
    expect({ dtype: got.dtype, shape: [...got.shape] }).toEqual({
      dtype: want.dtype,
      shape: [...want.shape],
    });
    if (want.dtype !== "float32") expect(toNested(got)).toEqual(toNested(want));
    else for (const [i, v] of want.data.entries()) expect(got.data[i]).toBeCloseTo(v as number, 6);
  });
});
