import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { tensor, toNumbers } from "../../base/index.ts";
import { batchNormalization } from "../../layers/index.ts";
import { newGraph } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { globalVariables } from "../../variables/index.ts";
import { openModel } from "../open-model.ts";
import { CONVENTIONS, type ConventionName, detectConvention } from "./convention.ts";
import { recalibrate } from "./recalibrate.ts";

const GOLDENS = new URL("../../../tests/goldens/", import.meta.url);

/** New moving variance of 1, 2, 3, 4, in images of one pixel or as a matrix. */
async function varianceBy(convention: ConventionName, rank: 2 | 4): Promise<number> {
  const g = newGraph();
  const ones = Array(rank - 1).fill(1);
  const x = g.add("Placeholder", [], {
    name: "x",
    attrs: { dtype: "float32", shape: { dims: [null, ...ones] } },
  });
  batchNormalization(x, { training: true });
  await using session = new Session(g, { warn: () => {} });
  await session.run([], { targets: globalVariables(g).map((v) => v.initializer) });
  const data = [{ x: tensor([1, 2, 3, 4], "float32", [4, ...ones]) }];
  const { layers } = await recalibrate(session, { data, convention });
  return toNumbers(layers[0]!.variance)[0]!;
}

const [POPULATION, SAMPLE] = [1.25, 5 / 3];

describe("the variance of 1, 2, 3, 4", () => {
  test.each<[ConventionName, number, number]>([
    ["as-written", POPULATION, SAMPLE],
    ["tf1-fused", SAMPLE, SAMPLE],
    ["tf1-unfused", POPULATION, POPULATION],
    ["keras2", POPULATION, SAMPLE],
    ["keras3", POPULATION, POPULATION],
    // keras#10443 has the first; its fused op gave the sample's, which it corrected once more
    ["keras-standalone", 1.6672224, (SAMPLE * 4) / 2.999],
    ["sample", SAMPLE, SAMPLE],
    ["population", POPULATION, POPULATION],
  ])("%s: %f of a matrix, %f of images", async (convention, matrix, images) => {
    expect(await varianceBy(convention, 2)).toBeCloseTo(matrix, 6);
    expect(await varianceBy(convention, 4)).toBeCloseTo(images, 6);
  });

  test("all have a name and a maker", () => {
    expect(Object.keys(CONVENTIONS)).toHaveLength(8);
    for (const { who } of Object.values(CONVENTIONS)) expect(who).not.toBe("");
  });
});

describe("a container tells who made it", () => {
  const opened = async (name: string) => {
    const path = new URL(name, GOLDENS);
    if (!name.endsWith(".gz")) return openModel(fileURLToPath(path));
    return openModel(new Uint8Array(gunzipSync(readFileSync(path))));
  };

  test.each([
    ["keras-files/functional.keras.gz", "keras3", /^saved by Keras 3\.\d+\.\d+$/],
    ["keras-files/functional.h5.gz", "keras3", /^saved by Keras 3/],
    ["keras-files/keras2.keras.gz", "keras2", /^saved by Keras 2\.\d+/],
    ["keras-files/keras2.h5.gz", "keras2", /^saved by Keras 2\.\d+/],
    ["object-checkpoint/k2-seq-adam.index", "keras2", "objects as Keras 2 lays them"],
    ["object-checkpoint/k3-seq-adam.index", "keras3", "objects as Keras 3 lays them"],
    ["object-checkpoint/plain-1.index", "as-written", "the container does not tell its maker"],
    ["slim/small.ckpt-20.index", "as-written", "the container does not tell its maker"],
  ])("%s: %s", async (name, convention, why) => {
    const model = await opened(name);
    expect(detectConvention(model)).toEqual({
      convention,
      why: typeof why === "string" ? why : expect.stringMatching(why),
    });
    await model.close();
  });

  test.each([
    ["2.2.4", "keras-standalone"],
    ["2.3.1", "keras-standalone"],
    ["2.1.4", "keras-standalone"],
    ["2.1.2", "as-written"], // before keras#9028
    ["1.2.2", "as-written"],
    ["2.2.4-tf", "keras2"],
    ["2.4.0", "keras2"],
    ["2.15.0", "keras2"],
    ["3.15.1", "keras3"],
    ["", "as-written"],
    ["new", "as-written"],
  ])("keras_version %j is %s", async (version, convention) => {
    const model = await opened("keras-files/keras2.h5.gz");
    const kerasAttributes = new Map([["", { keras_version: version }]]);
    expect(detectConvention({ ...model, extras: { kerasAttributes } }).convention).toBe(convention);
    const kerasMetadata = JSON.stringify({ keras_version: version });
    expect(detectConvention({ ...model, extras: { kerasMetadata } }).convention).toBe(convention);
    expect(detectConvention({ ...model, extras: { kerasMetadata: "{" } }).convention).toBe("as-written");
    await model.close();
  });
});
