import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { bytesSource } from "#platform";
import { bytesOf, type DType, fromBytes, fromData, type Tensor, tensor } from "../../base/index.ts";
import { contentsOf, joinPieces, type VariableCollection, variableOf } from "../collection/index.ts";
import { openNpz, openSafetensors, writeNpz, writeSafetensors } from "./index.ts";

const GOLDENS = new URL("../../../tests/goldens/arrays/", import.meta.url);
interface Truth {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly values?: string;
  readonly strings?: readonly string[];
}
interface Case {
  readonly file: string;
  readonly format: "npz" | "safetensors";
  readonly tensors: Readonly<Record<string, Truth>>;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly same?: boolean;
}
const { cases } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly cases: readonly Case[];
};
const golden = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, GOLDENS)));
const unbase = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "base64"));
const tensorOf = ({ dtype, shape, values, strings }: Truth): Tensor =>
  strings === undefined
    ? fromBytes(dtype, shape, unbase(values!))
    : fromData(dtype, shape, strings.map(unbase));
const openers = { npz: openNpz, safetensors: openSafetensors };
const open = (file: string): Promise<VariableCollection> =>
  openers[file.endsWith(".npz") ? "npz" : "safetensors"](bytesSource(golden(file), file), file);
const folder = mkdtempSync(join(tmpdir(), "varscope-arrays-"));
const bare = (key: string): string => key.replace(/:0$/, "");

async function streamed(from: VariableCollection, name: string): Promise<Tensor> {
  const pieces: Tensor[] = [];
  for await (const piece of from.stream(name)) pieces.push(piece);
  return joinPieces({ ...from.find(name), shape: from.find(name).shape as number[] }, pieces);
}

describe.each(cases)("$file", ({ file, format, tensors, metadata, same }) => {
  const write = format === "npz" ? writeNpz : writeSafetensors;

  test("is read as its library reads it: whole, streamed, by boxes", async () => {
    const opened = await open(file);
    const known = opened.variables.filter((v) => v.dtype !== "variant");
    expect(known.map((v) => v.key).sort()).toEqual(Object.keys(tensors).sort());
    for (const [key, truth] of Object.entries(tensors)) {
      const want = tensorOf(truth);
      expect(opened.find(key)).toMatchObject({ name: bare(key), dtype: truth.dtype, shape: truth.shape });
      expect(await opened.read(key), key).toEqual(want);
      expect(await streamed(opened, key), key).toEqual(want);
      if (truth.shape.length !== 2 || truth.shape.includes(0)) continue;
      const row = await opened.readBox(key, { start: [1, 0], size: [1, truth.shape[1]!] });
      if (truth.dtype !== "string")
        expect(bytesOf(row)).toEqual(
          bytesOf(want).slice(
            bytesOf(want).length / truth.shape[0]!,
            2 * (bytesOf(want).length / truth.shape[0]!),
          ),
        );
    }
    expect(opened.extras.metadata).toEqual(metadata);
  });

  test.runIf(same)("is written byte for byte", async () => {
    const path = join(folder, file);
    const variables = Object.entries(tensors).map(([name, truth]) => variableOf(name, tensorOf(truth)));
    const report = await write(path, {
      variables,
      ...(metadata === undefined ? {} : { extras: { metadata } }),
    });
    expect(report.left).toEqual([]);
    expect(Buffer.from(readFileSync(path)).equals(golden(file))).toBe(true);
  });

  test("goes there and back with the same values", async () => {
    const opened = await open(file);
    const contents = contentsOf(opened);
    const path = join(folder, `again-${file}`);
    const told: number[] = [];
    await write(path, contents, { onProgress: (bytes) => told.push(bytes) });
    const again = await openers[format](bytesSource(new Uint8Array(readFileSync(path)), path), path);
    for (const { name, dtype } of opened.variables.filter((v) => v.dtype !== "variant")) {
      expect(again.find(name).dtype).toBe(dtype);
      expect(await again.read(name)).toEqual(await opened.read(name));
    }
    expect(told).toEqual([...told].sort((a, b) => a - b));
  });
});

test("PyTorch's names have roles", async () => {
  for (const file of ["torch.npz", "torch.safetensors"]) {
    const opened = await open(file);
    const roles = Object.fromEntries(opened.variables.map((v) => [v.name, `${v.role} of ${v.layer}`]));
    expect(roles).toEqual({
      "conv1.bias": "bias of conv1",
      "conv1.weight": "weight of conv1",
      "layer1.0.bn1.bias": "beta of layer1.0.bn1",
      "layer1.0.bn1.num_batches_tracked": "step of layer1.0.bn1",
      "layer1.0.bn1.running_mean": "moving-mean of layer1.0.bn1",
      "layer1.0.bn1.running_var": "moving-variance of layer1.0.bn1",
      "layer1.0.bn1.weight": "gamma of layer1.0.bn1",
      "ln.weight": "weight of ln",
    });
  }
});

test("pickled objects, dates and structures are listed, and refused when read; the others are read", async () => {
  const opened = await open("objects.npz");
  expect(opened.variables.map(({ name, dtype, shape, bytes }) => [name, dtype, shape, bytes])).toEqual([
    ["fine", "float32", [2, 3], 24],
    ["pairs", "variant", [2], 0],
    ["pickled", "variant", [2], 0],
    ["times", "variant", [1], 0],
  ]);
  expect((await opened.read("fine")).data).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5));
  await expect(opened.read("pickled")).rejects.toThrow(
    "[UNIMPLEMENTED] objects.npz:pickled.npy: the array holds pickled Python objects (dtype '|O'), which can run code; save it from numpy as an array of numbers or of bytes (S)",
  );
  await expect(opened.read("times")).rejects.toThrow(
    "[UNIMPLEMENTED] objects.npz:times.npy: dtype '<M8[D]' has no counterpart here; save it from numpy as an array of numbers, or say its dtype",
  );
  await expect(opened.read("pairs")).rejects.toThrow(
    "objects.npz:pairs.npy: dtype 'a structure' has no counterpart here",
  );
  const report = await writeNpz(join(folder, "objects.npz"), contentsOf(opened));
  expect(report.left.map((l) => `${l.what}: ${l.why}`)).toEqual(
    ["pairs", "pickled", "times"].map((n) => `${n}: variant has no plain values`),
  );
});

test("what a format lacks is reported", async () => {
  const variables = [
    variableOf("words", tensor(["a", "b\0"])),
    variableOf("eight", { dtype: "float8_e4m3fn", shape: [1], data: Uint8Array.of(1) }),
    variableOf("four", { dtype: "int4", shape: [2], data: Int8Array.of(15, 1) }),
    variableOf("x", tensor([1, 2])),
  ];
  expect((await writeNpz(join(folder, "left.npz"), { variables })).left).toEqual([
    { what: "words", why: "string 1 ends in a zero byte, which .npy would lose" },
    { what: "eight", why: "an .npz does not say which float8 it holds (here float8_e4m3fn); cast it" },
    { what: "dtype int4 of four", why: "numpy has int8" },
  ]);
  expect((await writeSafetensors(join(folder, "left.safetensors"), { variables })).left).toEqual([
    { what: "words", why: "safetensors have no string" },
    { what: "four", why: "safetensors have no int4" },
  ]);
  const npz = await openNpz(bytesSource(new Uint8Array(readFileSync(join(folder, "left.npz")))), "left.npz");
  expect((await npz.read("four")).data).toEqual(Int8Array.of(-1, 1));
});

test("a wrong count of values is not written", async () => {
  const v = { ...variableOf("x", tensor([1, 2])), shape: [3] };
  await expect(writeSafetensors(join(folder, "no.safetensors"), { variables: [v] })).rejects.toThrow(
    "[INTERNAL] x: float32 [3] takes 12 bytes, its reader gave 8",
  );
});
