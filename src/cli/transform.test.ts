import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { fromBytes, type Tensor, tensor, toNumbers } from "../base/index.ts";
import type { Provenance } from "../edit/transform/index.ts";
import { saveCheckpoint } from "../formats/checkpoint/index.ts";
import { readGraphDef } from "../formats/graph-def/index.ts";
import { CORE_OPS } from "../ops/index.ts";
import { Session } from "../run/index.ts";
import { runCli } from "./program.ts";

interface Wire {
  readonly dtype: Tensor["dtype"];
  readonly shape: readonly number[];
  readonly data: string;
}
interface Case {
  readonly feeds: Readonly<Record<string, Wire>>;
  readonly results: readonly Wire[];
  readonly variables: Readonly<Record<string, Wire>>;
  readonly inference: Wire;
}

const GOLDENS = new URL("../../tests/goldens/transform/", import.meta.url);
const { cases } = JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
  readonly cases: Readonly<Record<string, Case>>;
};
const fromWire = ({ dtype, shape, data }: Wire): Tensor =>
  fromBytes(dtype, shape, Uint8Array.from(Buffer.from(data, "base64")));
const golden = (name: string): string => new URL(name, GOLDENS).pathname;
const folder = mkdtempSync(join(tmpdir(), "varscope-transform-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function cli(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const code = await runCli(argv, {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out, err };
}

// biome-ignore lint/suspicious/noExplicitAny: a document
async function json(...argv: string[]): Promise<any> {
  const { code, out, err } = await cli(...argv, "--json");
  expect({ code, err }).toEqual({ code: 0, err: "" });
  return JSON.parse(out);
}

async function outputOf(file: string, feeds: Readonly<Record<string, Tensor>>): Promise<number[]> {
  const graph = readGraphDef(new Uint8Array(readFileSync(file)), { registry: CORE_OPS });
  await using session = new Session(graph);
  const known = Object.entries(feeds).filter(([x]) => graph.findOperation(x.slice(0, -2)) !== undefined);
  return toNumbers((await session.run("out:0", { feeds: Object.fromEntries(known) })) as Tensor);
}

const largest = (a: readonly number[], b: readonly number[]): number =>
  a.reduce(
    (n, x, i) => Math.max(n, Math.abs(x - b[i]!)),
    a.length === b.length ? 0 : Number.POSITIVE_INFINITY,
  );

const NAME = "placeholder_flag_small_ops";
const META = golden(`${NAME}.graph.pb`);
const { feeds, results, variables } = cases[NAME]!;
const x = { "x:0": fromWire(feeds["x:0"]!), "is_training:0": fromWire(feeds["is_training:0"]!) };

/** A checkpoint of the golden's variables, and one of the same variables with other values. */
async function checkpoints(): Promise<readonly [string, string]> {
  const values = Object.entries(variables).map(([name, w]) => ({ name, tensor: fromWire(w) }));
  const [first, second] = [at("first.ckpt"), at("second.ckpt")];
  await saveCheckpoint(first, values);
  await saveCheckpoint(
    second,
    values.map(({ name, tensor: t }) => ({
      name,
      tensor: tensor(
        toNumbers(t).map((v, i) => v * (0.8 + 0.1 * (i % 5))),
        t.dtype,
        t.shape,
      ),
    })),
  );
  return [first, second];
}

test("freeze --fold writes a folded graph and its record, and refold makes it anew from another checkpoint", async () => {
  const [first, second] = await checkpoints();
  const flags = ["--outputs", "out", "--placeholder", "is_training=false", "--fold"];
  const report = await json("freeze", META, ...flags, "--checkpoint", first, "-o", at("folded.pb"));
  expect(report.variables).toBe(5);
  expect(report.maxAbsDifference).toBeLessThan(1e-5);
  expect(report.passes.map((p: { pass: string }) => p.pass)).toEqual([
    "placeholders-to-constants",
    "remove-check-numerics",
    "remove-control-residue",
    "remove-identity",
    "fold-batch-norm",
    "strip-unused",
  ]);
  expect(report.ranges).toEqual([
    expect.objectContaining({ layer: "conv/Conv2D", channels: 4, hazard: false }),
  ]);
  const expected = toNumbers(fromWire(results[0]!));
  expect(largest(await outputOf(at("folded.pb"), x), expected)).toBeLessThan(1e-5);

  const record = JSON.parse(readFileSync(at("folded.pb.provenance.json"), "utf8")) as Provenance;
  expect([...record.constants["conv/Conv2D_weights"]!.from].sort()).toEqual([
    "bn/gamma",
    "bn/moving_variance",
    "conv/kernel",
  ]);
  expect(Object.keys(record.constants)).toHaveLength(2);

  await json("freeze", META, ...flags, "--checkpoint", second, "-o", at("again.pb"));
  const refold = ["transform", "--refold", at("folded.pb.provenance.json"), "--checkpoint"];
  expect(await json(...refold, second, "-o", at("refolded.pb"))).toMatchObject({
    constants: 2,
    variables: 5,
  });
  const [again, refolded] = await Promise.all(["again.pb", "refolded.pb"].map((f) => outputOf(at(f), x)));
  expect(largest(again!, refolded!)).toBeLessThan(1e-5);
  expect(largest(again!, expected)).toBeGreaterThan(1e-2);
  // and from what came of it, once more: back to the first values
  const back = ["transform", "--refold", at("refolded.pb.provenance.json"), "--checkpoint", first];
  await json(...back, "-o", at("back.pb"));
  expect(largest(await outputOf(at("back.pb"), x), expected)).toBeLessThan(1e-5);

  copyFileSync(at("again.pb"), at("other.pb"));
  copyFileSync(at("folded.pb.provenance.json"), at("other.pb.provenance.json"));
  const other = await cli(
    "transform",
    "--refold",
    at("other.pb.provenance.json"),
    "--checkpoint",
    second,
    "-o",
    at("no.pb"),
  );
  expect(other.err).toMatch(/^\[FAILED_PRECONDITION\] .*the record belongs to another graph file/);
});

test("freeze --set-inference freezes a graph that was built for training", async () => {
  const { variables: trained, inference, feeds: fed } = cases.layer_training!;
  const prefix = at("trained.ckpt");
  await saveCheckpoint(
    prefix,
    Object.entries(trained).map(([name, w]) => ({ name, tensor: fromWire(w) })),
  );
  const args = ["freeze", golden("layer_training.graph.pb"), "--outputs", "out", "--checkpoint", prefix];
  const report = await json(...args, "--set-inference", "--fold", "-o", at("inference.pb"));
  expect(report.before[0].done[0].what).toContain("is_training is false");
  const got = await outputOf(at("inference.pb"), { "x:0": fromWire(fed["x:0"]!) });
  expect(largest(got, toNumbers(fromWire(inference)))).toBeLessThan(1e-5);
  expect(report.passes.find((p: { pass: string }) => p.pass === "fold-batch-norm").left).toEqual([]);
});

test("freeze refuses outputs that wait for update ops, and drops these when asked", async () => {
  const { variables: values, results: wanted, feeds: fed } = cases.update_ops_awaited!;
  const prefix = at("awaited.ckpt");
  await saveCheckpoint(
    prefix,
    Object.entries(values).map(([name, w]) => ({ name, tensor: fromWire(w) })),
  );
  const args = ["freeze", golden("update_ops_awaited.graph.pb"), "--outputs", "out", "--checkpoint", prefix];
  expect((await cli(...args, "-o", at("awaited.pb"))).err).toMatch(
    /^\[FAILED_PRECONDITION\] .*depend on AssignSub/,
  );
  expect(existsSync(at("awaited.pb"))).toBe(false);
  await json(...args, "--drop-updates", "-o", at("awaited.pb"));
  const got = await outputOf(at("awaited.pb"), { "x:0": fromWire(fed["x:0"]!) });
  expect(largest(got, toNumbers(fromWire(wanted[0]!)))).toBeLessThan(1e-5);
});

test("transform prints what each pass did, with its largest error, and names what folding left", async () => {
  const { code, out } = await cli(
    "transform",
    golden("two_norms.pb"),
    ...[
      "--passes",
      "remove-training-nodes,fold-batch-norm,strip-unused",
      "--outputs",
      "out,out2",
      "-o",
      at("two.pb"),
    ],
  );
  expect(code).toBe(0);
  const lines = out.split("\n");
  expect(lines[1]).toMatch(/^pass +done +left +largest error/);
  expect(lines[2]).toMatch(/^remove-training-nodes +9 +2 +0$/);
  expect(out).toMatch(
    /left bn1\/FusedBatchNorm \(fold-batch-norm\): bn2\/FusedBatchNorm takes the result of Conv2D/,
  );
  expect(out).toMatch(/largest difference on random inputs: \S+ \(x:0 float32 \[2, 6, 6, 3\]\)/);
  const cloned = await json(
    "transform",
    golden("two_norms.pb"),
    ...["--passes", "fold-batch-norm", "--clone", "--outputs", "out,out2", "-o", at("cloned.pb")],
  );
  expect(cloned.passes[0].done).toHaveLength(2);
  expect(cloned.proof.maxRelDifference).toBeLessThan(1e-5);
});

test("transform --passes repair mends what TensorFlow refuses", async () => {
  const args = ["transform", golden("update_ops_awaited.pb"), "--outputs", "out"];
  expect((await cli(...args, "--passes", "strip-unused", "-o", at("mended.pb"))).err).toContain(
    "expected float_ref",
  );
  const report = await json(
    ...args,
    "--passes",
    "repair,set-inference,fold-batch-norm,strip-unused",
    "-o",
    at("mended.pb"),
  );
  expect(report.passes[0]).toMatchObject({
    pass: "repair",
    proof: null,
    unproven: "the graph did not run before",
  });
  const { inference, feeds: fed } = cases.update_ops_awaited!;
  const got = await outputOf(at("mended.pb"), { "x:0": fromWire(fed["x:0"]!) });
  expect(largest(got, toNumbers(fromWire(inference)))).toBeLessThan(1e-5);
});

test("transform --list names the passes; wrong usage is named", async () => {
  const { passes } = await json("transform", "--list");
  expect(passes.map((p: { name: string }) => p.name)).toEqual(
    expect.arrayContaining([
      "fold-batch-norm",
      "strip-unused",
      "fold-constants",
      "merge-duplicates",
      "repair",
    ]),
  );
  expect((await cli("transform", golden("conv_bn.pb"), "-o", at("n.pb"))).err).toMatch(
    /--passes is missing; name passes/,
  );
  expect(
    (await cli("transform", golden("conv_bn.pb"), "-o", at("n.pb"), "--passes", "fold-norms")).err,
  ).toMatch(/^\[NOT_FOUND\] fold-norms: no pass is called 'fold-norms'/);
  expect((await cli("transform", at("none.pb"), "-o", at("n.pb"), "--passes", "rename")).err).toMatch(
    /Input graph file '.*none.pb' does not exist!/,
  );
});
