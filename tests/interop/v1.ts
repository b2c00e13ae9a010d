/** @file V1 checkpoints: TensorFlow restores ours, we read TensorFlow's, and the files are the same bytes. */

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { DTYPES, type DType, fromBytes, type Tensor, tensor } from "varscope";
import { describe, expect, test } from "vitest";
import {
  newCheckpointReader,
  openV1Collection,
  parseSliceSpec,
  writeV1Collection,
} from "../../src/formats/checkpoint/index.ts";
import { boxOfSlice } from "../../src/formats/checkpoint/slice.ts";
import { variableOf } from "../../src/formats/collection/index.ts";
import { bits } from "./measures.ts";
import { generator } from "./nets.ts";
import { fromWire, type TensorFlow, type TensorMap, toWire, type WireTensor } from "./tensorflow.ts";

/** What SaveSlices saves. */
const KINDS: readonly DType[] = [
  "float16",
  "float32",
  "float64",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "bool",
  "complex64",
  "complex128",
  "qint8",
  "quint8",
  "qint32",
];

const SHAPES: Record<string, readonly number[]> = {
  scalar: [],
  matrix: [3, 5],
  empty: [0, 4],
  large: [400, 330],
};

/** Random bits: NaNs with payloads, infinities and denormals are among them. */
function everything(): TensorMap {
  const random = generator(7);
  const out: Record<string, Tensor> = {};
  for (const dtype of KINDS) {
    for (const [name, shape] of Object.entries(SHAPES)) {
      const size = shape.reduce((a, b) => a * b, DTYPES[dtype].bytes);
      const most = dtype === "bool" ? 2 : 256;
      const bytes = Uint8Array.from({ length: size }, () => Math.floor(random() * most));
      out[`${dtype}/${name}`] = fromBytes(dtype, shape, bytes);
    }
  }
  out["string/list"] = tensor(["", "a", "\u0000zero", "naïve 漢字 😀", "x".repeat(300)], "string");
  out["string/scalar"] = tensor("word" as never, "string", []);
  return out;
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, f: (a: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([k, v]) => [k, f(v)]));
const bitsOf = (values: TensorMap): Record<string, string> => mapValues(values, bits);

export function v1Suite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("V1 checkpoints of all dtypes", () => {
    const tensors = everything();
    const dtypes = mapValues(tensors, (t) => t.dtype);
    const variables = Object.entries(tensors).map(([name, t]) => variableOf(name, t));
    const at = (name: string): string => join(folder, "v1", name);
    const load = async (pattern: string, specs: Readonly<Record<string, string>> = {}): Promise<TensorMap> =>
      mapValues(await tf!.ask<Record<string, WireTensor>>("v1_load", { pattern, dtypes, specs }), fromWire);

    test("the file is the bytes that SaveSlices writes", async () => {
      await mkdir(join(folder, "v1"), { recursive: true });
      expect(await writeV1Collection(at("ours"), { variables })).toEqual({ left: [] });
      await tf!.ask("v1_save", { path: at("theirs"), tensors: mapValues(tensors, toWire) });
      const [a, b] = await Promise.all([readFile(at("ours")), readFile(at("theirs"))]);
      expect(a.length).toBe(b.length);
      expect(a.equals(b)).toBe(true);
    });

    test("TensorFlow restores ours bit for bit", async () => {
      expect(bitsOf(await load(at("ours")))).toEqual(bitsOf(tensors));
    });

    test("we read TensorFlow's bit for bit", async () => {
      const c = await openV1Collection(at("theirs"));
      const read: Record<string, Tensor> = {};
      for (const v of c.variables) read[v.name] = await c.read(v.name);
      await c.close();
      expect(bitsOf(read)).toEqual(bitsOf(tensors));
    });

    test("shards and partitions of ours are whole to TensorFlow, and parts across them", async () => {
      const spec = "400 330 7,300:100,201";
      const box = (row: number, column: number) => ({ start: [row, column], size: [200, 165] });
      const parts = [box(0, 0), box(0, 165), box(200, 0), box(200, 165)];
      const cut = variables.map((v) => (v.name.endsWith("/large") ? { ...v, parts } : v));
      await writeV1Collection(at("parts"), { variables: cut }, { shards: 3 });
      expect(bitsOf(await load(at("parts-?????-of-00003")))).toEqual(bitsOf(tensors));
      const names = Object.keys(tensors).filter((name) => name.endsWith("/large"));
      const specs = Object.fromEntries(names.map((name) => [name, spec]));
      const theirs = await load(at("parts-?????-of-00003"), specs);
      const c = await openV1Collection(at("parts"));
      for (const name of names) {
        const ours = await c.readBox(name, boxOfSlice([400, 330], parseSliceSpec(spec).slice));
        expect(bits(ours), name).toBe(bits(theirs[name]!));
      }
      await c.close();
    });

    test("a Saver of V1 restores ours", async () => {
      const weights = {
        "conv/kernel": tensor([1, 2, 3, 4], "float32", [2, 2]),
        "conv/bias": tensor([0.5, 0.25], "float32"),
      };
      await writeV1Collection(at("saver"), {
        variables: Object.entries(weights).map(([name, t]) => variableOf(name, t)),
      });
      const shapes = mapValues(weights, (t) => t.shape);
      expect(await tf!.ask("v1_restore", { path: at("saver"), shapes })).toEqual({
        "conv/kernel": 10,
        "conv/bias": 0.75,
      });
    });

    test("both readers tell the same", async () => {
      const reader = await newCheckpointReader(at("theirs"));
      expect({
        debug: reader.debugString().trimEnd().split("\n").sort(),
        shapes: Object.fromEntries(reader.getVariableToShapeMap()),
        dtypes: Object.fromEntries(reader.getVariableToDtypeMap()),
      }).toEqual(await tf!.ask("v1_reader", { path: at("ours") }));
      await reader.close();
    });
  });
}
