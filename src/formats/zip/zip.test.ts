import { readFileSync } from "node:fs";
import { Inflate, zipSync } from "fflate";
import { describe, expect, test, vi } from "vitest";
import { bytesSource } from "#platform";
import { memberBytes, memberSource, openZip, writeZip, type Zip, type ZipPart } from "./index.ts";

const GOLDENS = new URL("../../../tests/goldens/arrays/", import.meta.url);
interface Case {
  readonly file: string;
  readonly members: Readonly<Record<string, string>>;
}
const { zips } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly zips: readonly Case[];
};
const golden = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, GOLDENS)));
const open = (bytes: Uint8Array): Promise<Zip> => openZip(bytesSource(bytes, "x.zip"));
const plain = (bytes: Uint8Array): number[] => [...bytes];

async function written(parts: readonly ZipPart[], wide = false): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeZip(parts, { wide })) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

describe.each(zips)("Python's $file", ({ file, members }) => {
  test("has its members", async () => {
    const zip = await open(golden(file));
    expect(zip.members.map((m) => m.name)).toEqual(Object.keys(members));
    for (const member of zip.members) {
      const want = plain(Buffer.from(members[member.name]!, "base64"));
      expect(plain(await memberBytes(zip, member))).toEqual(want);
      const source = memberSource(zip, member);
      expect(plain(await source.read(0, await source.size()))).toEqual(want);
      if (want.length > 3) expect(plain(await source.read(1, 3))).toEqual(want.slice(1, 4));
    }
  });
});

test.each([
  ["stored.zip", false],
  ["wide.zip", true],
])("%s is written byte for byte", async (file, wide) => {
  const { members } = zips.find((z) => z.file === file)!;
  const parts = Object.entries(members).map(([name, data]) => ({
    name,
    data: new Uint8Array(Buffer.from(data, "base64")),
  }));
  expect(Buffer.from(await written(parts, wide)).equals(golden(file))).toBe(true);
});

test("a long member is written while its size is not known, and read back", async () => {
  async function* data(): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < 10; i++) yield new Uint8Array(1 << 20).fill(i);
  }
  const zip = await open(
    await written([
      { name: "long", data: data() },
      { name: "b", data: Uint8Array.of(1) },
    ]),
  );
  expect(zip.members.map((m) => m.bytes)).toEqual([10 << 20, 1]);
  expect((await memberBytes(zip, zip.members[0]!))[9 << 20]).toBe(9);
  expect((await memberSource(zip, zip.members[0]!).read(5 << 20, 1))[0]).toBe(5);
});

test("70,000 members need a zip64 directory", async () => {
  const parts = Array.from({ length: 70_000 }, (_, i) => ({ name: `${i}`, data: new Uint8Array(0) }));
  const zip = await open(await written(parts));
  expect(zip.members.length).toBe(70_000);
  expect(zip.find("69999")).toBeDefined();
});

test.each([
  ["../a", 'the name "../a" is refused: it leaves its folder'],
  ["a/../../b", 'the name "a/../../b" is refused: it leaves its folder'],
  ["/etc/passwd", 'the name "/etc/passwd" is refused: it is absolute'],
  ["C:x", 'the name "C:x" is refused: it is absolute'],
  ["a\\b", 'the name "a\\\\b" is refused: it holds a backslash'],
  ["a\0b", 'the name "a\\u0000b" is refused: it holds a zero byte'],
])("a member called %j is refused", async (name, what) => {
  await expect(open(zipSync({ [name]: [Uint8Array.of(1), { level: 0 }] }))).rejects.toThrow(
    `[INVALID_ARGUMENT] x.zip@${31 + name.length}: ${what}; an honest program writes no such archive; do not unpack it`,
  );
  await expect(written([{ name, data: new Uint8Array(0) }])).rejects.toThrow(
    /a zip archive cannot have a member/,
  );
});

test("a member twice is not written", async () => {
  const part = { name: "a", data: new Uint8Array(0) };
  await expect(written([part, part])).rejects.toThrow(
    'a zip archive cannot have a member "a": another member has it; rename it',
  );
});

/** The golden with bytes changed: `at` counts from the end where negative. */
function changed(
  bytes: Uint8Array,
  ...changes: readonly (readonly [at: number, ...values: number[]])[]
): Uint8Array {
  const out = bytes.slice();
  for (const [at, ...values] of changes) out.set(values, at < 0 ? out.length + at : at);
  return out;
}

describe("broken archives", () => {
  const two = zipSync({
    aa: [Uint8Array.of(1, 2, 3), { level: 0 }],
    bb: [new Uint8Array(1000), { level: 6 }],
  });
  const directory = new DataView(two.buffer).getUint32(two.length - 6, true);
  const second = directory + 48;
  const at = (field: number, entry = directory): number => entry + field;

  test.each([
    [
      "cut short",
      two.slice(0, -1),
      "x.zip: no zip archive: it has no end record; it is cut short or another file; take it from its origin again",
    ],
    [
      "empty",
      new Uint8Array(0),
      "x.zip: no zip archive: it has no end record; it is cut short or another file; take it from its origin again",
    ],
    [
      "something before it",
      Uint8Array.of(0, ...two),
      `x.zip@${two.length - 21}: the directory is said to be 96 bytes at ${directory}, its end record begins at ${two.length - 21}`,
    ],
    [
      "more members than fit",
      changed(two, [-12, 200, 0]),
      `x.zip@${directory}: 200 members need 9200 bytes, the directory has 96`,
    ],
    [
      "fewer members than there are",
      changed(two, [-12, 1, 0]),
      `x.zip@${second}: 48 bytes follow the last member`,
    ],
    [
      "a name beyond the directory",
      changed(two, [at(28, second), 255, 255]),
      `x.zip@${second}: member 1 needs 65581 bytes, 48 are there`,
    ],
    ["encrypted", changed(two, [at(8), 1]), `[UNIMPLEMENTED] x.zip@${directory}: "aa" is encrypted`],
    [
      "another compression",
      changed(two, [at(10), 99]),
      `[UNIMPLEMENTED] x.zip@${directory}: "aa" is compressed by method 99; only 0 (stored) and 8 (deflate) are read`,
    ],
    [
      "another disk",
      changed(two, [at(34), 1]),
      `[UNIMPLEMENTED] x.zip@${directory}: the archive goes over several disks`,
    ],
    [
      "a stored size of its own",
      changed(two, [at(24), 4]),
      `x.zip@${directory}: "aa" claims 4 bytes out of 3 stored ones`,
    ],
    [
      "more than deflate can make",
      changed(two, [at(24, second), 0xff, 0xff, 0xff, 0x7f]),
      /claims 2147483647 bytes out of \d+ deflated ones/,
    ],
    ["one over the other", changed(two, [at(42, second), 0]), `x.zip@0: "aa" reaches to 35, over "bb" at 0`],
    [
      "one over the directory",
      changed(two, [at(20), 200], [at(24), 200], [at(42), 100]),
      /reaches to \d+, over the directory at \d+/,
    ],
    ["a name twice", changed(two, [at(46, second), 0x61, 0x61]), `two members are called "aa"`],
    [
      "wide numbers without their field",
      changed(two, [at(24), 255, 255, 255, 255]),
      `x.zip@${directory}: its zip64 field needs 8 bytes, 0 are there`,
    ],
  ])("%s", async (_, bytes, message) => {
    await expect(open(bytes)).rejects.toThrow(message);
  });

  test.each([
    [
      "a header elsewhere",
      changed(two, [0, 0]),
      "aa",
      `x.zip@0: "aa": its header is not where the directory says`,
    ],
    [
      "another name",
      changed(two, [30, 0x63]),
      "aa",
      `x.zip@0: "aa": its header has another name than the directory`,
    ],
    [
      "another method",
      changed(two, [8, 8]),
      "aa",
      `x.zip@0: "aa": its header has another method than the directory`,
    ],
    [
      "another size",
      changed(two, [18, 4]),
      "aa",
      `x.zip@0: "aa": its header has another size or CRC than the directory`,
    ],
    [
      "another value",
      changed(two, [32, 9]),
      "aa",
      `x.zip@0: "aa" has CRC 0x5bafd1a5, the archive says 0x55bc801d`,
    ],
    [
      "a damaged stream",
      changed(two, [35 + 32, 7]),
      "bb",
      `x.zip@35: "bb" cannot be inflated: invalid block type`,
    ],
  ])("%s is found when the member is read", async (_, bytes, name, message) => {
    const zip = await open(bytes);
    await expect(memberBytes(zip, zip.find(name)!)).rejects.toThrow(message);
  });

  test("a bomb stops where it passes what it claims", async () => {
    const zeros = zipSync({ bomb: [new Uint8Array(64 << 20), { level: 9 }] });
    const start = new DataView(zeros.buffer).getUint32(zeros.length - 6, true);
    const claims = changed(zeros, [start + 24, 0, 1, 0, 0], [22, 0, 1, 0, 0]);
    const zip = await open(claims);
    const push = vi.spyOn(Inflate.prototype, "push");
    await expect(memberBytes(zip, zip.find("bomb")!)).rejects.toThrow(
      'x.zip@0: "bomb" inflates to more than 256 bytes, it claims 256',
    );
    const inflated = push.mock.calls.reduce((sum, [part]) => sum + part.length, 0);
    push.mockRestore();
    expect(zeros.length).toBeGreaterThan(60 << 10);
    expect(inflated).toBe(8 << 10); // 8 MiB of the 64
  });

  test("a member of more than 1 GiB is not inflated into memory", async () => {
    const bytes = zipSync({ big: [new Uint8Array(2 << 20), { level: 9 }] });
    const zip = await open(bytes);
    const big = { ...zip.members[0]!, bytes: 2 ** 31 };
    await expect(memberBytes(zip, big)).rejects.toThrow(
      '[RESOURCE_EXHAUSTED] x.zip: "big" has 2147483648 bytes; at most 1073741824 are read at once; write the archive uncompressed (numpy.savez), so that it can be read in parts',
    );
  });

  test("limits can be set", async () => {
    await expect(openZip(bytesSource(two, "x.zip"), { members: 1 })).rejects.toThrow(
      `[RESOURCE_EXHAUSTED] x.zip@${directory}: 2 members in a directory of 96 bytes; at most 1 in 268435456 are read`,
    );
  });

  test("a window ends where its member does", async () => {
    const zip = await open(two);
    await expect(memberSource(zip, zip.members[0]!).read(2, 2)).rejects.toThrow(
      "x.zip:aa@2: 2 bytes wanted, the member has 3",
    );
  });
});
