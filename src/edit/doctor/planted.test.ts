/** A fault is planted in a healthy model for every rule: the rule finds it, and no other rule raises an alarm that is not expected. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type DType, fromData, sizeOf, type Tensor, tensor, VarscopeError } from "../../base/index.ts";
import { saveCheckpoint } from "../../formats/checkpoint/index.ts";
import {
  collectionOf,
  type StoredVariable,
  type VariableCollection,
} from "../../formats/collection/index.ts";
import { readMetaGraph, writeMetaGraph } from "../../formats/meta-graph/index.ts";
import { Graph, type Operation, type Output } from "../../graph/index.ts";
import { batchNormalization, conv2d, dense } from "../../layers/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { adamOptimizer, saver } from "../../train/index.ts";
import { globalVariables, trainableVariables } from "../../variables/index.ts";
import type { GraphFile } from "../graph/open-graph.ts";
import { type Diagnosis, diagnose, diagnosePath, type Finding, RULES, type Severity } from "./index.ts";

const scratch = mkdtempSync(join(tmpdir(), "varscope-doctor-"));
afterAll(() => rmSync(scratch, { recursive: true }));

type Values = Map<string, Tensor>;

/** Numbers around `mean`, always the same. */
function around(mean: number, spread: number, shape: readonly number[], seed: number): Tensor {
  let state = seed + 1;
  const next = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return fromData(
    "float32",
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => mean + spread * next()),
  );
}

const CHANNELS = 8;
const vector = (...values: number[]): Tensor =>
  fromData("float32", [values.length], Float32Array.from(values));
const filled = (value: number, shape: readonly number[] = [CHANNELS]): Tensor =>
  fromData("float32", shape, new Float32Array(sizeOf(shape)).fill(value));

/** Two normalized layers and one that is not, trained for 1000 steps with Adam. */
function healthyValues(): Values {
  const values: Values = new Map();
  const add = (name: string, t: Tensor): void => void values.set(name, t);
  add("conv1/kernel", around(0, 0.4, [3, 3, 1, CHANNELS], 1));
  add("fc1/kernel", around(0, 0.4, [32, CHANNELS], 2));
  for (const [i, layer] of ["bn1", "bn2"].entries()) {
    add(`${layer}/gamma`, around(1, 0.2, [CHANNELS], 10 + i));
    add(`${layer}/beta`, around(0, 0.2, [CHANNELS], 20 + i));
    add(`${layer}/moving_mean`, around(0.1, 0.5, [CHANNELS], 30 + i));
    add(`${layer}/moving_variance`, around(1, 0.4, [CHANNELS], 40 + i));
  }
  add("logits/kernel", around(0, 0.3, [CHANNELS, 3], 3));
  add("logits/bias", around(0, 0.1, [3], 4));
  const trainables = [...values].filter(([name]) => !name.includes("moving"));
  trainables.forEach(([name, t], i) => {
    add(`${name}/Adam`, around(0, 0.01, t.shape, 50 + i));
    add(`${name}/Adam_1`, around(0.002, 0.001, t.shape, 70 + i));
    add(`${name}/ExponentialMovingAverage`, around(t.shape.length > 1 ? 0 : 0.3, 0.2, t.shape, 90 + i));
  });
  add("beta1_power", tensor(0.1, "float32"));
  add("beta2_power", tensor(0.4, "float32"));
  add("global_step", tensor(1000n, "int64"));
  return values;
}

function collection(
  values: Values,
  more: Partial<VariableCollection> = {},
  facts: (name: string) => Partial<StoredVariable> = () => ({}),
): VariableCollection {
  const variables = [...values].map(
    ([name, t]): StoredVariable => ({
      name,
      dtype: t.dtype,
      shape: t.shape,
      bytes: (t.data as Float32Array).byteLength ?? 0,
      read: async () => t,
      ...facts(name),
    }),
  );
  return { ...collectionOf({ path: "model.ckpt", format: "checkpoint-v2", variables }), ...more };
}

/** The healthy model with some tensors in place of others; null takes one away. */
function changed(changes: Readonly<Record<string, Tensor | null>>): Values {
  const values = healthyValues();
  for (const [name, t] of Object.entries(changes)) {
    if (t === null) values.delete(name);
    else values.set(name, t);
  }
  return values;
}

const with_ = (changes: Readonly<Record<string, Tensor | null>>): Promise<Diagnosis> =>
  diagnose(collection(changed(changes)));

/** `name` with its element 0 changed. */
function poked(name: string, value: number): Readonly<Record<string, Tensor>> {
  const t = healthyValues().get(name)!;
  const data = Float32Array.from(t.data as Float32Array);
  data[0] = value;
  return { [name]: { ...t, data } };
}

const ofDtype = (name: string, dtype: DType): Tensor => {
  const t = healthyValues().get(name)!;
  return tensor(Array.from(t.data as Float32Array), dtype);
};

interface NetOptions {
  readonly training?: boolean;
  /** update ops that the train op waits for */
  readonly waits?: "all" | "none";
  readonly twice?: boolean;
  readonly batch?: number | null;
  readonly epsilon?: number;
  readonly optimize?: boolean;
  readonly trainableStatistics?: boolean;
  readonly saved?: "all" | "trainables";
  readonly rename?: string;
  readonly averaged?: boolean;
}

/** The graph of the healthy model, as a MetaGraph that was written and read. */
function net(options: NetOptions = {}): GraphFile {
  const { training = true, optimize = training, waits = "all", epsilon = 1e-3, batch = null } = options;
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], {
    name: "x",
    attrs: { dtype: "float32", shape: { dims: [batch, 4, 4, 1] } },
  });
  const norm = (y: Output, name: string, reuse = false): Output =>
    batchNormalization(y, { training, epsilon, name, reuse });
  const h = conv2d(x, CHANNELS, 3, { name: options.rename ?? "conv1", useBias: false });
  let y = norm(h, "bn1");
  if (options.twice) y = g.add("AddV2", [y, norm(h, "bn1", true)]);
  y = g.add("Reshape", [y, [-1, 32]]);
  y = norm(dense(y, CHANNELS, { name: "fc1", useBias: false }), "bn2");
  const logits = g.add("Identity", [dense(y, 3, { name: "logits" })], { name: "scores" });
  if (optimize) {
    const loss = g.add("Mean", [g.add("Square", [logits]), [0, 1]]);
    const updates = waits === "all" ? g.getCollection<Operation>("update_ops") : [];
    g.controlDependencies(updates, () => adamOptimizer().minimize(loss, { name: "train_op" }));
  }
  saver(g, options.saved === "trainables" ? { varList: trainableVariables(g) } : {});
  const statistics = globalVariables(g).filter((v) => /moving_/.test(v.name));
  if (options.trainableStatistics) for (const v of statistics) g.addToCollection("trainable_variables", v);
  if (options.averaged)
    for (const v of trainableVariables(g)) g.addToCollection("moving_average_variables", v);
  const meta = readMetaGraph(writeMetaGraph({ graph: g }), { registry: CORE_OPS });
  return { path: "model.meta", format: "meta-graph", graph: meta.graph, meta, checkpoint: null };
}

/** The healthy values without what the graph of `net` does not have. */
const netValues = (changes: Readonly<Record<string, Tensor | null>> = {}): Values =>
  new Map([...changed(changes)].filter(([name]) => !/Exponential|global_step/.test(name)));

const withGraph = (
  options: NetOptions,
  changes: Readonly<Record<string, Tensor | null>> = {},
): Promise<Diagnosis> => diagnose(collection(netValues(changes)), { graph: net(options) });

/** Files of the healthy model, damaged. */
async function damaged(name: string, harm: (prefix: string) => void): Promise<Diagnosis> {
  const prefix = join(scratch, name);
  await saveCheckpoint(
    prefix,
    [...healthyValues()].map(([n, t]) => ({ name: n, tensor: t })),
  );
  harm(prefix);
  return diagnosePath(prefix);
}

const flip = (file: string, at: number): void => {
  const bytes = readFileSync(file);
  bytes[at]! ^= 0xff;
  writeFileSync(file, bytes);
};
const data = (prefix: string): string => `${prefix}.data-00000-of-00001`;

const NAN = Number.NaN;
const untrainedNorms = {
  "bn1/moving_mean": filled(0),
  "bn1/moving_variance": filled(1),
  "bn2/moving_mean": filled(0),
  "bn2/moving_variance": filled(1),
};
const inGroup = (names: readonly string[]): Values =>
  new Map(names.map((name) => [name, healthyValues().get(name)!]));

interface Planted {
  readonly fault: () => Promise<Diagnosis>;
  /** the severity, where it is not the rule's worst */
  readonly severity?: Severity;
  readonly variables?: readonly string[];
  readonly value?: unknown;
  readonly message: RegExp;
  readonly repair: RegExp;
  /** other rules that may say error or warning about the same fault */
  readonly also?: readonly string[];
}

const PLANTED: Readonly<Record<string, Planted>> = {
  "shard-missing": {
    fault: () => damaged("lost", (prefix) => rmSync(data(prefix))),
    message: /1 data file missing.*39 of 39 tensors cannot be read/,
    repair: /^varscope repair .*lost OUT/,
    also: [],
  },
  "checksum-wrong": {
    fault: () => damaged("flipped", (prefix) => flip(data(prefix), 100)),
    value: 1,
    message: /^1 tensor of 39 with a wrong checksum/,
    repair: /^varscope repair/,
  },
  "tensor-unreadable": {
    fault: () =>
      damaged("cut", (prefix) => writeFileSync(data(prefix), readFileSync(data(prefix)).subarray(0, 2000))),
    message: /cannot be read/,
    repair: /^varscope repair/,
  },
  "keras2-layout": {
    fault: () =>
      diagnose(
        collection(healthyValues(), {}, (name) => ({
          key: `model/layer_with_weights-0/${name}/.ATTRIBUTES/VARIABLE_VALUE`,
        })),
      ),
    message: /Keras 3 restores nothing/,
    repair: /^varscope convert model\.ckpt OUT\.keras/,
  },
  "keras3-hidden-weights": {
    fault: () =>
      diagnose(
        collection(healthyValues(), {}, (name) =>
          name.endsWith("kernel")
            ? { key: `optimizer/_trainable_variables/3/.ATTRIBUTES/VARIABLE_VALUE#${name}` }
            : {},
        ),
      ),
    value: 3,
    message: /whoever drops optimizer\//,
    repair: /--drop-slots/,
  },
  "not-finite": {
    fault: () => with_({ ...poked("fc1/kernel", NAN), ...poked("logits/bias", Number.POSITIVE_INFINITY) }),
    variables: ["fc1/kernel", "logits/bias"],
    value: 2,
    message: /1 NaN and 1 infinite in 2 tensors of 39.*fc1\/kernel at element 0 of 256/,
    repair: /--drop '\^\(fc1\/kernel\|logits\/bias\)\$'/,
  },
  "weights-exploding": {
    fault: () => with_(poked("fc1/kernel", -3e5)),
    value: 3e5,
    message: /up to 300000 in 1 tensor/,
    repair: /varscope diff/,
  },
  "weights-constant": {
    fault: () => with_({ "fc1/kernel": filled(0, [32, CHANNELS]) }),
    value: 0,
    message: /all 256 weights of fc1\/kernel are 0/,
    repair: /--drop '\^fc1\/kernel\$'/,
  },
  "tensor-empty": {
    fault: () => with_({ "extra/kernel": filled(0, [0, 4]) }),
    message: /1 tensor without elements/,
    also: ["ema-untracked"],
    repair: /--drop '\^extra\/kernel\$'/,
  },
  duplicates: {
    fault: () => with_({ "tied/kernel": healthyValues().get("fc1/kernel")! }),
    variables: ["fc1/kernel", "tied/kernel"],
    message: /fc1\/kernel = tied\/kernel.*1024 bytes/,
    also: ["ema-untracked"],
    repair: /--drop '\^tied\/kernel\$'/,
  },
  "step-odd": {
    fault: () => with_({ global_step: tensor(-5n, "int64") }),
    value: -5,
    message: /the step is -5/,
    repair: /--set global_step=@step.npy/,
  },
  "bn-never-updated": {
    fault: () => with_(untrainedNorms),
    value: 2,
    message:
      /exactly 0 and moving variance exactly 1 in 2 of 2 normalizations \(bn1, bn2\), although gamma and beta there have moved by up to 0\.\d+/,
    repair: /^varscope doctor model\.ckpt --graph GRAPH/,
  },
  "bn-residue": {
    fault: () => with_({ global_step: tensor(100n, "int64") }),
    value: 0.366,
    message: /after 100 steps 37 % .*momentum 0.99, which is assumed/,
    repair: /train on to step 459/,
  },
  "bn-statistics-missing": {
    fault: () => with_({ "bn1/moving_mean": null, "bn1/moving_variance": null }),
    variables: ["bn1/beta", "bn1/gamma"],
    message: /1 normalization \(bn1\) with gamma or beta and no moving statistics/,
    repair: /--set bn1\/moving_mean=@bn1_moving_mean.npy --set bn1\/moving_variance=/,
  },
  "bn-statistics-half": {
    fault: () => with_({ "bn1/moving_variance": ofDtype("bn1/moving_variance", "float16") }),
    message: /1 moving statistic of float16/,
    repair: /--cast '\^bn1\/moving_variance\$=float32'/,
  },
  "bn-shapes-differ": {
    fault: () => with_({ "bn1/moving_mean": vector(0.1, -0.2, 0.3, 0.4) }),
    message: /bn1 have other numbers of channels.*moving-mean \[4\]/,
    repair: /--drop/,
  },
  "bn-variance-exploding": {
    fault: () => with_(poked("bn2/moving_variance", 4e10)),
    message: /up to 40000000000 in 1 layer \(bn2\).*about 200000/,
    repair: /inspect/,
  },
  "bn-mean-variance-swapped": {
    fault: () => {
      const v = healthyValues();
      return with_({
        "bn1/moving_mean": v.get("bn1/moving_variance")!,
        "bn1/moving_variance": v.get("bn1/moving_mean")!,
      });
    },
    message: /1 layer \(bn1\)\): they stand under each other's name|in 1 layer \(bn1\): they stand/,
    repair:
      /--rename '\^\(bn1\/\)moving_mean\$=\$1moving_mean__' --rename '\^\(bn1\/\)moving_variance\$=\$1moving_mean' --rename/,
  },
  "bn-gamma-beta-swapped": {
    fault: () => {
      const v = healthyValues();
      return with_(
        Object.fromEntries(
          ["bn1", "bn2"].flatMap((l) => [
            [`${l}/gamma`, v.get(`${l}/beta`)!],
            [`${l}/beta`, v.get(`${l}/gamma`)!],
          ]),
        ),
      );
    },
    message: /in 2 of 2 layers/,
    repair: /gamma__/,
  },
  "variance-negative": {
    fault: () => with_(poked("bn1/moving_variance", -0.25)),
    value: -0.25,
    message: /down to -0.25 in 1 layer \(bn1\)/,
    repair: /varscope diff/,
  },
  "variance-vanishing": {
    fault: () => with_(poked("bn1/moving_variance", 1e-7)),
    message: /1 channel in 1 layer \(bn1\).*multiplied by up to \d\d/,
    repair: /varscope print model\.ckpt bn1\/moving_variance --all/,
  },
  "channels-dead": {
    fault: () => with_({ "bn1/gamma": vector(1, 0, 0, 0, 1e-6, 0, 0.9, 1.1) }),
    value: 5,
    message: /most in bn1\/gamma, 5 of 8/,
    repair: /print/,
  },
  "bn-epsilon-cost": {
    fault: () => with_(poked("bn1/moving_variance", 2e-3)),
    message: /a channel becomes 22 % larger/,
    repair: /--graph GRAPH/,
  },
  "quantization-range": {
    fault: () => with_(poked("bn1/gamma", 0.01)),
    message: /bn1 has channels whose ranges differ \d+ times/,
    repair: /print/,
  },
  "slot-orphan": {
    fault: () => with_({ "logits/bias": null, "logits/bias/ExponentialMovingAverage": null }),
    variables: ["logits/bias/Adam", "logits/bias/Adam_1"],
    message: /2 of 16 slots without their variable \(logits\/bias\)/,
    repair: /--drop/,
  },
  "slot-missing": {
    fault: () => with_({ "logits/bias/Adam": null, "logits/bias/Adam_1": null }),
    variables: ["logits/bias"],
    message: /1 variable \(logits\/bias\) without slots/,
    repair: /--drop-slots/,
  },
  "slot-shape": {
    fault: () => with_({ "logits/kernel/Adam": filled(0.01, [CHANNELS, 10]) }),
    message: /1 slot of another shape/,
    repair: /--drop '\^logits\/kernel\/Adam\$'/,
  },
  "statistics-trained": {
    fault: () =>
      with_({
        "bn1/moving_mean/Adam": around(0, 0.01, [CHANNELS], 5),
        "bn1/moving_mean/Adam_1": around(0.02, 0.01, [CHANNELS], 6),
      }),
    variables: ["bn1/moving_mean"],
    message: /among the trainable variables/,
    repair: /--drop/,
  },
  "ema-stale": {
    fault: () => with_({ "bn1/gamma/ExponentialMovingAverage": filled(1) }),
    variables: ["bn1/gamma/ExponentialMovingAverage"],
    message: /1 of 8 moving averages .* at the initial value/,
    repair: /varscope edit/,
  },
  "ema-orphan": {
    fault: () => with_({ "logits/bias": null, "logits/bias/Adam": null, "logits/bias/Adam_1": null }),
    message: /1 moving average without their variable/,
    repair: /--drop/,
  },
  "ema-untracked": {
    fault: () => with_({ "logits/bias/ExponentialMovingAverage": null }),
    variables: ["logits/bias"],
    message: /1 trainable variable without moving average .* 7 have one/,
    repair: /--ema/,
  },
  "graph-updates-not-run": {
    fault: () => withGraph({ waits: "none" }, untrainedNorms),
    value: 4,
    message: /4 update ops \(.*AssignMovingAvg.* that train_op does not run/,
    repair:
      /^varscope run model\.meta --checkpoint model\.ckpt --target train_op --target bn1\/AssignMovingAvg/,
    also: ["bn-never-updated"],
  },
  "graph-updates-twice": {
    fault: () => withGraph({ twice: true }),
    value: 2,
    message:
      /2 moving statistics \(bn1\/moving_mean, bn1\/moving_variance\) updated 2 times in one training step.*0\.99/,
    repair: /inspect/,
  },
  "graph-is-training": {
    fault: () => withGraph({ training: true, optimize: false }),
    value: 2,
    message: /2 normalizations .* by the batch's own statistics in a graph for inference/,
    repair: /varscope freeze/,
  },
  "graph-statistics-trainable": {
    fault: () => withGraph({ trainableStatistics: true }),
    value: 4,
    message: /4 moving statistics in collection trainable_variables/,
    repair: /edit/,
  },
  "graph-saver-incomplete": {
    fault: () => withGraph({ saved: "trainables" }),
    value: 4,
    message: /4 moving statistics .* no saver of the graph writes/,
    repair: /doctor/,
  },
  "graph-batch-of-one": {
    fault: () => withGraph({ batch: 1 }),
    message: /batch size 1 at 1 normalization in training mode \(bn1\/FusedBatchNormV3\)/,
    repair: /inspect/,
  },
  "graph-epsilon": {
    fault: () => withGraph({ epsilon: 1e-4 }, poked("bn1/moving_variance", 5e-3)),
    value: 1e-4,
    message: /epsilon is 0.0001 in 2 normalizations \(bn1, bn2\).* up to \d\.?\d* %/,
    repair: /inspect/,
  },
  "graph-ema-statistics": {
    fault: () => withGraph({ averaged: true }),
    message: /8 variables averaged, 4 moving statistics .* not/,
    repair: /--ema/,
  },
  "graph-variables-missing": {
    fault: () => withGraph({ rename: "tower/first" }),
    variables: ["tower/first/kernel", "tower/first/kernel/Adam", "tower/first/kernel/Adam_1"],
    message:
      /^3 variables of 30 that the graph wants are not in the file.*"Key tower\/first\/kernel not found in checkpoint"/,
    repair: /^varscope edit model\.ckpt OUT --rename '\^conv1\/kernel\$=tower\/first\/kernel'$/,
  },
  "graph-shape-mismatch": {
    fault: () => withGraph({}, { "fc1/kernel": around(0, 0.4, [4, 8, CHANNELS], 2) }),
    message: /fc1\/kernel: float32 \[4, ?8, ?8\] in the file, float32 \[32, ?8\] in the graph/,
    repair: /--reshape fc1\/kernel=32,8/,
    also: ["slot-shape"],
  },
  "graph-variables-unknown": {
    fault: () => withGraph({}, { "head/kernel": around(0, 0.3, [CHANNELS, 10], 9) }),
    variables: ["head/kernel"],
    message: /1 variable of the file that the graph does not know \(head\/kernel\)/,
    repair: /--drop '\^head\/kernel\$'/,
    also: ["slot-missing"],
  },
};

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
