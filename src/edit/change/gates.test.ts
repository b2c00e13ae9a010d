import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { tensor, toNumbers } from "../../base/index.ts";
import { collectionOf, gatherValues } from "../../formats/collection/index.ts";
import { type Model, openModel } from "../open-model.ts";
import { planEdit } from "./edit.ts";
import type { RnnForm } from "./gates.ts";
import type { Surgery } from "./surgery.ts";

/** Layers whose outputs TensorFlow 1, Keras and PyTorch agree on. */
const DIR = join(import.meta.dirname, "..", "..", "..", "tests", "goldens", "surgery");
let rnn: Model;
let kernels: Model;
beforeAll(async () => {
  rnn = await openModel(join(DIR, "rnn.npz"));
  kernels = await openModel(join(DIR, "kernels.npz"));
});
afterAll(async () => {
  await rnn.close();
  await kernels.close();
});

/** Variables in `scope` after an edit, by the rest of their names. */
async function edited(from: Model, scope: string, ...surgery: Surgery[]): Promise<Map<string, number[]>> {
  const { variables } = await planEdit(from, { surgery, keep: [new RegExp(`^${scope}[./]`)] });
  const all = variables.map(
    async (v) => [v.name.slice(scope.length), toNumbers(await gatherValues(v))] as const,
  );
  return new Map(await Promise.all(all));
}

function near(found: Map<string, number[]>, wanted: Map<string, number[]>): void {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  for (const [name, values] of wanted) {
    expect(found.get(name)!.length, name).toBe(values.length);
    values.forEach((x, i) => {
      expect(Math.abs(found.get(name)![i]! - x), `${name}[${i}]`).toBeLessThan(1e-6);
    });
  }
}

/** PyTorch adds both biases of an LSTM: only their sum is told by other forms. */
function oneBias(layer: Map<string, number[]>): Map<string, number[]> {
  const [ih, hh] = [layer.get(".bias_ih_l0")!, layer.get(".bias_hh_l0")!];
  const { ".bias_hh_l0": _, ...rest } = Object.fromEntries(layer);
  return new Map(Object.entries({ ...rest, ".bias_ih_l0": ih.map((x, i) => x + hh[i]!) }));
}

const SCOPES = { tf1: "tf1", keras: "keras", pytorch: "torch" } as const;
const gates = (name: string, from: RnnForm, to: RnnForm): Surgery => ({ do: "gates", name, from, to });
const converted = (layer: string, from: RnnForm["form"], to: RnnForm["form"]) => {
  const scope = `${layer}/${SCOPES[from]}`;
  return edited(rnn, scope, gates(scope, { form: from }, { form: to }));
};
const wanted = (layer: string, form: RnnForm["form"]) => edited(rnn, `${layer}/${SCOPES[form]}`);

describe("gates", () => {
  test("the frameworks' outputs with these weights agree to 1e-5", () => {
    const manifest = JSON.parse(readFileSync(join(DIR, "manifest.json"), "utf8"));
    const apart = Object.values<number>(manifest["largest difference of outputs"]);
    expect(apart).toHaveLength(4);
    expect(Math.max(...apart)).toBeLessThan(1e-5);
  });

  test.each([
    ["lstm", "tf1", "keras"],
    ["lstm", "keras", "tf1"],
    ["before", "tf1", "keras"],
    ["before", "keras", "tf1"],
    ["after", "keras", "pytorch"],
    ["after", "pytorch", "keras"],
    ["lstm", "pytorch", "keras"],
    ["lstm", "pytorch", "tf1"],
  ] as const)("%s from %s to %s are that framework's own weights", async (layer, from, to) => {
    near(await converted(layer, from, to), await wanted(layer, to));
  });

  test.each(["tf1", "keras"] as const)("lstm from %s to pytorch, whose two biases are one", async (from) => {
    near(oneBias(await converted("lstm", from, "pytorch")), oneBias(await wanted("lstm", "pytorch")));
  });

  test("a forget bias of 1 is added to the bias, and taken from it", async () => {
    const bare = await edited(
      rnn,
      "lstm/tf1",
      gates("lstm/tf1", { form: "tf1" }, { form: "tf1", forgetBias: 0 }),
    );
    const before = (await wanted("lstm", "tf1")).get("/bias")!;
    const after = bare.get("/bias")!;
    after.forEach((x, i) => {
      expect(x - before[i]!).toBeCloseTo(i >= 8 && i < 12 ? 1 : 0, 6); // i j f o, 4 units each
    });
  });

  test("GRUs that reset before and after the product are refused: no weights make them equal", async () => {
    const to = (scope: string, from: RnnForm["form"], form: RnnForm["form"]) =>
      expect(edited(rnn, scope, gates(scope, { form: from }, { form }))).rejects;
    await to("before/tf1", "tf1", "pytorch").toThrow(
      /^\[UNIMPLEMENTED\] before\/tf1: the reset gate acts before/,
    );
    await to("after/torch", "pytorch", "tf1").toThrow(
      /^\[UNIMPLEMENTED\] after\/torch: the reset gate acts after/,
    );
    await to("lstm/none", "keras", "tf1").toThrow(
      /^\[NOT_FOUND\] lstm\/none: no kernel and recurrent_kernel of a layer of Keras are here/,
    );
  });

  test("other layers and directions of PyTorch have their scope; a layer without a bias gets what the other form adds", async () => {
    const v = (name: string, values: number[][]) => {
      const t = tensor(values, "float32");
      return { name, dtype: t.dtype, shape: t.shape, bytes: 4, read: async () => t };
    };
    const from = collectionOf({
      path: "x",
      format: "safetensors",
      variables: [
        v("e.rnn.weight_ih_l1_reverse", [[1], [2], [3], [4]]),
        v("e.rnn.weight_hh_l1_reverse", [[5], [6], [7], [8]]),
      ],
    });
    const convert = async (...steps: readonly (readonly [RnnForm["form"], RnnForm["form"]])[]) => {
      const surgery = steps.map(([a, b]) => gates("e.rnn.l1_reverse", { form: a }, { form: b }));
      const { variables } = await planEdit(from, { surgery });
      const all = variables.map(async (x) => [x.name, toNumbers(await gatherValues(x))] as const);
      return Object.fromEntries(await Promise.all(all));
    };
    expect(await convert(["pytorch", "keras"])).toEqual({
      "e.rnn.l1_reverse/kernel": [1, 2, 3, 4],
      "e.rnn.l1_reverse/recurrent_kernel": [5, 6, 7, 8],
    });
    expect(await convert(["pytorch", "tf1"])).toEqual({
      "e.rnn.l1_reverse/bias": [0, 0, -1, 0],
      "e.rnn.l1_reverse/kernel": [1, 3, 2, 4, 5, 7, 6, 8],
    });
    expect(await convert(["pytorch", "keras"], ["keras", "pytorch"])).toEqual({
      "e.rnn.weight_ih_l1_reverse": [1, 2, 3, 4],
      "e.rnn.weight_hh_l1_reverse": [5, 6, 7, 8],
    });
  });

  test("peepholes and projections are refused by name", async () => {
    const t = tensor([[1, 2, 3, 4]], "float32");
    const v = (name: string) => ({ name, dtype: t.dtype, shape: t.shape, bytes: 4, read: async () => t });
    const from = collectionOf({
      path: "x",
      format: "checkpoint-v2",
      variables: ["l/kernel", "l/bias", "l/w_f_diag"].map(v),
    });
    await expect(
      planEdit(from, { surgery: [gates("l", { form: "tf1" }, { form: "keras" })] }),
    ).rejects.toThrow("[UNIMPLEMENTED] l: l/w_f_diag has no place in the other form");
  });

  test("slots and averages follow; the forget bias is the average's, too, and not the slots'", async () => {
    const v = (name: string, values: number[][] | number[]) => {
      const t = tensor(values, "float32");
      return { name, dtype: t.dtype, shape: t.shape, bytes: 4, read: async () => t };
    };
    const kernel = [1, 2, 3].map((n) => [n, n + 10, n + 20, n + 30]);
    const from = collectionOf({
      path: "x",
      format: "checkpoint-v2",
      variables: ["", "/Adam", "/ExponentialMovingAverage"].flatMap((end) => [
        v(`l/kernel${end}`, kernel),
        v(`l/bias${end}`, [0, 1, 2, 3]),
      ]),
    });
    const { variables, dropped } = await planEdit(from, {
      surgery: [gates("l", { form: "tf1" }, { form: "keras" })],
    });
    const values = new Map(
      await Promise.all(variables.map(async (x) => [x.name, toNumbers(await gatherValues(x))] as const)),
    );
    expect(dropped).toEqual([]);
    expect(values.get("l/recurrent_kernel/Adam")).toEqual([3, 23, 13, 33]);
    expect(values.get("l/bias")).toEqual([0, 3, 1, 3]);
    expect(values.get("l/bias/Adam")).toEqual([0, 2, 1, 3]);
    expect(values.get("l/bias/ExponentialMovingAverage")).toEqual([0, 3, 1, 3]);
  });
});

describe("layouts", () => {
  const turn = (name: string, perm: readonly number[]): Surgery => ({
    do: "transpose",
    pattern: new RegExp(`/${name}$`),
    perm,
  });

  test("PyTorch's kernels become those with which TensorFlow computes the same, and come back", async () => {
    const there: Surgery[] = [
      turn("conv", [2, 3, 1, 0]),
      turn("up", [2, 3, 1, 0]),
      turn("dense", [1, 0]),
      turn("deep", [2, 3, 1, 0]),
      { do: "reshape", name: "torch/deep", shape: [3, 2, 4, 2] },
    ];
    const back: Surgery[] = [
      turn("conv", [3, 2, 0, 1]),
      turn("up", [3, 2, 0, 1]),
      turn("dense", [1, 0]),
      { do: "reshape", name: "torch/deep", shape: [3, 2, 1, 8] },
      turn("deep", [3, 2, 0, 1]),
    ];
    const torch = await edited(kernels, "torch");
    expect(await edited(kernels, "torch", ...there)).toEqual(await edited(kernels, "tf"));
    expect(await edited(kernels, "torch", ...there, ...back)).toEqual(torch);
  });

  test("a pattern takes the variables of that rank alone, and says where there are none", async () => {
    const all: Surgery = { do: "transpose", pattern: /^torch/, perm: [1, 0] };
    const { variables, unused } = await planEdit(kernels, { surgery: [all, { ...all, perm: [0, 2, 1] }] });
    expect(variables.find((v) => v.name === "torch/dense")!.shape).toEqual([4, 5]);
    expect(variables.find((v) => v.name === "torch/conv")!.changes).toEqual([]);
    expect(unused).toEqual(["--transpose of rank 3: ^torch"]);
    await expect(planEdit(kernels, { surgery: [{ ...all, perm: [0, 0] }] })).rejects.toThrow(
      "0,0 is no order of the axes 0 to 1",
    );
  });
});
