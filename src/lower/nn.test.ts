import { beforeAll, describe, expect, test } from "vitest";
import { sizeOf, type Tensor, tensor } from "../base/index.ts";
import type { OnnxValue, Window } from "../graph/index.ts";
import { loadRuntime, type Runtime } from "../run/index.ts";
import { Builder } from "./index.ts";

/** Repeatable values around zero, with ties. */
function random(shape: readonly number[], seed: number, ties = false): Tensor {
  let s = seed * 2654435761;
  const next = (): number => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return s / 2 ** 31 - 1;
  };
  const values = Array.from({ length: sizeOf(shape) }, () =>
    ties ? Math.max(0, Math.round(next() * 2)) : next(),
  );
  return tensor(values, "float32", shape);
}

let runtime: Runtime;
beforeAll(async () => {
  runtime = await loadRuntime();
});

type Build = (b: Builder, inputs: OnnxValue[]) => OnnxValue[];

/** Results of the same recipe in one layout; inputs come from outside, as in training. */
async function evaluate(
  block: number | null,
  inputs: readonly Tensor[],
  build: Build,
  symbolicBatch = false,
): Promise<Tensor[]> {
  const b = new Builder({ block });
  const ports = inputs.map((t, i) =>
    b.input(`x${i}`, t.dtype, symbolicBatch && i === 0 ? [null, ...t.shape.slice(1)] : t.shape),
  );
  const model = b.finish(ports, build(b, ports));
  const program = await runtime.load(model.bytes, model.inputs, model.outputs, { optimize: false });
  const fed = model.inputs.map((name) => inputs[Number(name.slice(1))]!);
  const out = await program.run(
    fed,
    model.outputs.map(() => null),
  );
  await program.release();
  return out;
}

function expectClose(a: Tensor, b: Tensor, tolerance = 1e-5): void {
  expect(a.shape).toEqual(b.shape);
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  const scale = y.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-3);
  const worst = x.reduce((m, v, i) => Math.max(m, Math.abs(v - y[i]!)), 0);
  expect(worst / scale).toBeLessThan(tolerance);
}

const window = (
  kernel: [number, number],
  stride: number,
  padding: "SAME" | "VALID",
  dilation = 1,
): Window => ({
  dataFormat: "NHWC",
  kernel,
  strides: [stride, stride],
  dilations: [dilation, dilation],
  padding,
  pads: [0, 0, 0, 0],
});

const outSize = (size: number, k: number, s: number, padding: string, d: number): number =>
  padding === "SAME" ? Math.ceil(size / s) : Math.floor((size - ((k - 1) * d + 1)) / s) + 1;

interface ConvCase {
  n: number;
  h: number;
  w: number;
  i: number;
  o: number;
  k: [number, number];
  s: number;
  padding: "SAME" | "VALID";
  d?: number;
}

const CONVS: ConvCase[] = [
  { n: 16, h: 8, w: 8, i: 16, o: 32, k: [3, 3], s: 1, padding: "SAME" },
  { n: 32, h: 7, w: 9, i: 32, o: 16, k: [3, 3], s: 1, padding: "VALID" },
  { n: 16, h: 8, w: 8, i: 16, o: 32, k: [3, 3], s: 2, padding: "SAME" },
  { n: 16, h: 8, w: 6, i: 32, o: 32, k: [1, 1], s: 2, padding: "SAME" },
  { n: 16, h: 7, w: 7, i: 16, o: 16, k: [3, 3], s: 2, padding: "SAME" },
  { n: 16, h: 8, w: 8, i: 16, o: 16, k: [5, 5], s: 2, padding: "SAME" },
  { n: 16, h: 8, w: 8, i: 16, o: 16, k: [2, 4], s: 2, padding: "SAME" },
  { n: 16, h: 9, w: 8, i: 1, o: 16, k: [3, 3], s: 1, padding: "SAME" },
  { n: 32, h: 8, w: 8, i: 3, o: 32, k: [3, 3], s: 2, padding: "SAME" },
  { n: 6, h: 8, w: 8, i: 16, o: 16, k: [3, 3], s: 1, padding: "SAME" },
  { n: 16, h: 9, w: 9, i: 16, o: 16, k: [3, 3], s: 1, padding: "SAME", d: 2 },
  { n: 16, h: 8, w: 8, i: 20, o: 12, k: [3, 3], s: 1, padding: "SAME" },
  { n: 16, h: 10, w: 10, i: 16, o: 16, k: [3, 3], s: 3, padding: "VALID" },
];

describe("the blocked recipes equal the plain ones", () => {
  for (const c of CONVS) {
    const name = JSON.stringify(c);
    const win = window(c.k, c.s, c.padding, c.d);
    const out = [
      outSize(c.h, c.k[0], c.s, c.padding, c.d ?? 1),
      outSize(c.w, c.k[1], c.s, c.padding, c.d ?? 1),
    ];
    const x = random([c.n, c.h, c.w, c.i], 1);
    const w = random([...c.k, c.i, c.o], 2);
    const dy = random([c.n, out[0]!, out[1]!, c.o], 3);

    test(`convolution ${name}`, async () => {
      const build: Build = (b, [a, f]) => [b.nn.conv2d(a!, f!, win)];
      const [blocked] = await evaluate(runtime.block, [x, w], build);
      const [plain] = await evaluate(null, [x, w], build);
      expectClose(blocked!, plain!);
      const [symbolic] = await evaluate(runtime.block, [x, w], build, true);
      expectClose(symbolic!, plain!);
    });

    test(`gradient for the image ${name}`, async () => {
      const build: Build = (b, [f, g]) => [b.nn.conv2dInputGrad([c.n, c.h, c.w, c.i], f!, g!, win)];
      const [blocked] = await evaluate(runtime.block, [w, dy], build);
      const [plain] = await evaluate(null, [w, dy], build);
      expectClose(blocked!, plain!);
    });

    test(`gradient for the filter ${name}`, async () => {
      const build: Build = (b, [a, g]) => [b.nn.conv2dFilterGrad(a!, w.shape, g!, win)];
      const [blocked] = await evaluate(runtime.block, [x, dy], build);
      const [plain] = await evaluate(null, [x, dy], build);
      expectClose(blocked!, plain!, 1e-4);
    });
  }

  test("the gradient for the image is the adjoint of the convolution", async () => {
    // <conv(x), dy> = <x, grad(dy)> for the plain recipes, which the blocked ones are compared with above
    for (const c of CONVS) {
      const win = window(c.k, c.s, c.padding, c.d);
      const x = random([c.n, c.h, c.w, c.i], 1);
      const w = random([...c.k, c.i, c.o], 2);
      const [y] = await evaluate(null, [x, w], (b, [a, f]) => [b.nn.conv2d(a!, f!, win)]);
      const dy = random(y!.shape, 3);
      const [dx] = await evaluate(null, [w, dy], (b, [f, g]) => [b.nn.conv2dInputGrad(x.shape, f!, g!, win)]);
      const [dw] = await evaluate(null, [x, dy], (b, [a, g]) => [
        b.nn.conv2dFilterGrad(a!, w.shape, g!, win),
      ]);
      const inner = (a: Tensor, b: Tensor): number =>
        (a.data as Float32Array).reduce((s, v, i) => s + v * (b.data as Float32Array)[i]!, 0);
      const norm = Math.sqrt(inner(y!, y!) * inner(dy, dy));
      expect(Math.abs(inner(y!, dy) - inner(x, dx!)) / norm).toBeLessThan(1e-5);
      expect(Math.abs(inner(y!, dy) - inner(w, dw!)) / norm).toBeLessThan(1e-5);
    }
  });

  for (const stride of [1, 2]) {
    const win = window([3, 3], stride, "SAME");
    const [x, w] = [random([16, 8, 8, 32], 1), random([3, 3, 32, 1], 2)];
    const dy = random([16, 8 / stride, 8 / stride, 32], 3);
    test(`depthwise convolution and its gradients, stride ${stride}`, async () => {
      const build: Build = (b, [a, f, g]) => [
        b.nn.depthwise(a!, f!, win),
        b.nn.depthwiseInputGrad([16, 8, 8, 32], f!, g!, win),
        b.nn.depthwiseFilterGrad(a!, w.shape, g!, win),
      ];
      const blocked = await evaluate(runtime.block, [x, w, dy], build);
      const plain = await evaluate(null, [x, w, dy], build);
      blocked.forEach((t, i) => {
        expectClose(t, plain[i]!, 1e-4);
      });
    });
  }

  test("max pooling and its gradient, the first of equal maxima gets all", async () => {
    const win = window([2, 2], 2, "VALID");
    const [x, dy] = [random([16, 8, 6, 16], 1, true), random([16, 4, 3, 16], 2)];
    const build: Build = (b, [a, g, f]) => {
      const image = b.nn.conv2d(a!, f!, window([1, 1], 1, "SAME"));
      const y = b.nn.maxPool(image, win);
      return [
        y,
        b.nn.maxPoolGrad(image, y, g!, win),
        b.nn.reluGrad(b.nn.maxPoolGrad(image, y, g!, win), image),
      ];
    };
    const identity = tensor(
      Array.from({ length: 256 }, (_, i) => (i % 17 === 0 ? 1 : 0)),
      "float32",
      [1, 1, 16, 16],
    );
    const blocked = await evaluate(runtime.block, [x, dy, identity], build);
    const plain = await evaluate(null, [x, dy, identity], build);
    blocked.forEach((t, i) => {
      expectClose(t, plain[i]!);
    });
  });

  test("average pooling and its gradient", async () => {
    for (const [k, s, padding] of [
      [2, 2, "VALID"],
      [3, 2, "SAME"],
    ] as const) {
      const win = window([k, k], s, padding);
      const [x, dy] = [random([16, 8, 6, 16], 1), random([16, 4, 3, 16], 2)];
      const build: Build = (b, [a, g]) => [
        b.nn.avgPool(b.map("Neg", [a!]), win),
        b.nn.avgPoolGrad([16, 8, 6, 16], g!, win),
      ];
      const blocked = await evaluate(runtime.block, [x, dy], build);
      const plain = await evaluate(null, [x, dy], build);
      blocked.forEach((t, i) => {
        expectClose(t, plain[i]!);
      });
    }
  });

  test("batch normalization, residual sum, bias and their gradients in one block", async () => {
    const inputs = [
      random([16, 6, 6, 16], 1),
      random([3, 3, 16, 16], 2),
      random([16], 3),
      random([16], 4),
      random([16, 6, 6, 16], 5),
    ];
    const win = window([3, 3], 1, "SAME");
    const build: Build = (b, [x, w, gamma, beta, dy]) => {
      const conv = b.nn.biasAdd(b.nn.conv2d(x!, w!, win), beta!, "NHWC");
      const { y, mean, variance } = b.nn.batchNormTrain(conv, gamma!, beta!, 1e-3, "NHWC");
      const sum = b.map("Relu", [b.map("Add", [x!, y])]);
      const inferred = b.nn.batchNormInfer(conv, gamma!, beta!, mean, variance, 1e-3, "NHWC");
      const g = b.nn.reluGrad(dy!, sum);
      const options = { epsilon: 1e-3, format: "NHWC" as const, training: true };
      const { dx, dscale, doffset } = b.nn.batchNormGrad(g, conv, gamma!, mean, variance, options);
      const frozen = b.nn.batchNormGrad(g, conv, gamma!, mean, variance, { ...options, training: false });
      const pooled =
        b.nn.reduceImage("Mean", sum, [1, 2], false) ??
        b.add("ReduceMean", [sum, b.ints([1, 2])], { keepdims: 0 });
      const scaled = b.map("Mul", [sum, gamma!]);
      return [
        conv,
        y,
        mean,
        variance,
        sum,
        inferred,
        dx,
        dscale,
        doffset,
        frozen.dx,
        b.nn.biasGrad(g, "NHWC"),
        pooled,
        scaled,
      ];
    };
    const blocked = await evaluate(runtime.block, inputs, build);
    const plain = await evaluate(null, inputs, build);
    blocked.forEach((t, i) => {
      expectClose(t, plain[i]!, 1e-4);
    });
  });
});
