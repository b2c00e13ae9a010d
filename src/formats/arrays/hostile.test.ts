/** Files of arrays made to do harm: each is refused with its reason, before memory is taken. */
import { readFileSync } from "node:fs";
import { deflateSync, zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { bytesSource, crc32, type Source } from "#platform";
import { openNpz, openSafetensors } from "./index.ts";

const golden = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../tests/goldens/arrays/${file}`, import.meta.url)));
const text = (s: string): Uint8Array => new TextEncoder().encode(s);

/** An .npy of version 1 with this header and values. */
function npy(header: string, values = new Uint8Array(0)): Uint8Array {
  const padded = text(`${header}\n`);
  return Uint8Array.from([
    0x93,
    ...text("NUMPY"),
    1,
    0,
    padded.length & 255,
    padded.length >> 8,
    ...padded,
    ...values,
  ]);
}
const header = (descr: string, shape: string): string =>
  `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
const npz = (members: Record<string, Uint8Array>, level: 0 | 9 = 0) =>
  openNpz(
    bytesSource(
      zipSync(Object.fromEntries(Object.entries(members).map(([k, v]) => [k, [v, { level }]]))),
      "x.npz",
    ),
    "x.npz",
  );

describe("npz", () => {
  test.each([
    [
      "more values than the member has",
      header("<f4", "(1000000,)"),
      "[DATA_LOSS] x.npz:a.npy: <f4 [1000000] takes 4000000 bytes, the member has 0",
    ],
    [
      "fewer values than the member has",
      header("<f4", "(0,)"),
      "[DATA_LOSS] x.npz:a.npy: <f4 [0] takes 0 bytes, the member has 4",
    ],
    [
      "a shape beyond counting",
      header("<f4", "(9007199254740993, 2)"),
      /^\[DATA_LOSS\] x.npz:a.npy@10: shape .* is beyond 64 dimensions or 2\^53 values/,
    ],
    [
      "a product beyond counting",
      header("<f4", "(4294967296, 4294967296)"),
      "[DATA_LOSS] x.npz:a.npy@10: shape (4294967296, 4294967296) is beyond 64 dimensions or 2^53 values",
    ],
    ["65 dimensions", header("<f4", `(${"1,".repeat(65)})`), "is beyond 64 dimensions"],
    [
      "no shape",
      "{'descr': '<f4', 'fortran_order': False, }",
      /the header has no descr, fortran_order and shape/,
    ],
    ["no array at all", "", "the header has no descr, fortran_order and shape"],
  ])("%s", async (claim, head, message) => {
    const values = claim.startsWith("fewer") ? new Uint8Array(4) : new Uint8Array(0);
    await expect(npz({ "a.npy": npy(head, values) })).rejects.toThrow(message);
  });

  test("a member that is no .npy", async () => {
    await expect(npz({ "a.npy": text("hello") })).rejects.toThrow(
      "[DATA_LOSS] x.npz:a.npy@0: not an .npy file: it does not begin with \\x93NUMPY",
    );
  });

  test("a header of many bytes", async () => {
    await expect(npz({ "a.npy": npy(" ".repeat(20_000)) })).rejects.toThrow(
      "[DATA_LOSS] x.npz:a.npy@8: a header of 20001 bytes; at most 10000 are read",
    );
  });

  test("billions of empty strings", async () => {
    const opened = await npz({ "a.npy": npy(header("|S0", "(4294967296,)")) });
    await expect(opened.read("a")).rejects.toThrow("[DATA_LOSS] npy: 4294967296 empty strings in 0 bytes");
  });

  test("pickled objects are not unpickled: their bytes are not even read", async () => {
    const bytes = golden("objects.npz");
    const pickle = bytes.findIndex(
      (_, i) =>
        String.fromCharCode(...bytes.subarray(i, i + 4)) === "\x80\x04\x95\x1c" ||
        (bytes[i] === 0x80 && bytes[i + 1]! <= 5 && bytes[i + 2] === 0x95),
    );
    expect(pickle).toBeGreaterThan(0);
    const reads: number[] = [];
    const inner = bytesSource(bytes, "objects.npz");
    const source: Source = {
      ...inner,
      read: (at, n) => {
        reads.push(at);
        return inner.read(at, n);
      },
      readInto: (at, to) => {
        reads.push(at);
        return inner.readInto(at, to);
      },
    };
    const opened = await openNpz(source, "objects.npz");
    reads.length = 0;
    await expect(opened.read("pickled")).rejects.toThrow("which can run code");
    expect(reads).toEqual([]);
  });

  test("a value that was changed is found by its CRC: whole and streamed", async () => {
    const bytes = golden("plain.npz");
    const opened = await openNpz(bytesSource(bytes, "p.npz"), "p.npz");
    const values = new Uint8Array(300).map((_, i) => i);
    const at = Buffer.from(bytes).indexOf(Buffer.from(values.subarray(0, 256)));
    const broken = bytes.slice();
    broken[at + 7] = 8;
    const damaged = await openNpz(bytesSource(broken, "p.npz"), "p.npz");
    await expect(damaged.read("a/b/c")).rejects.toThrow(
      /^\[DATA_LOSS\] p.npz:a\/b\/c.npy: it has CRC 0x[0-9a-f]{8}, the archive says 0x[0-9a-f]{8}$/,
    );
    await expect(async () => {
      for await (const _ of damaged.stream("a/b/c"));
    }).rejects.toThrow("it has CRC");
    expect((await damaged.read("scalar")).data).toEqual((await opened.read("scalar")).data);
  });

  test("a compressed array that inflates to more than it claims", async () => {
    const zeros = npy(header("<f4", "(2097152,)"), new Uint8Array(8 << 20));
    const small = npy(header("<f4", "(16,)"), new Uint8Array(64));
    const deflated = deflateSync(zeros, { level: 9 });
    const archive = zipOf("a.npy", deflated, small.length, crc32(small));
    await expect(openNpz(bytesSource(archive, "x.npz"), "x.npz")).rejects.toThrow(
      '[DATA_LOSS] x.npz@0: "a.npy" inflates to more than 133 bytes, it claims 133',
    );
  });
});

/** An archive of one deflated member with these claims. */
function zipOf(name: string, deflated: Uint8Array, bytes: number, crc: number): Uint8Array {
  const archive = zipSync({ [name]: [new Uint8Array(0), { level: 9 }] });
  const view = new DataView(archive.buffer);
  const directory = view.getUint32(archive.length - 6, true);
  const start = 30 + name.length;
  const out = new Uint8Array(start + deflated.length + archive.length - directory);
  out.set(archive.subarray(0, start));
  out.set(deflated, start);
  out.set(archive.subarray(directory), start + deflated.length);
  const to = new DataView(out.buffer);
  for (const at of [0, start + deflated.length + 2]) {
    to.setUint16(at + 8, 8, true);
    to.setUint32(at + 14, crc, true);
    to.setUint32(at + 18, deflated.length, true);
    to.setUint32(at + 22, bytes, true);
  }
  to.setUint32(out.length - 6, start + deflated.length, true);
  return out;
}

/** A safetensors file of this JSON and so many bytes of values. */
function tensors(json: string, values = 0, length?: bigint): Uint8Array {
  const bytes = text(json);
  const out = new Uint8Array(8 + bytes.length + values);
  new DataView(out.buffer).setBigUint64(0, length ?? BigInt(bytes.length), true);
  out.set(bytes, 8);
  return out;
}
const one = (fields: string, values = 4): Uint8Array => tensors(`{"a":{${fields}}}`, values);
const fine = '"dtype":"F32","shape":[1],"data_offsets":[0,4]';

describe("safetensors", () => {
  const again = "it is cut short or another file; take it from its origin again";
  test.each([
    [
      "nothing",
      new Uint8Array(3),
      `[DATA_LOSS] x@0: the header's length needs 8 bytes, the file has 3; ${again}`,
    ],
    [
      "a header beyond the file",
      tensors("{}", 0, 100n),
      `[DATA_LOSS] x@0: the header needs 108 bytes, the file has 10; ${again}`,
    ],
    [
      "a header beyond all files",
      tensors("{}", 0, 2n ** 63n),
      `[DATA_LOSS] x@0: a header of 9223372036854776000 bytes; at most 100000000 are read; ${again}`,
    ],
    [
      "a header that is no object",
      tensors("[]"),
      `[DATA_LOSS] x@8: the header does not begin with {; ${again}`,
    ],
    [
      "no UTF-8",
      Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff),
      `[DATA_LOSS] x@8: the header is not UTF-8; ${again}`,
    ],
    [
      "a key twice",
      tensors(`{"a":{${fine}},"a":{${fine}}}`, 4),
      '[DATA_LOSS] x, character 57 of its JSON: no valid JSON: the key "a" stands twice',
    ],
    [
      "a field twice",
      one(`${fine},"dtype":"F32"`),
      '[DATA_LOSS] x, character 60 of its JSON: no valid JSON: the key "dtype" stands twice',
    ],
    [
      "deep nesting",
      tensors(`{"a":${"[".repeat(100_000)}`),
      "[DATA_LOSS] x, character 12 of its JSON: no valid JSON: it is nested too deep",
    ],
    [
      "JSON that ends",
      tensors('{"a":'),
      "[DATA_LOSS] x, character 5 of its JSON: no valid JSON: it ends too early",
    ],
    [
      "JSON that goes on",
      tensors("{} x"),
      "[DATA_LOSS] x, character 3 of its JSON: no valid JSON: more follows its end",
    ],
    [
      "an unknown dtype",
      one('"dtype":"F6_E2M3","shape":[1],"data_offsets":[0,4]'),
      /^\[UNIMPLEMENTED\] x:a: dtype "F6_E2M3" has no counterpart here; known are BOOL, U8, /,
    ],
    [
      "a dtype of Object's",
      one('"dtype":"constructor","shape":[1],"data_offsets":[0,4]'),
      '[UNIMPLEMENTED] x:a: dtype "constructor" has no counterpart here',
    ],
    [
      "no dtype",
      one('"shape":[1],"data_offsets":[0,4]'),
      "[DATA_LOSS] x:a: its entry has no dtype, shape and data_offsets as they must be",
    ],
    [
      "a negative dimension",
      one('"dtype":"F32","shape":[-1],"data_offsets":[0,4]'),
      "x:a: its entry has no dtype, shape and data_offsets as they must be",
    ],
    [
      "half a dimension",
      one('"dtype":"F32","shape":[0.5],"data_offsets":[0,4]'),
      "x:a: its entry has no dtype, shape",
    ],
    [
      "a product beyond counting",
      one('"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]'),
      "[DATA_LOSS] x:a: shape [4294967296,4294967296] has more than 2^53 elements",
    ],
    [
      "offsets that disagree with the shape",
      one('"dtype":"F32","shape":[2],"data_offsets":[0,4]'),
      "[DATA_LOSS] x:a: F32 [2] takes 8 bytes, data_offsets give it 4",
    ],
    [
      "offsets the wrong way round",
      one('"dtype":"F32","shape":[1],"data_offsets":[4,0]'),
      "[DATA_LOSS] x:a: F32 [1] takes 4 bytes, data_offsets give it -4",
    ],
    [
      "three offsets",
      one('"dtype":"F32","shape":[1],"data_offsets":[0,4,8]'),
      "its entry has no dtype, shape and data_offsets",
    ],
    [
      "a hole before the first",
      one('"dtype":"F32","shape":[1],"data_offsets":[4,8]', 8),
      "[DATA_LOSS] x:a: its values begin at 4 and leave a hole before them, which end at 0",
    ],
    [
      "values over others",
      tensors(`{"a":{${fine}},"b":{${fine}}}`, 4),
      "[DATA_LOSS] x:b: its values begin at 0 and overlap those before them, which end at 4",
    ],
    [
      "values beyond the file",
      one(fine, 3),
      `[DATA_LOSS] x: the values take 4 bytes, the file has 3 after its header; ${again}`,
    ],
    [
      "bytes that nothing owns",
      one(fine, 9),
      "[DATA_LOSS] x: the values take 4 bytes, the file has 9 after its header",
    ],
    [
      "metadata of numbers",
      tensors('{"__metadata__":{"a":1}}'),
      "[DATA_LOSS] x: __metadata__ is no object of strings",
    ],
  ])("%s", async (_, bytes, message) => {
    await expect(openSafetensors(bytesSource(bytes, "x"), "x")).rejects.toThrow(message);
  });

  test("spaces after the header and fields that are not known are fine", async () => {
    const opened = await openSafetensors(bytesSource(tensors(`{"a":{${fine},"note":[{}]}}   `, 4), "x"), "x");
    expect((await opened.read("a")).data).toEqual(Float32Array.of(0));
  });
});
