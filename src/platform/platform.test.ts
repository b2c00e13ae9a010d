import { spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { crc32c as portable } from "../base/index.ts";
import * as node from "./node.ts";
import { gathered, joinParts } from "./stage.ts";
import * as web from "./web.ts";

let folder = "";
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "varscope-platform-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

const pattern = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

test("Node and the browser have the same names", () => {
  expect(Object.keys(web).sort()).toEqual(Object.keys(node).sort());
});

test("the processor's CRC is the portable one", () => {
  const bytes = pattern(10_007);
  expect(node.crc32c(bytes)).toBe(portable(bytes));
  expect(node.crc32c(bytes.subarray(100), node.crc32c(bytes.subarray(0, 100)))).toBe(portable(bytes));
});

describe("writing", () => {
  test("small and large pieces end up in order", async () => {
    const bytes = pattern(20 << 20);
    const cuts = [0, 1, 1, 60_000, 200_000, 200_001, 9 << 20, (9 << 20) + 5, bytes.length];
    const chunks = cuts.slice(1).map((end, i) => bytes.subarray(cuts[i], end));
    await node.writeFileAtomic(join(folder, "pieces"), chunks);
    expect(Buffer.compare(fs.readFileSync(join(folder, "pieces")), bytes)).toBe(0);
  });

  test("a piece that is reused after the next is asked for was read before", async () => {
    const many = Array.from({ length: 5000 }, (_, i) => Uint8Array.of(i & 0xff, i >> 8));
    const parts: number[] = [];
    for await (const part of gathered(many, 1 << 20)) parts.push(...part);
    expect(parts).toEqual(many.flatMap((chunk) => [...chunk]));
  });

  test("replaces in one step, and leaves nothing on failure or abort", async () => {
    const file = join(folder, "kept");
    await node.writeFileAtomic(file, [Uint8Array.of(1)]);
    const before = fs.readdirSync(folder);
    const failing = function* () {
      yield pattern(1 << 20);
      throw new Error("source broke");
    };
    await expect(node.writeFileAtomic(file, failing())).rejects.toThrow("source broke");
    const abort = new AbortController();
    const aborting = function* () {
      yield pattern(1 << 20);
      abort.abort();
      yield pattern(1 << 20);
    };
    await expect(node.writeFileAtomic(file, aborting(), { signal: abort.signal })).rejects.toThrow(
      "[CANCELLED]",
    );
    expect(fs.readdirSync(folder)).toEqual(before);
    expect([...fs.readFileSync(file)]).toEqual([1]);
    await node.writeFileAtomic(file, [Uint8Array.of(2, 3)]);
    expect([...fs.readFileSync(file)]).toEqual([2, 3]);
  });

  test("what killed writers left goes with the next write into its folder; what the living, other machines and other programs have stays", async () => {
    const place = fs.mkdtempSync(join(folder, "left-"));
    const own = await node.temporaryBeside(join(place, "a"));
    const of = (name: string, pid: number | undefined, machine?: string): string => {
      const [, where] = /tmp-(\w{8})-/.exec(own)!;
      return join(place, `${name}.tmp-${machine ?? where}-${pid}-0123abcd`);
    };
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    try {
      const stay = [
        own,
        of("b", other.pid),
        of("c", dead, "00000000"),
        join(place, "d.tmp-0123456789ab"),
        `${of("e", dead)}.txt`,
      ];
      const go = [of("a", dead), of("f", dead), of("g", dead, "11111111")];
      for (const file of [...stay, ...go]) fs.writeFileSync(file, "");
      const twoDaysAgo = Date.now() / 1000 - 2 * 24 * 60 * 60;
      for (const file of [own, of("b", other.pid), of("g", dead, "11111111")])
        fs.utimesSync(file, twoDaysAgo, twoDaysAgo);
      const model = of("model", dead);
      fs.mkdirSync(join(model, "variables"), { recursive: true });
      await node.writeFileAtomic(join(place, "new"), [Uint8Array.of(1)]);
      const left = fs.readdirSync(place).map((name) => join(place, name));
      expect(left.sort()).toEqual([...stay, join(place, "new")].sort());
    } finally {
      other.kill();
    }
  });

  test("a missing folder is named", async () => {
    const file = join(folder, "none", "f");
    await expect(node.writeFileAtomic(file, [])).rejects.toThrow(
      `[NOT_FOUND] ${file}: no such file or folder`,
    );
  });
});

/** What every source must do, over the same 300 bytes. */
function sourceTests(open: () => web.Source): void {
  test("gives its size, any range, and refuses a range beyond the end", async () => {
    const source = open();
    const bytes = pattern(300);
    expect(await source.size()).toBe(300);
    expect(Buffer.compare(await source.read(17, 100), bytes.subarray(17, 117))).toBe(0);
    expect((await source.read(300, 0)).length).toBe(0);
    const target = new Uint8Array(50);
    await source.readInto(250, target);
    expect(Buffer.compare(target, bytes.subarray(250))).toBe(0);
    await expect(source.read(299, 2)).rejects.toThrow(
      `[DATA_LOSS] ${source.name}@299: 2 bytes wanted, the file has 300`,
    );
    await expect(source.read(-1, 2)).rejects.toThrow("[DATA_LOSS]");
    await source.close();
  });
}

describe("bytes", () => sourceTests(() => node.bytesSource(pattern(300))));
describe("a blob", () =>
  sourceTests(() => node.blobSource(new Blob([pattern(300) as Uint8Array<ArrayBuffer>]))));

describe("a file", () => {
  sourceTests(() => {
    fs.writeFileSync(join(folder, "file"), pattern(300));
    return node.fileSource(join(folder, "file"));
  });

  test("larger than one read is whole", async () => {
    const bytes = pattern((17 << 20) + 3);
    fs.writeFileSync(join(folder, "large"), bytes);
    const source = node.fileSource(join(folder, "large"));
    expect(Buffer.compare(await source.read(1, bytes.length - 1), bytes.subarray(1))).toBe(0);
    await source.close();
    await expect(source.read(0, 1)).rejects.toThrow("[FAILED_PRECONDITION]");
  });

  test("that is missing is named", async () => {
    const file = join(folder, "missing");
    await expect(node.fileSource(file).size()).rejects.toThrow(`[NOT_FOUND] ${file}: no such file or folder`);
  });
});

describe("HTTP", () => {
  let server: Server;
  let address = "";
  beforeAll(async () => {
    server = createServer((request, response) => {
      const bytes = pattern(300);
      const range = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "");
      if (request.url === "/none") response.writeHead(404).end();
      else if (request.method === "HEAD") response.writeHead(200, { "content-length": bytes.length }).end();
      else if (range === null || request.url === "/whole") response.writeHead(200).end(bytes);
      else response.writeHead(206).end(bytes.subarray(Number(range[1]), Number(range[2]) + 1));
    });
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => void server.close());

  sourceTests(() => node.httpSource(`${address}/file`));

  test("a server without ranges, and a missing file, are refused", async () => {
    await expect(node.httpSource(`${address}/whole`).read(0, 5)).rejects.toThrow(
      "the server answers 200 to a range request, not 206",
    );
    await expect(node.httpSource(`${address}/none`).size()).rejects.toThrow(
      `[NOT_FOUND] ${address}/none: the server answers 404`,
    );
  });
});

test("paths join as Python's", () => {
  const isAbsolute = (part: string): boolean => part.startsWith("/");
  expect(joinParts([".", "m-4"], isAbsolute)).toBe("./m-4");
  expect(joinParts(["a/", "b"], isAbsolute)).toBe("a/b");
  expect(joinParts(["a", "/b"], isAbsolute)).toBe("/b");
  expect(joinParts(["", "b"], isAbsolute)).toBe("b");
});

test("a browser refuses files by name", async () => {
  await expect(web.writeFileAtomic("m.index", [])).rejects.toThrow(
    "[UNIMPLEMENTED] m.index: a browser has no files",
  );
});
