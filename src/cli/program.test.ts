import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readNpy } from "../wire/index.ts";
import { runCli } from "./program.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens");
const PREFIX = join(GOLDENS, "cli", "resource-50");
const META = join(GOLDENS, "cli", "resource.meta");
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "varscope-cli-"));
  for (const end of [".index", ".data-00000-of-00001"]) copyFileSync(PREFIX + end, join(dir, `model${end}`));
  copyFileSync(META, join(dir, "model.meta"));
  writeFileSync(
    join(dir, "checkpoint"),
    'model_checkpoint_path: "model"\nall_model_checkpoint_paths: "model"\n',
  );
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
  return { code, out, err };
}
const json = async (...argv: string[]) => JSON.parse((await cli(...argv, "--json")).out);

describe("inspect", () => {
  test.each(["model", "model.index", "model.data-00000-of-00001", "checkpoint", "."])(
    "knows the checkpoint by %s",
    async (name) => {
      const found = await json("inspect", join(dir, name));
      expect(found.format).toBe("checkpoint-v2");
      expect(found.totals).toMatchObject({
        tensors: 20,
        parameters: 4153,
        modelParameters: 1394,
        bytes: 16616,
      });
      expect(found.totals.byRole).toMatchObject({ weight: 1352, "moving-mean": 8, slot: 2758, step: 1 });
    },
  );

  test("names role and layer of each variable, sorted by name", async () => {
    const { variables } = await json("inspect", PREFIX, "--stats");
    const names = variables.map((v: { name: string }) => v.name);
    expect(names).toEqual([...names].sort());
    const of = (name: string) => variables.find((v: { name: string }) => v.name === name);
    expect(of("conv1/bn/moving_variance")).toMatchObject({
      role: "moving-variance",
      layer: "conv1/bn",
      shape: [8],
      bytes: 32,
    });
    expect(of("conv1/kernel/Adam_1")).toMatchObject({ role: "slot", layer: "conv1" });
    expect(of("beta1_power")).toMatchObject({ role: "slot", layer: "" });
    expect(of("global_step")).toMatchObject({
      role: "step",
      dtype: "int64",
      stats: { min: 50, max: 50, mean: 50, std: 0, zeros: 0 },
    });
  });

  test("shows a batch norm as one row with its health, slots beside, numbers right-aligned", async () => {
    const { out } = await cli("inspect", PREFIX, "--filter", "^conv1/");
    const rows = out.split("\n").slice(3, 8);
    expect(rows[0]).toMatch(/^variable +role +dtype +shape +elements +bytes +health +slots$/);
    expect(rows[3]).toBe("conv1/bn");
    expect(rows[4]).toMatch(/^ {2}gamma beta mean variance +batch norm +float32 +\[8\] +32 +128 +ok +m, v$/);
    expect(rows[4]!.indexOf(" 128") + 4).toBe(rows[0]!.indexOf("bytes") + 5);
  });

  test("shows each of a batch norm's variables where numbers are asked", async () => {
    const { out } = await cli("inspect", PREFIX, "--filter", "^conv1/", "--stats");
    expect(out).toMatch(/\n {4}moving_variance +moving-variance +float32 .*[▁▂▃▄▅▆▇█]/);
  });

  test("shows a MetaGraph's variables, inputs and targets, without values beside it too", async () => {
    const found = await json("inspect", META);
    expect(found.format).toBe("meta-graph");
    expect(found.variables).toHaveLength(20);
    expect(found.graph.inputs).toContainEqual({ name: "x:0", dtype: "float32", shape: [null, 8, 8, 1] });
    expect(found.graph.targets).toEqual(expect.arrayContaining(["train_op"]));
    expect(found.graph.targets.filter((t: string) => t.endsWith("/Assign"))).toEqual([]);
    expect(found.graph.ops.Conv2D).toBe(1);
    expect((await cli("inspect", META, "--stats")).err).toMatch(
      /^\[FAILED_PRECONDITION\] beta1_power: .*holds no value/,
    );
    expect((await json("inspect", join(dir, "model.meta"), "--stats")).variables[0].stats.nan).toBe(0);
  });

  test("tells text graphs by their text", async () => {
    expect((await json("inspect", join(GOLDENS, "graph", "strange.pbtxt"))).format).toBe("graph-def");
    expect((await json("inspect", join(GOLDENS, "graph", "strange.pb"))).format).toBe("graph-def");
  });

  test("says what it cannot read", async () => {
    writeFileSync(join(dir, "noise"), "what is this");
    expect(await cli("inspect", join(dir, "noise"))).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^\[INVALID_ARGUMENT\] .*nothing that varscope knows/),
    });
    writeFileSync(join(dir, "some.h5"), Buffer.from("\x89HDF\r\n\x1a\n........", "latin1"));
    expect((await cli("inspect", join(dir, "some.h5"))).err).toMatch(/^\[DATA_LOSS\] /);
    writeFileSync(join(dir, "some.tflite"), Buffer.from("\0\0\0\0TFL3....", "latin1"));
    expect((await cli("inspect", join(dir, "some.tflite"))).err).toMatch(
      /^\[UNIMPLEMENTED\] .*this is tflite/,
    );
    expect((await cli("inspect", join(dir, "nowhere"))).err).toMatch(/^\[NOT_FOUND\] /);
    expect(await cli("inspect", PREFIX, "--filter", "(")).toMatchObject({ code: 2 });
  });
});

describe("print", () => {
  test("prints header and values as numpy, ':0' or not", async () => {
    expect((await cli("print", PREFIX, "global_step:0")).out).toBe("global_step  int64 []\n50\n");
    expect((await cli("print", PREFIX, "dense/kernel")).out).toContain("...");
    expect((await cli("print", PREFIX, "dense/kernel", "--all")).out).not.toContain("...");
  });

  test("hints at the nearest names", async () => {
    const { code, err } = await cli("print", PREFIX, "conv1/bn/gama");
    expect(code).toBe(1);
    expect(err).toMatch(/^\[NOT_FOUND\] .*no tensor conv1\/bn\/gama among 20; did you mean conv1\/bn\/gamma/);
  });

  test("writes .npy, and not over a file", async () => {
    const file = join(dir, "bias.npy");
    expect((await cli("print", PREFIX, "dense/bias", "--npy", file)).code).toBe(0);
    expect(readNpy(readFileSync(file)).shape).toEqual([10]);
    expect((await cli("print", PREFIX, "dense/bias", "--npy", file)).err).toMatch(/^\[ALREADY_EXISTS\]/);
  });
});

describe("freeze", () => {
  test("writes a graph of constants that gives the same, and says by how much it differs", async () => {
    const out = join(dir, "frozen.pb");
    const report = await json("freeze", join(dir, "model.meta"), "--outputs", "probabilities", "-o", out);
    expect(report).toMatchObject({ variables: 7, outputs: ["probabilities"] });
    expect(report.maxAbsDifference).toBeLessThan(1e-5);
    const found = await json("inspect", out);
    expect(found.variables).toHaveLength(7);
    expect(found.graph.outputs.map((t: { name: string }) => t.name)).toEqual(["probabilities:0"]);
    expect(
      (await cli("freeze", join(dir, "model.meta"), "--outputs", "probabilities", "-o", out)).err,
    ).toMatch(/^\[ALREADY_EXISTS\]/);
  });

  test.each([
    [["--outputs", "nothing"], /^\[NOT_FOUND\] nothing: no node nothing/],
    [
      ["--outputs", "probabilities"],
      /^\[FAILED_PRECONDITION\] .*no values for 7 variables; name their checkpoint/,
    ],
    [[], /^\[INVALID_ARGUMENT\] .*You need to supply the name of a node to --output_node_names/],
    [
      ["--outputs", "probabilities", "--checkpoint", "zz"],
      /^\[NOT_FOUND\] zz: Input checkpoint 'zz' doesn't exist!/,
    ],
    [["--outputs", "train_op", "--checkpoint", PREFIX], /^\[FAILED_PRECONDITION\] .*depend on/],
  ])("says what is wrong with %j and writes nothing", async (args, message) => {
    const out = join(dir, "none.pb");
    const { code, err } = await cli("freeze", META, "-o", out, ...args);
    expect(err).toMatch(message);
    expect({ code, there: existsSync(out) }).toEqual({ code: 1, there: false });
  });
});
