import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tensor } from "../base/index.ts";
import { openCheckpoint } from "../formats/checkpoint/index.ts";
import { readNpy, writeNpy } from "../wire/index.ts";
import { runCli } from "./program.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens", "cli");
const values = JSON.parse(readFileSync(join(GOLDENS, "values.json"), "utf8"));
const FEEDS = ["--feed", `x=@${GOLDENS}/x.npy`, "--feed", `labels:0=@${GOLDENS}/labels.npy`];
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "varscope-run-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function cli(...argv: string[]) {
  let [out, err] = ["", ""];
  const code = await runCli(argv, {
    stdout: {
      write: (text) => {
        out += text;
      },
    },
    stderr: {
      write: (text) => {
        err += text;
      },
    },
  });
  const lines = (): { step: number; fetches: Record<string, never> }[] =>
    out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
  return { code, out, err, lines };
}

describe.each(["ref", "resource"])("a MetaGraph of TensorFlow with %s variables", (kind) => {
  const model = join(GOLDENS, `${kind}.meta`);
  const { losses, kernel, inference } = values[kind];

  test("starts from TensorFlow's initial values, bit for bit", async () => {
    const { lines, err } = await cli("run", model, "--init", "--fetch", "conv1/kernel");
    expect(err).toBe("");
    expect((lines()[0]!.fetches["conv1/kernel"]! as number[]).flat(3)).toEqual(kernel);
  });

  test("trains with TensorFlow's losses, and the checkpoint saved has what was learned", async () => {
    const prefix = join(dir, kind, "model-50");
    const train = ["--fetch", "loss:0", "--target", "train_op", "--steps", "50", "--save", prefix];
    const { code, err, lines } = await cli(
      "run",
      model,
      "--init",
      ...FEEDS,
      "--feed",
      "training=true",
      ...train,
    );
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const mine = lines();
    expect(mine.map((l) => l.step)).toEqual(losses.map((_: number, i: number) => i + 1));
    mine.forEach((l, i) => {
      const loss = l.fetches["loss:0"]! as number;
      expect(Math.abs(loss / losses[i] - 1), `step ${i + 1}: ${loss} for ${losses[i]}`).toBeLessThan(1e-4);
    });
    expect(readdirSync(join(dir, kind)).sort()).toEqual([
      "checkpoint",
      "model-50.data-00000-of-00001",
      "model-50.index",
      "model-50.meta",
    ]);
    const again = await cli(
      "run",
      join(dir, kind),
      "--checkpoint",
      join(dir, kind),
      ...FEEDS,
      "--fetch",
      "loss",
      "--fetch",
      "global_step",
    );
    expect(again.err).toBe("");
    const { loss, global_step: step } = again.lines()[0]!.fetches as Record<string, number>;
    expect(Math.abs(loss! / inference - 1)).toBeLessThan(1e-3);
    expect(step).toBe(50);
  });
});

describe("a run", () => {
  const model = join(GOLDENS, "resource.meta");
  const restored = ["--checkpoint", join(GOLDENS, "resource-50")];

  test("restores TensorFlow's checkpoint and gives its loss", async () => {
    const { lines } = await cli("run", model, ...restored, ...FEEDS, "--fetch", "loss");
    expect(Math.abs(lines()[0]!.fetches.loss! / values.resource.inference - 1)).toBeLessThan(1e-5);
  });

  test("restores and saves by name where the graph has no saver", async () => {
    const bare = join(dir, "bare.pb");
    const { readMetaGraph } = await import("../formats/meta-graph/index.ts");
    const { writeGraphDef } = await import("../formats/graph-def/index.ts");
    const { CORE_OPS } = await import("../ops/index.ts");
    const { graph } = readMetaGraph(readFileSync(model), { registry: CORE_OPS });
    writeFileSync(bare, writeGraphDef(graph));
    const prefix = join(dir, "bare-model");
    const { err, lines } = await cli("run", bare, ...restored, ...FEEDS, "--fetch", "loss", "--save", prefix);
    expect(err).toBe("");
    expect(Math.abs(lines()[0]!.fetches.loss! / values.resource.inference - 1)).toBeLessThan(1e-5);
    const [a, b] = [await openCheckpoint(prefix), await openCheckpoint(join(GOLDENS, "resource-50"))];
    expect(a.names()).toEqual(b.names());
    for (const name of a.names()) expect(await a.read(name), name).toEqual(await b.read(name));
    await a.close();
    await b.close();
  });

  test("writes tensors as .npy and prints only scalars with --out; existing files stay", async () => {
    const args = [
      "run",
      model,
      ...restored,
      ...FEEDS,
      "--fetch",
      "probabilities:0",
      "--fetch",
      "loss:0",
      "--out",
      join(dir, "out"),
    ];
    const { lines } = await cli(...args);
    expect(Object.keys(lines()[0]!.fetches)).toEqual(["loss:0"]);
    expect(readdirSync(join(dir, "out")).sort()).toEqual(["loss_0.npy", "probabilities_0.npy"]);
    expect(readNpy(readFileSync(join(dir, "out", "probabilities_0.npy"))).shape).toEqual([16, 10]);
    const again = await cli(...args);
    expect(again).toMatchObject({ code: 1, out: "" });
    expect(again.err).toMatch(
      /^\[ALREADY_EXISTS\] .*probabilities_0\.npy: the file is there already; give another name, or --force/,
    );
    expect((await cli(...args, "--force")).code).toBe(0);
  });

  test("takes arrays of other number types where nothing gets lost, and refuses the rest", async () => {
    writeFileSync(join(dir, "l32.npy"), writeNpy(tensor([3], "int32")));
    writeFileSync(join(dir, "lf.npy"), writeNpy(tensor([3.5], "float32")));
    const x = JSON.stringify(Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => [0.5])));
    const args = ["run", model, ...restored, "--feed", `x=[${x}]`, "--fetch", "loss"];
    const { err, code } = await cli(...args, "--feed", `labels=@${join(dir, "l32.npy")}`);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const refused = await cli(...args, "--feed", `labels=@${join(dir, "lf.npy")}`);
    expect(refused.err).toBe(
      "[INVALID_ARGUMENT] labels: the file holds float32, the tensor is int64; save the array as int64\n",
    );
    const json = await cli(...args, "--feed", "labels=[1.5]");
    expect(json.err).toMatch(/^\[INVALID_ARGUMENT\] labels: 1.5 is no int64/);
  });

  test.each([
    [["--fetch", "lss"], /^\[NOT_FOUND\] lss: no node lss in the graph; did you mean loss/],
    [
      ["--fetch", "train_op"],
      /^\[INVALID_ARGUMENT\] train_op: NoOp gives no tensor; run it with --target train_op/,
    ],
    [["--fetch", "loss"], /^\[INVALID_ARGUMENT\] .*placeholder.*'(x|labels)'/i],
    [["--fetch", "loss", ...FEEDS], /^\[FAILED_PRECONDITION\] .*initiali[sz]/],
    [["--fetch", "loss", "--feed", "x"], /^\[INVALID_ARGUMENT\] --feed: "x" is no NAME=VALUE/],
    [["--fetch", "loss", "--feed", "x=[[1,2"], /^\[INVALID_ARGUMENT\] x: "\[\[1,2" is no JSON/],
    [["--fetch", "loss", "--signature", "serve"], /^\[NOT_FOUND\] .*no signature serve; the graph has none/],
    [
      ["--init", "--fetch", "loss", "--server", "grpc://127.0.0.1:9"],
      /^\[UNAVAILABLE\] 127\.0\.0\.1:9: .*; see that the server runs and that host and port are its own/,
    ],
    [
      ["--fetch", "loss", "--server", "local"],
      /^\[INVALID_ARGUMENT\] target: "local" is no address of a TensorFlow server/,
    ],
    [["--fetch", "loss", "--init", "--feed", "x=@nowhere.npy"], /^\[NOT_FOUND\] nowhere.npy: no such file/],
    [[], /^\[INVALID_ARGUMENT\] .*there is nothing to run/],
  ])("says what is wrong with %j", async (args, message) => {
    const { code, out, err } = await cli("run", model, ...args);
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err.trimEnd()).not.toContain("\n");
  });

  test.each([
    [["--steps", "0"], /steps.*at least 1/],
    [["--init", "--checkpoint", "x"], /exclude each other/],
    [["--nonsense"], /unknown option '--nonsense'/],
  ])("exits 2 for wrong usage: %j", async (args, message) => {
    const { code, err } = await cli("run", model, "--fetch", "loss", ...args);
    expect(err).toMatch(message);
    expect(err).toMatch(/^\[INVALID_ARGUMENT\] varscope run: .*; see 'varscope run --help'\n$/);
    expect(code).toBe(2);
  });

  test("is stopped by its signal and leaves no file", async () => {
    const abort = new AbortController();
    let steps = 0;
    let err = "";
    const code = await runCli(
      [
        "run",
        model,
        "--init",
        ...FEEDS,
        "--target",
        "train_op",
        "--fetch",
        "loss",
        "--steps",
        "1000000",
        "--save",
        join(dir, "stopped", "m"),
      ],
      {
        stdout: {
          write: () => {
            if (++steps === 3) abort.abort();
          },
        },
        stderr: {
          write: (text) => {
            err += text;
          },
        },
        signal: abort.signal,
      },
    );
    expect({ code, steps }).toEqual({ code: 1, steps: 3 });
    expect(err).toMatch(/^\[CANCELLED\]/);
    expect(readdirSync(dir)).not.toContain("stopped");
  });
});
