/** @file Files of arrays and graph files that we write, opened by numpy, safetensors and TensorFlow. */

import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Tensor, tensor } from "varscope";
import { describe, expect, test } from "vitest";
import { bytesOf } from "../../src/base/index.ts";
import { openGraphCollection } from "../../src/edit/graph/graph-collection.ts";
import { writeGraphCollection } from "../../src/edit/graph/graph-write.ts";
import { writeNpz, writeSafetensors } from "../../src/formats/arrays/index.ts";
import { contentsOf, variableOf } from "../../src/formats/collection/index.ts";
import { fromWire, type TensorFlow, type WireTensor } from "./tensorflow.ts";

const GOLDENS = new URL("../goldens/graph-values/", import.meta.url);
const DTYPES = [
  "bool",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "float16",
  "bfloat16",
  "float32",
  "float64",
  "complex64",
] as const;

/** A tensor of each dtype, scalars, nothing, and one large enough to be written while its size is not known. */
function everything(): Map<string, Tensor> {
  const all = new Map<string, Tensor>(
    DTYPES.map((dtype) => {
      const values =
        dtype === "complex64"
          ? [
              [0, 1],
              [2, -3],
            ]
          : [0, 1, 1, 0, 1, 0];
      return [`kinds/${dtype}`, tensor(values, dtype, dtype === "complex64" ? [2] : [2, 3])];
    }),
  );
  all.set("scalar", tensor(2.5, "float32", []));
  all.set("none", tensor([], "float32", [0, 3]));
  const large = Float32Array.from({ length: 3 << 20 }, (_, i) => i);
  return all.set("large", { dtype: "float32", shape: [3, 1 << 20], data: large });
}

export function arraySuite(tf: TensorFlow | null, folder: string): void {
  const at = join(folder, "arrays");
  describe.skipIf(tf === null)("files of arrays", () => {
    const tensors = everything();
    const variables = [...tensors].map(([name, t]) => variableOf(name, t));

    const compare = (found: Record<string, WireTensor>): void => {
      expect(Object.keys(found).sort()).toEqual([...tensors.keys()].sort());
      for (const [name, t] of tensors) {
        const theirs = fromWire(found[name]!);
        expect(theirs.dtype, name).toBe(t.dtype);
        expect(theirs.shape, name).toEqual(t.shape);
        expect(Buffer.compare(bytesOf(theirs), bytesOf(t)), name).toBe(0);
      }
    };

    test("numpy opens our .npz", async () => {
      await mkdir(at, { recursive: true });
      const path = join(at, "ours.npz");
      await writeNpz(path, { variables });
      compare(await tf!.ask("load_npz", { path }));
    });

    test("safetensors opens our .safetensors", async (context) => {
      await mkdir(at, { recursive: true });
      const path = join(at, "ours.safetensors");
      await writeSafetensors(path, { variables, extras: { metadata: { b: "2", a: "1" } } });
      const found = await tf!.ask<Record<string, WireTensor> | null>("load_safetensors", { path });
      if (found === null) return context.skip();
      compare(found);
    });

    test("TensorFlow runs a frozen graph with constants of ours", async () => {
      await mkdir(at, { recursive: true });
      const frozen = new URL("frozen.pb", GOLDENS).pathname;
      const { x, y } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
        x: number[];
        y: number[];
      };
      const { collection } = await openGraphCollection(frozen);
      const contents = contentsOf(collection);
      const beta = await collection.read("bn/beta");
      const higher = Float32Array.from(beta.data as Float32Array, (v) => v + 10);
      const changed = contents.variables.map((v) =>
        v.name === "bn/beta" ? variableOf(v.name, { ...beta, data: higher }) : v,
      );
      const path = join(at, "changed.pb");
      await writeGraphCollection(path, { ...contents, variables: changed });
      const [there] = await tf!.run(await tf!.openGraph(path), ["y:0"], {
        "x:0": tensor(x, "float32", [2, 4]),
      });
      for (const [i, value] of [...(there!.data as Float32Array)].entries())
        expect(value).toBeCloseTo(y[i]! + 10, 5);
    });
  });
}
