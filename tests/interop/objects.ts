/** @file Object-based checkpoints and SavedModels that we write: TensorFlow, Keras 2 and Keras 3 restore them whole, with equal outputs. */

import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Tensor } from "varscope";
import { describe, expect, test } from "vitest";
import {
  openCheckpointCollection,
  toKeras2Layout,
  toKeras3Layout,
  writeObjectCollection,
} from "../../src/formats/checkpoint/index.ts";
import { variableOf } from "../../src/formats/collection/index.ts";
import { openSavedModel, writeSavedModelVariables } from "../../src/formats/saved-model/index.ts";
import type { TensorFlow } from "./tensorflow.ts";

const GOLDENS = join(import.meta.dirname, "..", "goldens");
interface Case {
  readonly name: string;
  readonly kind?: string;
  readonly outputs?: readonly (readonly number[])[];
}
const { cases } = JSON.parse(readFileSync(join(GOLDENS, "object-checkpoint", "manifest.json"), "utf8")) as {
  readonly cases: readonly Case[];
};
const caseOf = (name: string): Required<Case> => cases.find((c) => c.name === name) as Required<Case>;

interface Outputs {
  readonly y: readonly (readonly number[])[];
  readonly step: number;
  readonly slots: readonly number[];
}

/** Checkpoint, its optimizer in Keras 2's and Keras 3's words, its options. */
const MODELS: readonly (readonly [string, readonly [string, string], object])[] = [
  ["k2-seq-adam", ["legacy.adam", "Adam"], {}],
  ["k2-seq-later", ["adam", "Adam"], {}],
  ["k2-conv-sgd", ["legacy.gradient_descent", "SGD"], { momentum: 0.9 }],
  ["k2-nest-rms", ["legacy.rmsprop", "RMSprop"], { momentum: 0.9, centered: true }],
];

export function objectSuite(tf: TensorFlow | null, folder: string): void {
  const at = join(folder, "objects");
  const ask = <R>(action: string, args: object): Promise<R> => tf!.ask<R>("objects", { action, ...args });
  const restored = (path: string, name: string, keras: string): Promise<Outputs | null> => {
    const [, optimizer, options] = MODELS.find(([model]) => model === name)!;
    return ask("outputs", { path, package: keras, kind: caseOf(name).kind, optimizer, options });
  };
  const golden = (name: string) => openCheckpointCollection(join(GOLDENS, "object-checkpoint", name));

  describe.skipIf(tf === null)("object-based checkpoints", () => {
    test.each(MODELS)("%s: Keras 3 restores it whole and predicts what Keras 2 did", async (name) => {
      await mkdir(at, { recursive: true });
      const from = await golden(name);
      const path = join(at, `${name}-3`);
      await writeObjectCollection(path, toKeras3Layout(from).contents, { sync: false });
      const found = (await restored(path, name, "keras"))!;
      found.y.flat().forEach((v, i) => {
        expect(Math.abs(v - caseOf(name).outputs.flat()[i]!)).toBeLessThan(1e-5);
      });
      expect(found.step).toBe(4);
      const ours = from.variables.filter((v) => v.slot !== undefined);
      const sums = await Promise.all(
        ours
          .map(async (v) => (await from.read(v.name)).data as Float32Array)
          .map(async (d) => (await d).reduce((s, x) => s + Math.abs(x), 0)),
      );
      for (const sum of sums)
        expect(found.slots.some((other) => Math.abs(other - sum) <= 1e-5 * Math.max(1, sum))).toBe(true);
      await from.close();
    });

    test.for(["k2-seq-later"])("%s, there and back: Keras 2 restores it whole", async (name, context) => {
      const from = await golden(name);
      const [there, back] = [join(at, `${name}-there`), join(at, `${name}-back`)];
      await writeObjectCollection(there, toKeras3Layout(from).contents, { sync: false });
      const opened = await openCheckpointCollection(there);
      await writeObjectCollection(back, toKeras2Layout(opened, { optimizer: "later" }).contents, {
        sync: false,
      });
      const found = await restored(back, name, "tf_keras");
      await Promise.all([from.close(), opened.close()]);
      if (found === null) return context.skip("no tf_keras");
      found.y.flat().forEach((v, i) => {
        expect(Math.abs(v - caseOf(name).outputs.flat()[i]!)).toBeLessThan(1e-5);
      });
      expect(found.step).toBe(4);
    });

    test("names alone make a tree that tf.train.Checkpoint restores", async () => {
      const tensor = (...values: number[]): Tensor => ({
        dtype: "float32",
        shape: [2],
        data: new Float32Array(values),
      });
      const variables = [
        variableOf("dense/kernel", tensor(1, 2)),
        variableOf("dense/bias", tensor(3, 4)),
        variableOf("a.b", tensor(5, 6)),
      ];
      await writeObjectCollection(join(at, "tree"), { variables }, { sync: false });
      const found = await ask("tree", { path: join(at, "tree") });
      expect(found).toEqual({ kernel: [1, 2], bias: [3, 4], "a.b": [5, 6], saves: 1 });
    });

    test("SavedModels with other values are served with them", async () => {
      const scale: Tensor = { dtype: "float32", shape: [1, 2], data: new Float32Array([3, 4]) };
      const at2 = join(at, "tf2");
      await writeSavedModelVariables(join(GOLDENS, "saved-model", "tf2"), at2, {
        variables: [variableOf("scale", scale)],
      });
      expect(await ask("served", { path: at2, x: [[2]] })).toEqual([[6, 8]]);
      const at3 = join(at, "keras3");
      const zeros = (n: string, shape: number[]) =>
        variableOf(n, { dtype: "float32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
      const bias: Tensor = { dtype: "float32", shape: [3], data: new Float32Array([1, 2, 3]) };
      await writeSavedModelVariables(join(GOLDENS, "saved-model", "keras3"), at3, {
        variables: [zeros("net/bn/gamma", [3]), variableOf("net/bn/beta", bias)],
      });
      expect(await ask("served", { path: at3, x: [[1, 2, 3, 4]] })).toEqual([[1, 2, 3]]);
      const model = await openSavedModel(at3);
      expect(model.variables.length).toBe(6);
      await model.close();
    });
  });
}
