import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { smallNet } from "../../../tests/conformance/programs/slim.ts";
import { toNested, toNumbers } from "../../base/index.ts";
import { convertVariablesToConstants, foldBatchNorm } from "../../edit/index.ts";
import { openCheckpoint } from "../../formats/checkpoint/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import { newGraph } from "../../ops/index.ts";
import { Session } from "../../run/index.ts";
import { saver } from "../../train/index.ts";
import { GraphKeys, globalVariables, regularizationLosses, variableScope } from "../../variables/index.ts";
import { slim, weightedMoments } from "../index.ts";

const GOLDENS = new URL("../../../tests/goldens/slim/", import.meta.url);

const images = (g: Graph, channels = 3): Output =>
  g.add("Placeholder", [], {
    name: "x",
    attrs: { dtype: "float32", shape: { dims: [null, 6, 6, channels] } },
  });

describe("a checkpoint that tf_slim trained", () => {
  const prefix = fileURLToPath(new URL("small.ckpt-20", GOLDENS));

  test("has the names of the variables here, but for the slots of its optimizer", async () => {
    const g = newGraph();
    smallNet(images(g), false);
    const checkpoint = await openCheckpoint(prefix);
    const kept = [...checkpoint.entries.keys()].filter((k) => !/Momentum$|global_step/.test(k));
    expect(
      globalVariables(g)
        .map((v) => v.op.name)
        .sort(),
    ).toEqual(kept.sort());
    expect(kept).toContain("resnet_tiny/block1/unit_1/bottleneck_v1/conv2_depthwise/BatchNorm/moving_mean");
  });

  test("restores by name and gives the logits that TensorFlow had; frozen and folded, too", async () => {
    const golden = JSON.parse(readFileSync(new URL("small.json", GOLDENS), "utf8"));
    const g = newGraph();
    const logits = smallNet(images(g), false);
    await using session = new Session(g);
    await saver(g).restore(session, prefix);
    const said = toNumbers(await session.run(logits, { feeds: { x: golden.images } }));
    for (const [i, v] of (golden.logits as number[][]).flat().entries()) expect(said[i]).toBeCloseTo(v, 5);
    // and frozen, with all five normalizations folded into their convolutions
    const frozen = convertVariablesToConstants(session, [logits.op.name]);
    const { graph, report } = foldBatchNorm(frozen, { outputs: [logits.op.name] });
    expect([report.done.length, report.left]).toEqual([5, []]);
    expect(graph.operations.some(({ type }) => type.startsWith("FusedBatchNorm"))).toBe(false);
    await using folded = new Session(graph);
    const again = toNumbers(await folded.run(graph.output(logits.name), { feeds: { x: golden.images } }));
    for (const [i, v] of said.entries()) expect(again[i]).toBeCloseTo(v, 5);
  });
});

const short = (g: Graph, key: string): string[] =>
  g.getCollection<{ name: string }>(key).map(({ name }) => name.replace(/:0$/, ""));

describe("slim's layers", () => {
  test("a normalizer takes the place of biases: conv1/weights, conv1/BatchNorm/beta, no biases; unnamed ones are Conv, Conv_1", () => {
    const g = newGraph();
    const x = images(g);
    slim.conv2d(x, 4, 3, { scope: "conv1", normalizerFn: (y) => slim.batchNorm(y) });
    slim.conv2d(x, 4, 3);
    slim.conv2d(x, 4, 3, { biasesInitializer: null });
    const all = ["weights", "BatchNorm/beta", "BatchNorm/moving_mean", "BatchNorm/moving_variance"];
    const names = [...all.map((v) => `conv1/${v}`), "Conv/weights", "Conv/biases", "Conv_1/weights"];
    expect(globalVariables(g).map((v) => v.op.name)).toEqual(names);
    expect(short(g, GraphKeys.MODEL_VARIABLES)).toEqual(names);
  });

  test("argScope gives layers with other defaults: a call's own come first, then the innermost", () => {
    const g = newGraph();
    const x = images(g);
    const outer = slim.argScope(["conv2d", "fullyConnected"], { activationFn: null, trainable: false });
    const inner = outer.argScope(["conv2d"], { padding: "VALID", trainable: true });
    expect(inner.conv2d(x, 2, 3).shape).toEqual([null, 4, 4, 2]);
    expect(inner.conv2d(x, 2, 3, { padding: "SAME" }).op.type).toBe("BiasAdd");
    expect(outer.conv2d(x, 2, 3).shape).toEqual([null, 6, 6, 2]);
    expect(slim.conv2d(x, 2, 3).op.type).toBe("Relu");
    inner.fullyConnected(x, 2);
    const trained = ["Conv", "Conv_1", "Conv_3"].flatMap((s) => [`${s}/weights`, `${s}/biases`]);
    expect(short(g, GraphKeys.TRAINABLE_VARIABLES)).toEqual(trained);
    // @ts-expect-error only what all of the named layers take
    slim.argScope(["conv2d", "fullyConnected"], { padding: "VALID" });
  });

  test("a scope that is shared shares weights, statistics too", () => {
    const g = newGraph();
    const x = images(g);
    for (const reuse of [null, true])
      slim.conv2d(x, 3, 1, {
        scope: "s",
        reuse,
        normalizerFn: (y) => slim.batchNorm(y, { isTraining: false }),
      });
    expect(globalVariables(g)).toHaveLength(4);
    expect(() => slim.conv2d(x, 3, 1, { scope: "s" })).toThrow("Variable s/weights already exists");
    expect(() => slim.conv2d(x, 3, 1, { reuse: true })).toThrow("reuse=True cannot be used without");
  });

  test("weights and statistics are cut by a scope's partitioner as TensorFlow's: statistics stay whole", () => {
    const g = newGraph();
    variableScope(
      g,
      "p",
      { partitioner: (shape) => shape.map((_, i) => (i === shape.length - 1 ? 2 : 1)) },
      () => slim.conv2d(images(g), 4, 1, { scope: "c", normalizerFn: (y) => slim.batchNorm(y) }),
    );
    const names = globalVariables(g).map((v) => v.op.name.replace("p/c/", ""));
    const norm = [
      "BatchNorm/beta/part_0",
      "BatchNorm/beta/part_1",
      "BatchNorm/moving_mean",
      "BatchNorm/moving_variance",
    ];
    expect(names).toEqual(["weights/part_0", "weights/part_1", ...norm]);
  });

  test("a regularizer of slim is half of tf.layers'; scale 0 is none, a negative one is refused", async () => {
    const g = newGraph();
    const x = images(g);
    for (const scale of [0.5, 0])
      slim.fullyConnected(x, 2, {
        weightsInitializer: () => g.constant(2, { shape: [3, 2] }),
        weightsRegularizer: slim.l2Regularizer(scale),
      });
    const losses = regularizationLosses(g);
    expect(losses).toHaveLength(1);
    await using session = new Session(g);
    await session.run([], { targets: globalVariables(g).map((v) => v.initializer) });
    expect(toNumbers(await session.run(losses[0]!))).toEqual([0.5 * ((6 * 4) / 2)]);
    expect(() => slim.l1Regularizer(-1)).toThrow("Setting a scale less than 0 on a regularizer: -1");
  });
});

describe("weighted batches", () => {
  const X = [1, 2, 3, 6];

  async function momentsOf(weights: readonly number[] | number): Promise<number[]> {
    const g = newGraph();
    const w = typeof weights === "number" ? weights : g.constant([...weights], { dtype: "float32" });
    const found = weightedMoments(g.constant(X, { dtype: "float32" }), [0], w);
    await using session = new Session(g);
    return (await session.run(found)).map((t) => toNumbers(t)[0]!);
  }

  test("a weight counts an element so many times; none at all give 0, not NaN", async () => {
    expect(await momentsOf([1, 1, 1, 1])).toEqual([3, 3.5]);
    expect(await momentsOf(0.25)).toEqual([3, 3.5]);
    expect(await momentsOf([0, 2, 0, 1])).toEqual([expect.closeTo(10 / 3, 5), expect.closeTo(32 / 9, 5)]);
    expect(await momentsOf([0, 0, 0, 0])).toEqual([0, 0]);
  });

  test("batchWeights leave examples out of the statistics; they must be one for each example", async () => {
    const g = newGraph();
    const x = g.constant([1, 2, 3, 100], { dtype: "float32", shape: [4, 1] });
    const y = slim.batchNorm(x, { batchWeights: g.constant([1, 1, 1, 0]), epsilon: 0 });
    await using session = new Session(g, { warn: () => {} });
    await session.run([], { targets: globalVariables(g).map((v) => v.initializer) });
    const [a, b, c] = (toNested(await session.run(y)) as number[][]).flat();
    expect([a, b, c]).toEqual([expect.closeTo(-1.2247449, 6), 0, expect.closeTo(1.2247449, 6)]);
    const odd = g.constant([1, 1], { dtype: "float32" });
    expect(() => slim.batchNorm(x, { batchWeights: odd })).toThrow("Shapes (4,) and (2,) are incompatible");
    expect(() => slim.batchNorm(x, { batchWeights: odd, renorm: true })).toThrow(
      "renorm is not supported with batch_weights",
    );
  });
});
