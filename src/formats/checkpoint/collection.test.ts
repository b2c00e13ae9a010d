import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesSource, heldFiles, type Source } from "#platform";
import { type Box, bytesOf, fromData, type Tensor, tensor } from "../../base/index.ts";
import { contentsOf, cutBox, gatherValues, joinPieces, variableOf } from "../collection/index.ts";
import { openCheckpointCollection, saveCheckpoint, writeV2Collection } from "./index.ts";

const GOLDENS = new URL("../../../tests/goldens/checkpoint/", import.meta.url);
const golden = (file: string): Buffer => fs.readFileSync(new URL(file, GOLDENS));
const prefixOf = (name: string): string => new URL(name, GOLDENS).pathname;
const manifest = JSON.parse(golden("manifest.json").toString()) as {
  readonly checkpoints: Readonly<Record<string, { readonly tensors: readonly { readonly name: string }[] }>>;
};

let folder = "";
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "varscope-collection-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const FILES = [".index", ".data-00000-of-00001"];

/** Files of a checkpoint as dropped into a page; `reads` lists what was read of the data. */
async function dropped(prefix: string, reads: [number, number][] = []) {
  const spy = (source: Source): Source => ({
    ...source,
    read: (offset, length) => {
      reads.push([offset, length]);
      return source.read(offset, length);
    },
    readInto: (offset, target) => {
      reads.push([offset, target.length]);
      return source.readInto(offset, target);
    },
  });
  const held = FILES.map((suffix): [string, Source] => {
    const source = bytesSource(new Uint8Array(fs.readFileSync(prefix + suffix)), `m${suffix}`);
    return [`m${suffix}`, suffix === ".index" ? source : spy(source)];
  });
  return openCheckpointCollection("m", heldFiles(new Map(held)));
}

const streamed = async (pieces: AsyncIterable<Tensor>): Promise<Tensor[]> => {
  const all: Tensor[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
};

describe.each(Object.keys(manifest.checkpoints))("%s", (name) => {
  test("goes through streams to the bytes that TensorFlow wrote", async () => {
    const from = await dropped(prefixOf(name));
    expect(from.format).toBe("checkpoint-v2");
    const order = [...new Set(manifest.checkpoints[name]!.tensors.map((t) => t.name))];
    const { variables } = contentsOf(from);
    let told = 0;
    const report = await writeV2Collection(
      join(folder, name),
      { variables: order.map((n) => variables.find((v) => v.name === n)!) },
      {
        onProgress: (bytes) => {
          told = bytes;
        },
      },
    );
    expect(report).toEqual({ left: [] });
    // Between the parts of this one other tensors stand; its values are compared, and its files by "the same parts one by one".
    if (name !== "parts")
      for (const file of FILES)
        expect(fs.readFileSync(join(folder, name + file)), file).toEqual(golden(name + file));
    const to = await openCheckpointCollection(join(folder, name));
    expect(to.variables).toEqual(from.variables);
    for (const v of to.variables) expect(await to.read(v.name), v.name).toEqual(await from.read(v.name));
    expect(told).toBeGreaterThan(0);
    await to.close();
  });

  test("streams and boxes have the values of the whole", async () => {
    const from = await dropped(prefixOf(name));
    for (const v of from.variables) {
      const whole = await from.read(v.name);
      expect(joinPieces(whole, await streamed(from.stream(v.name))), v.name).toEqual(whole);
      const box = { start: whole.shape.map((n) => n >> 1), size: whole.shape.map((n) => n - (n >> 1)) };
      expect(await from.readBox(v.name, box), v.name).toEqual(cutBox(whole, box));
    }
  });
});

/** Boxes that cut a shape at these places of each axis. */
function cut([rows, columns]: readonly [number, number], at: readonly [number, number]): Box[] {
  const spans = (n: number, c: number): [number, number][] =>
    c === n
      ? [[0, n]]
      : [
          [0, c],
          [c, n - c],
        ];
  return spans(rows, at[0]).flatMap(([r, h]) =>
    spans(columns, at[1]).map(([c, w]) => ({ start: [r, c], size: [h, w] })),
  );
}

const ROWS = 3000;
const COLUMNS = 1000; // 12 MB: three pieces
const large = fromData(
  "float32",
  [ROWS, COLUMNS],
  Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => i),
);

/** As toEqual, which is slow for millions of values. */
function same(found: Tensor, want: Tensor): void {
  expect(found.shape).toEqual(want.shape);
  expect(Buffer.from(bytesOf(found)).equals(bytesOf(want))).toBe(true);
}

describe("12 MB, partitioned by", () => {
  test.each([
    ["rows", [1234, COLUMNS]],
    ["columns", [ROWS, 321]],
    ["both", [1234, 321]],
    ["nothing", [ROWS, COLUMNS]],
  ] as const)("%s: whole, in pieces, by boxes", async (name, at) => {
    const prefix = join(folder, `by-${name}`);
    const parts = cut([ROWS, COLUMNS], at);
    await writeV2Collection(prefix, {
      variables: [variableOf("w", large, parts.length > 1 ? { parts } : {})],
    });
    const opened = await openCheckpointCollection(prefix);
    expect(opened.find("w").parts).toEqual(parts.length > 1 ? parts : undefined);
    same(await opened.read("w"), large);
    const pieces = await streamed(opened.stream("w"));
    expect(pieces.length).toBeGreaterThan(2);
    expect(Math.max(...pieces.map((p) => p.data.length * 4))).toBeLessThanOrEqual(4 << 20);
    same(joinPieces(large, pieces), large);
    for (const box of [
      { start: [1000, 300], size: [500, 40] },
      { start: [0, 0], size: [1, 1000] },
      { start: [2999, 999], size: [1, 1] },
    ])
      same(await opened.readBox("w", box), cutBox(large, box));
    await opened.close();
  });

  test("the same parts one by one give the same files", async () => {
    const parts = cut([ROWS, COLUMNS], [1234, 321]);
    const spec = ({ start, size }: Box): string =>
      `${ROWS} ${COLUMNS} ${start.map((s, axis) => `${s},${size[axis]}`).join(":")}`;
    await saveCheckpoint(
      join(folder, "one-by-one"),
      parts.map((box) => ({ name: "w", tensor: cutBox(large, box), slice: spec(box) })),
    );
    for (const file of FILES)
      expect(
        fs
          .readFileSync(join(folder, `one-by-one${file}`))
          .equals(fs.readFileSync(join(folder, `by-both${file}`))),
      ).toBe(true);
  });
});

test("a box reads its own bytes, and no others", async () => {
  const prefix = join(folder, "by-nothing");
  const reads: [number, number][] = [];
  const opened = await dropped(prefix, reads);
  expect(reads).toEqual([]);
  await opened.readBox("w", { start: [5, 0], size: [2, COLUMNS] });
  await opened.readBox("w", { start: [7, 10], size: [1, 3] });
  expect(reads).toEqual([
    [5 * COLUMNS * 4, 2 * COLUMNS * 4],
    [(7 * COLUMNS + 10) * 4, 12],
  ]);
});

test.each([0, 1])(
  "a stream whose checksum is wrong ends with DATA_LOSS, partitioned %i",
  async (isPartitioned) => {
    const prefix = join(folder, `flipped${isPartitioned}`);
    const parts = cut([ROWS, COLUMNS], [1234, COLUMNS]);
    await writeV2Collection(prefix, { variables: [variableOf("w", large, isPartitioned ? { parts } : {})] });
    const file = fs.openSync(`${prefix}${FILES[1]}`, "r+");
    fs.writeSync(file, Uint8Array.of(0xff), 0, 1, 7_000_001);
    fs.closeSync(file);
    const opened = await openCheckpointCollection(prefix);
    await expect(streamed(opened.stream("w"))).rejects.toThrow(/^\[DATA_LOSS\] .*Checksum does not match/);
    await opened.close();
  },
);

test("values spread over shards as they stream", async () => {
  const prefix = join(folder, "sharded");
  const variables = Array.from({ length: 7 }, (_, i) => variableOf(`v${i}`, tensor([i, i, i])));
  await writeV2Collection(prefix, { variables }, { shards: 3 });
  expect(fs.readdirSync(folder).filter((f) => f.startsWith("sharded.data"))).toHaveLength(3);
  const opened = await openCheckpointCollection(prefix);
  for (const v of variables) expect(await opened.read(v.name)).toEqual(await gatherValues(v));
  await opened.close();
});

test("what cannot be written as asked is told or refused", async () => {
  const prefix = join(folder, "odd");
  const halves = [{ start: [0], size: [1] }];
  const { left } = await writeV2Collection(prefix, {
    variables: [
      variableOf("w", tensor([1, 2]), { parts: halves }),
      { name: "r", dtype: "resource", shape: [], values: async function* () {} },
    ],
  });
  expect(left).toEqual([
    { what: "partition of w", why: "its parts do not make up its shape" },
    { what: "r", why: "a resource has no values that a file could hold" },
  ]);
  const short = { ...variableOf("w", tensor([1, 2])), shape: [3] };
  await expect(writeV2Collection(prefix, { variables: [short] })).rejects.toThrow(
    "[INVALID_ARGUMENT] w: it gives fewer values",
  );
});
