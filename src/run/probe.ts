/**
 * @file Start-up self-test: does this ONNX Runtime on this CPU have the blocked (NCHWc) kernels, how wide is a block, and do they compute
 * what the plain ones do? Anything unexpected means plain NCHW.
 */

import { type Tensor, tensor } from "../base/index.ts";
import { Builder } from "../lower/index.ts";
import type { Runtime } from "./runtime.ts";

const NCHWC = "com.microsoft.nchwc";

type Loader = Pick<Runtime, "load">;

async function evaluate(
  runtime: Loader,
  build: (b: Builder) => string,
  shape: readonly (number | null)[],
): Promise<Tensor> {
  const b = new Builder({ block: null });
  const y = { id: build(b), dtype: "float32", shape, layout: "plain", constant: null } as const;
  const model = b.finish([], [y]);
  const program = await runtime.load(model.bytes, model.inputs, model.outputs, { optimize: false });
  try {
    return (await program.run([], [null]))[0]!;
  } finally {
    await program.release();
  }
}

/** Channels a block, or null. */
export async function probeBlock(runtime: Loader): Promise<number | null> {
  try {
    const wide = await evaluate(
      runtime,
      (b) => b.emitter.emit("ReorderInput", [b.emitter.filled(1, [1, 4, 2, 2])], { channels_last: 0 }, NCHWC),
      [1, null, 2, 2],
    );
    const block = wide.shape[1]!;
    if (block !== 8 && block !== 16) return null;
    return (await agrees(runtime, block)) ? block : null;
  } catch {
    return null; // not in this build
  }
}

/** A convolution of one block of channels, blocked and plain. */
async function agrees(runtime: Loader, block: number): Promise<boolean> {
  const values = (n: number): number[] => Array.from({ length: n }, (_, i) => Math.sin(i));
  const image = tensor(values(block * 9), "float32", [1, 3, 3, block]);
  const filter = tensor(values(block * block * 4), "float32", [2, 2, block, block]);
  const window = {
    dataFormat: "NHWC",
    kernel: [2, 2],
    strides: [1, 1],
    dilations: [1, 1],
    padding: "SAME",
    pads: [0, 0, 0, 0],
  } as const;
  const results: Tensor[] = [];
  for (const choice of [block, null]) {
    const b = new Builder({ block: choice });
    const y = b.nn.conv2d(b.constant(image), b.constant(filter), window);
    const model = b.finish([], [y]);
    const program = await runtime.load(model.bytes, model.inputs, model.outputs, { optimize: false });
    results.push((await program.run([], [null]))[0]!);
    await program.release();
  }
  const [a, c] = results.map((r) => r.data as Float32Array) as [Float32Array, Float32Array];
  return a.length === c.length && a.every((x, i) => Math.abs(x - c[i]!) <= 1e-4 * (1 + Math.abs(x)));
}
