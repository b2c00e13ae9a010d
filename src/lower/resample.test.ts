/** Images resized between convolutions: in blocks, in planes and with channels last the same values come out, and no layout is lost. */

import { beforeAll, expect, test } from "vitest";
import { sizeOf, type Tensor, tensor } from "../base/index.ts";
import type { OnnxValue, Window } from "../graph/index.ts";
import { loadRuntime, type Runtime } from "../run/index.ts";
import { Builder } from "./index.ts";
import type { Value } from "./value.ts";

const image = (shape: readonly number[], seed: number): Tensor =>
  tensor(
    Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(12.9898 * (i + 1) + 78.233 * seed)),
    "float32",
    shape,
  );

const WINDOW: Window = {
  dataFormat: "NHWC",
  kernel: [3, 3],
  strides: [1, 1],
  dilations: [1, 1],
  padding: "SAME",
  pads: [0, 0, 0, 0],
};

type Step = (b: Builder, x: OnnxValue) => OnnxValue;

let runtime: Runtime;
beforeAll(async () => {
  runtime = await loadRuntime();
});

/** The values of a convolution, of a step on it, and of another convolution. */
async function between(block: number | null, channels: number, step: Step): Promise<Tensor[]> {
  const inputs = [image([2, 4, 5, channels], 1), image([3, 3, channels, channels], 2)];
  const b = new Builder({ block });
  const [x, filter] = inputs.map((t, i) => b.input(`x${i}`, t.dtype, t.shape)) as [Value, Value];
  const first = b.nn.conv2d(x, filter, WINDOW);
  const middle = step(b, first);
  const layouts = [first.layout, middle.layout];
  expect(layouts).toEqual(block === null ? ["nchw", "nchw"] : ["nchwc", "nchwc"]);
  const outs = [first, middle, b.nn.conv2d(middle, filter, WINDOW)];
  return run(b, [x, filter], outs, inputs);
}

async function run(b: Builder, ports: Value[], outs: OnnxValue[], values: Tensor[]): Promise<Tensor[]> {
  const model = b.finish(ports, outs);
  const program = await runtime.load(model.bytes, model.inputs, model.outputs, { optimize: false });
  try {
    const fed = model.inputs.map((name) => values[Number(name.slice(1))]!);
    return await program.run(
      fed,
      model.outputs.map(() => null),
    );
  } finally {
    await program.release();
  }
}

/** What the step makes of these values with channels last. */
async function alone(x: Tensor, step: Step): Promise<Tensor> {
  const b = new Builder({ block: null });
  const port = b.input("x0", x.dtype, x.shape);
  return (await run(b, [port], [step(b, port)], [x]))[0]!;
}

function expectClose(a: Tensor, b: Tensor): void {
  expect(a.shape).toEqual(b.shape);
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  const worst = x.reduce((m, v, i) => Math.max(m, Math.abs(v - y[i]!)), 0);
  expect(worst).toBeLessThan(1e-4);
}

const [rows, columns] = [image([7, 4], 3), image([3, 5], 4)];

test("resample keeps blocks and planes", async () => {
  const step: Step = (b, x) => b.nn.resample(x, rows, columns);
  const planes = await between(null, 32, step);
  expectClose(planes[1]!, await alone(planes[0]!, step));
  if (runtime.block === null) return;
  const blocks = await between(runtime.block, 32, step);
  planes.forEach((t, i) => {
    expectClose(blocks[i]!, t);
  });
});

test("repeat goes on in planes", async () => {
  const step: Step = (b, x) => b.nn.repeat(x, 2, 3);
  const planes = await between(null, 32, step);
  expectClose(planes[1]!, await alone(planes[0]!, step));
});
