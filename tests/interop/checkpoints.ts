/** @file Checkpoints of every dtype: TensorFlow reads ours, we read TensorFlow's, and the files are the same bytes. */

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DTYPES, type DType, fromBytes, type Tensor, tensor } from "varscope";
import { openCheckpoint, saveCheckpoint } from "varscope/checkpoint";
import { describe, expect, test } from "vitest";
import { bits } from "./measures.ts";
import { generator } from "./nets.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

/** What SaveV2 writes: all that TensorFlow can make a constant of. */
const KINDS: readonly DType[] = [
  "float16",
  "bfloat16",
  "float32",
  "float64",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
  "complex64",
  "complex128",
  "qint8",
  "quint8",
  "qint16",
  "quint16",
  "qint32",
];

const SHAPES: Record<string, readonly number[]> = {
  scalar: [],
  matrix: [3, 5],
  empty: [0, 4],
  large: [40, 33],
};

/** Random bits: NaNs with payloads, infinities and denormals are among them. */
function everything(): TensorMap {
  const random = generator(99);
  const out: Record<string, Tensor> = {};
  for (const dtype of KINDS) {
    for (const [name, shape] of Object.entries(SHAPES)) {
      const size = shape.reduce((a, b) => a * b, DTYPES[dtype].bytes);
      const most = dtype === "bool" ? 2 : 256;
      const bytes = Uint8Array.from({ length: size }, () => Math.floor(random() * most));
      out[`${dtype}/${name}`] = fromBytes(dtype, shape, bytes);
    }
  }
  const words = ["", "a", "\u0000zero", "naïve 漢字 😀", "x".repeat(300)];
  out["string/list"] = tensor(words, "string");
  out["string/scalar"] = tensor("word" as never, "string", []);
  return out;
}

const bitsOf = (values: TensorMap): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, t]) => [name, bits(t)]));

export function checkpointSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("checkpoints of all dtypes", () => {
    const tensors = everything();
    const ours = join(folder, "ckpt", "ours");
    const theirs = join(folder, "ckpt", "theirs");
    const dtypes = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, t.dtype]));
    const saved = async (): Promise<void> => {
      await mkdir(join(folder, "ckpt"), { recursive: true });
      await saveCheckpoint(
        ours,
        Object.entries(tensors).map(([name, t]) => ({ name, tensor: t })),
      );
      await tf!.saveTensors(theirs, tensors);
    };

    test("the files are the bytes that SaveV2 writes", async () => {
      await saved();
      for (const part of [".index", ".data-00000-of-00001"]) {
        const [a, b] = await Promise.all([readFile(ours + part), readFile(theirs + part)]);
        expect(a.length).toBe(b.length);
        expect(a.equals(b)).toBe(true);
      }
    });

    test("TensorFlow reads ours bit for bit", async () => {
      await saved();
      expect(bitsOf(await tf!.loadTensors(ours, dtypes))).toEqual(bitsOf(tensors));
    });

    test("we read TensorFlow's bit for bit", async () => {
      await saved();
      const checkpoint = await openCheckpoint(theirs);
      try {
        const read: Record<string, Tensor> = {};
        for (const name of checkpoint.entries.keys()) read[name] = await checkpoint.read(name);
        expect(bitsOf(read)).toEqual(bitsOf(tensors));
      } finally {
        await checkpoint.close();
      }
    });
  });
}
