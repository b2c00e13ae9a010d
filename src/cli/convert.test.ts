/** One network as TensorFlow 1, Keras 2 and Keras 3, between all containers. @see tools/goldens/convert.py */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openModel } from "../edit/open-model.ts";
import { runCli } from "./program.ts";

const GOLDENS = join(import.meta.dirname, "..", "..", "tests", "goldens", "convert");
const golden = (name: string) => join(GOLDENS, name);
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "varscope-convert-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const at = (name: string) => join(dir, name);

async function cli(...argv: string[]) {
  const text = { out: "", err: "" };
  const sink = (to: "out" | "err") => ({
    write: (more: string) => {
      text[to] += more;
    },
  });
  const code = await runCli(argv, { stdout: sink("out"), stderr: sink("err") });
  return { code, ...text };
}
const json = async (...argv: string[]) => JSON.parse((await cli(...argv, "--json")).out);
/** All that a diff finds. */
const apart = async (a: string, b: string) => {
  const { onlyInA, onlyInB, changed } = await json("diff", a, b);
  return [...onlyInA, ...onlyInB, ...changed];
};

describe.each(["same.keras", "tf1", "keras2"])("%s", (name) => {
  test.each(["x.safetensors", "x.npz", "x.v1", "x"])("to %s: the same values, and names", async (to) => {
    const out = at(`${name}-${to}`);
    expect((await cli("convert", golden(name), out)).err).toBe("");
    expect(await apart(golden(name), out)).toEqual([]);
  });

  test("to objects, and the same values", async () => {
    const out = at(`${name}-objects`);
    const { format } = await json("convert", golden(name), out, "--format", "checkpoint-object");
    expect(format).toBe("checkpoint-object");
    expect(await apart(golden(name), out)).toEqual(
      name === "tf1" || name === "same.keras" ? ["save_counter"] : [],
    );
  });

  test("to a .keras like another, and from it to what it was", async () => {
    const out = at(`${name}.keras`);
    await json("convert", golden(name), out, "--like", golden("named.keras"));
    const back = at(`${name}-back`);
    const { kept } = await json("convert", out, back, "--like", golden(name));
    const rest = await apart(golden(name), back);
    if (name === "tf1") {
      // Keras has no powers of beta: they are reckoned, and differ in the last digit.
      expect(kept).toEqual([]);
      expect(rest.map((d: { name: string }) => d.name)).toEqual(["beta1_power", "beta2_power"]);
      for (const d of rest) expect(d.maxRel).toBeLessThan(1e-6);
    } else expect(rest).toEqual([]);
  });
});

test.each(["y.weights.h5", "y.h5", "y.keras"])(".keras to %s: the same values", async (to) => {
  const { left } = await json("convert", golden("same.keras"), at(to));
  expect(await apart(golden("same.keras"), at(to))).toEqual([]);
  const lost = { "y.weights.h5": 2, "y.h5": 1, "y.keras": 0 }[to];
  expect(left).toHaveLength(lost!);
});

test("a report of what has no place, and what was matched by shape", async () => {
  const { out } = await cli("convert", golden("tf1"), at("told.keras"), "--like", golden("named.keras"));
  expect(out).toContain("matched by shape: conv2d/kernel -> sequential_2/stem/kernel\n");
  expect(out).toContain("kept from the template: adam_2/learning_rate\n");
  expect(out).toMatch(/not carried: beta1_power; .*named\.keras has no variable for it\n/);
  expect(out).toContain(`28 variables -> ${at("told.keras")} (keras-v3)\n`);
});

test("Keras 2's objects in Keras 3's layout have the same values under other keys", async () => {
  const { format } = await json("convert", golden("keras2"), at("objects3"), "--layout", "keras3");
  expect(format).toBe("checkpoint-object");
  const model = await openModel(at("objects3"));
  await model.close();
  const kernel = model.variables.find((v) => v.role === "weight" && v.layer.endsWith("conv2d"))!;
  expect(kernel.key).toMatch(/_kernel\/\.ATTRIBUTES\/VARIABLE_VALUE$/);
  expect((await json("diff", golden("keras2"), at("objects3"))).changed).toEqual([]);
});

test("names that a template does not tell are given", async () => {
  const rename = ["--rename", "^conv2d=zz/conv", "--like", golden("tf1-new")];
  const { code, err } = await cli(
    "convert",
    golden("tf1"),
    at("renamed"),
    ...rename,
    "--rename",
    "kernel$=blob",
  );
  expect(code).toBe(0);
  expect(err).toBe("");
  expect(await apart(golden("tf1"), at("renamed"))).toEqual([]);
});

test("weights of a checkpoint go into a frozen graph", async () => {
  const cliGoldens = join(GOLDENS, "..", "cli");
  const prefix = join(cliGoldens, "resource-50");
  const frozen = await cli(
    "freeze",
    join(cliGoldens, "resource.meta"),
    "--checkpoint",
    prefix,
    "--outputs",
    "probabilities",
    "-o",
    at("f.pb"),
  );
  expect(frozen.code).toBe(0);
  await json("edit", prefix, at("later"), "--reverse", "dense/kernel:0", "--drop-slots");
  const { left, kept } = await json("convert", at("later"), at("f2.pb"), "--like", at("f.pb"));
  expect(left.map((l: { what: string }) => l.what)).toEqual(["global_step"]);
  expect(kept).toEqual([]);
  expect(await apart(at("later"), at("f2.pb"))).toEqual(["global_step"]);
  const graph = await json("inspect", at("f2.pb"));
  expect(graph.graph.ops).toEqual((await json("inspect", at("f.pb"))).graph.ops);
});

test("averages of .keras files are .keras files", async () => {
  const twice = await json("average", at("mean.keras"), golden("same.keras"), golden("same.keras"));
  expect(twice).toMatchObject({
    format: "keras-v3",
    left: [],
    fromLast: ["adam/iteration", "adam/learning_rate"],
  });
  expect(await apart(golden("same.keras"), at("mean.keras"))).toEqual([]);
});

describe("edit of Keras's files", () => {
  test("a layer's name goes to its label; a variable's word cannot change, and is named", async () => {
    const { left } = await json(
      "edit",
      golden("same.keras"),
      at("e.keras"),
      "--rename",
      "conv2d/kernel=stem/blob",
    );
    expect(left.map((l: { what: string }) => l.what)).toContain("the name sequential/stem/blob");
  });

  test("without the optimizer's state weights are all there", async () => {
    const { variables } = await json("edit", golden("same.keras"), at("d.keras"), "--drop-slots");
    expect(variables).toHaveLength(10);
    const flat = await json("edit", at("same.keras-x.npz"), at("d.npz"), "--drop-slots");
    expect(flat.variables).toHaveLength(10);
  });

  test("of objects keep their graph", async () => {
    await json("edit", golden("keras2"), at("e2"), "--drop-slots", "--rename", "^conv2d/=stem/");
    const found = await json("inspect", at("e2"));
    expect(found.format).toBe("checkpoint-object");
    expect(found.variables.map((v: { name: string; key?: string }) => [v.name, v.key])).toContainEqual([
      "stem/kernel",
      "model/layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE",
    ]);
  });
});
