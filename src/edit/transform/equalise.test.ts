/** Cross-layer equalisation on graphs built here: the same outputs, and ranges that meet in the middle. */

import { describe, expect, test } from "vitest";
import { type Tensor, tensor } from "../../base/index.ts";
import { writeGraphDef } from "../../formats/graph-def/index.ts";
import { Graph, type Output } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import { equaliseLayers } from "./equalise.ts";
import { channelRanges, linearOf } from "./linear.ts";
import { transformGraph } from "./pipeline.ts";
import { provenanceOf, refoldGraph } from "./provenance.ts";

/** Numbers that look random and are the same each time. */
function numbers(shape: readonly number[], seed = 1): Tensor {
  const count = shape.reduce((n, d) => n * d, 1);
  const values = Float32Array.from({ length: count }, (_, i) => Math.sin(12.9898 * (i + 1) + 78.233 * seed));
  return { dtype: "float32", shape, data: values };
}

/** Weights whose channels along `axis` differ by up to a thousandfold. */
function uneven(shape: readonly number[], axis: number, seed: number): Tensor {
  const t = numbers(shape, seed);
  const inner = shape.slice(axis + 1).reduce((n, d) => n * d, 1);
  const data = (t.data as Float32Array).map(
    (x, i) => x * 10 ** (((Math.floor(i / inner) % shape[axis]!) % 4) - 3),
  );
  return { ...t, data };
}

class Net {
  readonly graph = new Graph(CORE_OPS);
  input(shape: readonly number[]): Output {
    return this.graph.add("Placeholder", [], {
      name: "x",
      attrs: { dtype: "float32", shape: { dims: shape } },
    });
  }
  conv(name: string, x: Output, weights: Tensor, attrs = {}, type = "Conv2D"): Output {
    const filter = this.graph.constant(weights, { name: `${name}/kernel` });
    return this.graph.add(type, [x, filter], {
      name,
      attrs: { strides: [1, 1, 1, 1], padding: "SAME", ...attrs },
    });
  }
  bias(name: string, x: Output, count: number, attrs = {}): Output {
    return this.graph.add("BiasAdd", [x, this.graph.constant(numbers([count], 9), { name: `${name}/b` })], {
      name,
      attrs,
    });
  }
}

/** Two convolutions with biases and an activation between them. */
function twoLayers(activation: string): Graph {
  const net = new Net();
  const a = net.bias("bias1", net.conv("conv1", net.input([2, 5, 5, 3]), uneven([3, 3, 3, 4], 3, 1)), 4);
  const y = net.graph.add(activation, [a], { name: "act" });
  net.bias("out", net.conv("conv2", y, numbers([3, 3, 4, 2], 2)), 2);
  return net.graph;
}

async function equalised(graph: Graph, outputs = ["out"], passes = ["equalise-layers"]) {
  const t = await transformGraph(graph, { passes, outputs });
  expect(t.proof!.maxRelDifference).toBeLessThan(1e-5);
  return { ...t, report: t.passes.at(-1)! };
}

/** Largest |weight| of each channel of the output, and of the input. */
function peaks(graph: Graph, name: string): { readonly out: Float64Array; readonly in: Float64Array } {
  const linear = linearOf(graph.operation(name));
  if (linear === null || typeof linear === "string") throw new Error(name);
  const { value, inAxes, outAxes } = linear;
  return { out: channelRanges(abs(value), outAxes).max, in: channelRanges(abs(value), inAxes).max };
}
const abs = (t: Tensor): Tensor => ({ ...t, data: (t.data as Float32Array).map(Math.abs) });

function expectMeet(a: Float64Array, b: Float64Array): void {
  expect(a.length).toBe(b.length);
  a.forEach((x, i) => {
    expect(x / b[i]!).toBeCloseTo(1, 2);
  });
}

describe("equalise-layers", () => {
  test.each(["Relu", "LeakyRelu", "Identity"])(
    "conv-%s-conv: both sides of a channel meet, outputs stay",
    async (f) => {
      const { graph, ranges, report } = await equalised(twoLayers(f));
      expectMeet(peaks(graph, "conv1").out, peaks(graph, "conv2").in);
      expect(ranges.map((r) => r.layer)).toEqual(["conv1", "conv2"]);
      expect(ranges[0]!.before.dynamicRange).toBeGreaterThan(500);
      expect(ranges[0]!.after.dynamicRange).toBeLessThan(ranges[0]!.before.dynamicRange);
      expect(report.done).toHaveLength(1);
      expect(report.done[0]!.what).toMatch(/^4 channels to conv2 divided by [\d.e-]+ to [\d.e-]+$/);
      expect(graph.operations.map((op) => op.name)).not.toContain("conv1/kernel");
      expect(graph.findOperation("bias1_equalised")).toBeDefined();
    },
  );

  test("one layer that is uneven alone hands half of it on: s is the root of r1 / r2", async () => {
    const net = new Net();
    const y = net.graph.add(
      "Relu",
      [net.conv("a", net.input([1, 2, 2, 1]), tensor([[[[0.01, 1, 100]]]], "float32"))],
      { name: "y" },
    );
    net.conv("out", y, tensor([[[[1], [1], [1]]]], "float32"));
    const { graph } = await equalised(net.graph);
    expectMeet(peaks(graph, "a").out, Float64Array.of(0.1, 1, 10));
    expectMeet(peaks(graph, "out").in, Float64Array.of(0.1, 1, 10));
  });

  test("Relu6 becomes Relu and Minimum with a limit for each channel, which is exact", async () => {
    const { graph, report } = await equalised(twoLayers("Relu6"));
    expect(graph.operation("act").type).toBe("Minimum");
    expect(graph.operation("act_relu").type).toBe("Relu");
    expect(report.done[0]!.what).toMatch(/; Relu6 'act' is Relu and Minimum$/);
  });

  test.each(["NHWC", "NCHW"])(
    "conv-depthwise-conv in a chain, %s: all three are even with each other",
    async (format) => {
      const net = new Net();
      const attrs = { data_format: format };
      const x = net.input(format === "NHWC" ? [1, 6, 6, 3] : [1, 3, 6, 6]);
      const relu6 = (name: string, y: Output) => net.graph.add("Relu6", [y], { name });
      const a = relu6("a6", net.bias("ab", net.conv("a", x, uneven([1, 1, 3, 4], 3, 1), attrs), 4, attrs));
      const deep = net.conv("deep", a, uneven([3, 3, 4, 2], 2, 2), attrs, "DepthwiseConv2dNative");
      const b = relu6("b6", net.bias("bb", deep, 8, attrs));
      net.bias("out", net.conv("c", b, uneven([1, 1, 8, 3], 2, 3), attrs), 3, attrs);
      const { graph, report } = await equalised(net.graph);
      expect(report.done).toHaveLength(2);
      expectMeet(peaks(graph, "a").out, peaks(graph, "deep").in);
      expectMeet(peaks(graph, "deep").out, peaks(graph, "c").in);
    },
  );

  test("through pooling, padding and a mean over the image, to a product", async () => {
    const net = new Net();
    const a = net.graph.add("Relu", [net.conv("a", net.input([2, 4, 4, 3]), uneven([3, 3, 3, 4], 3, 1))]);
    const pads = net.graph.constant(
      tensor(
        [
          [0, 0],
          [1, 1],
          [1, 1],
          [0, 0],
        ],
        "int32",
      ),
    );
    const ksize = { ksize: [1, 2, 2, 1], strides: [1, 2, 2, 1], padding: "VALID" };
    const pooled = net.graph.add("MaxPool", [net.graph.add("Pad", [a, pads])], { attrs: ksize });
    const offset = net.graph.constant(numbers([1, 1, 1, 4], 4), { name: "offset" });
    const moved = net.graph.add("Sub", [offset, pooled], { name: "moved" });
    const mean = net.graph.add("Mean", [moved, net.graph.constant(tensor([1, 2], "int32"))]);
    const head = net.graph.constant(uneven([4, 5], 0, 3), { name: "head/kernel" });
    net.graph.add("MatMul", [mean, head], { name: "out" });
    const { graph } = await equalised(net.graph);
    expectMeet(peaks(graph, "a").out, peaks(graph, "out").in);
  });

  test("leaves what would change results, and says why", () => {
    const net = new Net();
    const x = net.input([1, 4, 4, 3]);
    const square = (name: string) => numbers([1, 1, 3, 3], name.length);
    const a = net.conv("a", x, square("a"));
    const b = net.conv("b", net.graph.add("Relu", [a], { name: "shared" }), square("b"));
    const sum = net.graph.add("AddV2", [b, net.graph.operation("shared").outputs[0]!], { name: "sum" });
    const c = net.conv("c", net.graph.add("Tanh", [sum], { name: "tanh" }), square("c"));
    const scaled = net.graph.add("Mul", [c, net.graph.constant(numbers([3]))], { name: "scaled" });
    const d = net.conv(
      "d",
      net.graph.add("Sigmoid", [net.conv("e", scaled, square("e"))], { name: "s" }),
      square("d"),
    );
    net.graph.add("Identity", [d], { name: "out" });
    const { graph, report, ranges } = equaliseLayers(net.graph, { outputs: ["out"] });
    expect(graph).toBe(net.graph);
    expect([report.done, ranges]).toEqual([[], []]);
    expect(Object.fromEntries(report.left.map((l) => [l.at, l.why]))).toEqual({
      a: "Relu 'shared' has more than one consumer (b,sum)",
      b: "AddV2 'sum' behind it does not scale with its input",
      c: "Mul 'scaled' scales its channels; fold it first (fold-batch-norm)",
      e: "Sigmoid 's' behind it does not scale with its input",
    });
  });

  test("dead channels keep their scale, and a second time nothing moves", async () => {
    const net = new Net();
    const dead = tensor([[[[0, 1, 8]]]], "float32");
    const y = net.graph.add("Relu", [net.bias("b", net.conv("a", net.input([1, 2, 2, 1]), dead), 3)]);
    net.conv("out", y, tensor([[[[5], [0], [2]]]], "float32"));
    const { graph } = await equalised(net.graph);
    expectMeet(peaks(graph, "a").out.slice(1), Float64Array.of(1, 4));
    expect(peaks(graph, "out").in).toEqual(Float64Array.of(5, 0, 4));
    const again = equaliseLayers(graph, { outputs: ["out"] });
    expect([again.graph === graph, again.report.done]).toEqual([true, []]);
  });

  test("its record makes the constants anew from other weights, with the same scales", async () => {
    const graph = twoLayers("Relu6");
    const passes = ["equalise-layers"];
    const t = await transformGraph(graph, { passes, outputs: ["out"] });
    const bytes = writeGraphDef(t.graph);
    const source = { graph: "x", checkpoint: null };
    const record = provenanceOf(t.graph, t.origins, { source, outputs: ["out"], passes: t.passes, bytes });
    const other = (name: string): Tensor => {
      const value = graph.operation(name).attrs.value as unknown as Tensor;
      return { ...value, data: (value.data as Float32Array).map((x, i) => x * (1 + (i % 3))) };
    };
    const refolded = await refoldGraph(bytes, record, CORE_OPS, async ({ key }) => other(key));
    const ratio = (name: string, old: string): number[] => {
      const [made, was] = [refolded.operation(name), t.graph.operation(name)].map(
        (op) => (op.attrs.value as unknown as Tensor).data as Float32Array,
      );
      const [now, before] = [other(old), graph.operation(old).attrs.value as unknown as Tensor].map(
        (x) => x.data as Float32Array,
      );
      return [...made!].map((x, i) => x / was![i]! / (now![i]! / before![i]!));
    };
    for (const x of [
      ...ratio("conv1_equalised", "conv1/kernel"),
      ...ratio("conv2_equalised", "conv2/kernel"),
    ])
      expect(x).toBeCloseTo(1, 4);
  });
});
