/** A fault is planted in a healthy model for every rule: the rule finds it, and no other rule raises an alarm that is not expected. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  around,
  CHANNELS,
  changed,
  collection,
  damaged,
  data,
  filled,
  flip,
  healthyValues,
  inGroup,
  NAN,
  scratch,
  untrainedNorms,
  vector,
  with_,
  withGraph,
} from "../../../tests/fixtures/doctor.ts";
import { PLANTED } from "../../../tests/fixtures/faults.ts";
import { fromData, type Tensor, tensor, VarscopeError } from "../../base/index.ts";
import { saveCheckpoint } from "../../formats/checkpoint/index.ts";
import type { StoredVariable } from "../../formats/collection/index.ts";
import { diagnose, diagnosePath, type Finding, RULES } from "./index.ts";

afterAll(() => rmSync(scratch, { recursive: true }));

const alarms = (findings: readonly Finding[]): string[] =>
  findings.filter((f) => f.severity !== "info").map((f) => f.rule);

test("the healthy model is healthy, alone and with its graph", async () => {
  expect(alarms((await with_({})).findings)).toEqual([]);
  expect((await withGraph({})).findings).toEqual([]);
});

test("every rule has a planted fault, and every fault a rule", () => {
  expect(Object.keys(PLANTED).sort()).toEqual(RULES.map((r) => r.id).sort());
});

describe.each(RULES.map((r) => [r.id, r] as const))("%s", (id, rule) => {
  test("finds its planted fault, and no other alarm is raised", async () => {
    const { fault, message, repair, variables, value, severity = rule.severity, also = [] } = PLANTED[id]!;
    const { findings } = await fault();
    const found = findings.find((f) => f.rule === id);
    expect(found, JSON.stringify(findings)).toBeDefined();
    expect(found!.severity).toBe(severity);
    expect(found!.message).toMatch(message);
    expect(found!.repair).toMatch(repair);
    expect(found!.repair).toMatch(/^varscope (edit|convert|repair|doctor|diff|inspect|print|run|freeze) /);
    if (variables !== undefined) expect(found!.variables).toEqual(variables);
    if (value !== undefined)
      expect(typeof value === "number" ? Number(Number(found!.value).toPrecision(3)) : found!.value).toBe(
        value,
      );
    expect(alarms(findings).filter((r) => r !== id && !also.includes(r))).toEqual([]);
  });
});

describe("what is no fault", () => {
  test("a model that was not trained", async () => {
    const { findings } = await with_({
      ...untrainedNorms,
      ...Object.fromEntries(
        ["bn1", "bn2"].flatMap((l) => [
          [`${l}/gamma`, filled(1)],
          [`${l}/beta`, filled(0)],
        ]),
      ),
      global_step: tensor(0n, "int64"),
    });
    expect(alarms(findings)).toEqual([]);
    expect(findings.map((f) => f.rule)).toContain("bn-never-updated");
  });

  test("layer normalization, which has no moving statistics", async () => {
    const norm = {
      "block/LayerNorm/gamma": around(1, 0.1, [8], 1),
      "block/LayerNorm/beta": around(0, 0.1, [8], 2),
      "ln_1/gamma": around(1, 0.1, [8], 3),
      "layer_normalization_2/gamma": around(1, 0.1, [8], 3),
    };
    expect(alarms((await diagnose(collection(new Map(Object.entries(norm))))).findings)).toEqual([]);
  });

  test("a trained branch whose gamma began at 0", async () => {
    const residual = {
      "bn2/gamma": around(0.02, 0.1, [CHANNELS], 1),
      "bn2/beta": around(0, 0.1, [CHANNELS], 2),
    };
    expect(alarms((await with_(residual)).findings)).toEqual([]);
  });

  test("averages of Keras that are the variables: so fit ends", async () => {
    const values = new Map([...healthyValues()].filter(([name]) => !/Exponential/.test(name)));
    const shadows = ["fc1/kernel", "logits/kernel"];
    for (const name of shadows) values.set(`adam/${name.replace("/", "_")}_average`, values.get(name)!);
    const facts = (name: string): Partial<StoredVariable> =>
      name.endsWith("_average")
        ? { role: "ema", layer: "", of: shadows.find((s) => name.includes(s.replace("/", "_")))! }
        : {};
    const { findings } = await diagnose(collection(values, {}, facts));
    expect(findings.find((f) => f.rule === "ema-stale")).toMatchObject({ severity: "info", value: 2 });
  });

  test("a variant that holds the position of an input pipeline", async () => {
    const read = (): Promise<Tensor> =>
      Promise.reject(new VarscopeError("FAILED_PRECONDITION", "a variant has no plain values"));
    const c = collection(new Map([["iterator", tensor(0, "float32")]]), {}, () => ({
      dtype: "variant",
      read,
      stream: async function* () {
        yield await read();
      },
    }));
    expect((await diagnose(c)).findings.map((f) => [f.rule, f.severity])).toEqual([
      ["tensor-unreadable", "info"],
    ]);
  });

  test("few steps of a small momentum: the least variance bounds the residue", async () => {
    const thin = {
      "bn1/moving_variance": vector(0.004, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1),
      "bn2/moving_variance": vector(0.008, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1),
    };
    const { findings } = await with_({ ...thin, global_step: tensor(200n, "int64") });
    expect(findings.filter((f) => f.rule === "bn-residue")).toEqual([]);
  });

  test("optimizer state of layers that are frozen, weights of half precision without statistics, an optimizer alone", async () => {
    const frozen = await with_({ "fc1/kernel/Adam": null, "fc1/kernel/Adam_1": null });
    expect(alarms(frozen.findings)).toEqual([]);
    const alone = await diagnose(
      collection(inGroup(["fc1/kernel/Adam", "fc1/kernel/Adam_1"]), {}, (name) => ({
        role: "slot",
        layer: "",
        of: name.replace(/\/Adam.*/, ""),
      })),
    );
    expect(alarms(alone.findings)).toEqual([]);
  });
});

test("a container that does not open is a finding; one that is not there is an error", async () => {
  const found = await damaged("index", (prefix) => flip(`${prefix}.index`, 40));
  expect(found.findings.map((f) => [f.rule, f.severity])).toEqual([["tensor-unreadable", "error"]]);
  expect(found.findings[0]!.repair).toMatch(/^varscope repair/);
  await expect(diagnosePath(join(scratch, "nothing"))).rejects.toMatchObject({ code: "NOT_FOUND" });
});

test("one damaged tensor does not keep the doctor from the others", async () => {
  const prefix = join(scratch, "both");
  const values = changed(untrainedNorms);
  await saveCheckpoint(
    prefix,
    [...values].map(([name, t]) => ({ name, tensor: t })),
  );
  flip(data(prefix), readFileSync(data(prefix)).length - 2);
  const { findings } = await diagnosePath(prefix);
  expect(alarms(findings).sort()).toEqual(["bn-never-updated", "checksum-wrong"]);
});

test("momentum and epsilon are those of the Keras config, which nothing of it is run", async () => {
  const config = {
    class_name: "Sequential",
    config: {
      layers: [
        { class_name: "BatchNormalization", config: { name: "bn1", momentum: 0.5, epsilon: 0.01 } },
        { class_name: "Lambda", config: { name: "bn2" } },
      ],
    },
  };
  const c = collection(changed({ global_step: tensor(100n, "int64") }), {
    extras: { kerasConfig: JSON.stringify(config) },
  });
  const residue = (await diagnose(c)).findings.find((f) => f.rule === "bn-residue");
  expect(residue!.variables).toEqual(["bn2/moving_mean", "bn2/moving_variance"]);
});

test("dtypes of all kinds are examined: integers beyond 2^53, complex numbers, text, booleans", async () => {
  const odd = {
    "random/state": tensor([2n ** 62n, -(2n ** 62n), 5n], "int64"),
    "spectrum/z": fromData("complex64", [2], Float32Array.of(1, 2, 3, NAN)),
    "vocabulary/words": tensor(["a", "b"], "string"),
    "gate/open": tensor([true, false], "bool"),
  };
  const { findings } = await with_(odd);
  expect(alarms(findings)).toEqual(["not-finite"]);
  expect(findings[0]!.variables).toEqual(["spectrum/z"]);
});

test("20,000 faults are one finding with a command that a shell takes", async () => {
  const nan = vector(NAN);
  const many = new Map(Array.from({ length: 20_000 }, (_, i) => [`tower/layer${i}/bias`, nan] as const));
  const { findings } = await diagnose(collection(many));
  expect(findings.map((f) => [f.rule, f.value])).toEqual([["not-finite", 20_000]]);
  expect(findings[0]!.repair.length).toBeLessThan(8000);
  expect(findings[0]!.repair).toMatch(/and 19800 more: --json lists them$/);
});

test("an abort ends it", async () => {
  const signal = AbortSignal.abort();
  await expect(diagnose(collection(healthyValues()), { signal })).rejects.toMatchObject({
    code: "CANCELLED",
  });
});
