/** Convolution and pooling where TensorFlow's CPU kernels have no golden: channels first, groups and dilations in gradients. */

import { describe, expect, test } from "vitest";
import { sizeOf, type Tensor, tensor, toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS } from "./index.ts";
import { permuted } from "./kernels/rearrange.ts";

type Attrs = Record<string, string | readonly number[]>;

/** Numbers that repeat nowhere and favour no sign. */
const image = (shape: readonly number[], seed: number, dtype: "float32" | "float64" = "float32"): Tensor =>
  tensor(
    Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 2),
    dtype,
    shape,
  );

const move = (t: Tensor, perm: readonly number[]): Tensor =>
  permuted(
    t,
    t.shape,
    perm,
    perm.map((axis) => t.shape[axis]!),
  );
const toFirst = (t: Tensor): Tensor => move(t, [0, 3, 1, 2]);
const toLast = (t: Tensor): Tensor => move(t, [0, 2, 3, 1]);

/** [n, h, w, c] as [n, c, h, w], for attributes that have one entry, or a pair, for each dim. */
function listFirst(list: readonly number[]): number[] {
  const width = list.length / 4;
  return [0, 3, 1, 2].flatMap((axis) => list.slice(axis * width, (axis + 1) * width));
}

const attrsFirst = (attrs: Attrs): Attrs => ({
  ...Object.fromEntries(
    Object.entries(attrs).map(([k, v]) => [k, typeof v === "string" || v.length === 0 ? v : listFirst(v)]),
  ),
  data_format: "NCHW",
});

/** The op's value by its host kernel. */
async function byHost(type: string, inputs: readonly Tensor[], attrs: Attrs): Promise<Tensor> {
  const g = new Graph(CORE_OPS);
  const { op } = g.add(
    type,
    inputs.map((t) => g.constant(t)),
    { attrs },
  );
  const def = op.needDef();
  if (typeof def.host !== "function") throw new Error(`${type} has no host kernel`);
  const args = Object.fromEntries(Object.keys(def.inputs).map((name, i) => [name, inputs[i]!]));
  return (await def.host(args as never, op.attrs as never, undefined as never))[0]!;
}

/** The op's value by a session, fed. */
async function bySession(type: string, inputs: readonly Tensor[], attrs: Attrs): Promise<Tensor> {
  const g = new Graph(CORE_OPS);
  const feeds = new Map<Output, Tensor>();
  const args = inputs.map((t) => {
    if (t.dtype === "int32") return g.constant(t);
    const x = g.add("Placeholder", [], { attrs: { dtype: t.dtype, shape: { dims: t.shape } } });
    feeds.set(x, t);
    return x;
  });
  const session = new Session(g);
  try {
    return (await session.run([g.add(type, args, { attrs })], { feeds }))[0]!;
  } finally {
    await session.close();
  }
}

function expectClose(got: Tensor, want: Tensor): void {
  expect(got.shape).toEqual(want.shape);
  const wanted = toNumbers(want);
  toNumbers(got).forEach((v, i) => {
    expect(Math.abs(v - wanted[i]!), `element ${i}`).toBeLessThanOrEqual(1e-4 * (1 + Math.abs(wanted[i]!)));
  });
}

const dims = (shape: readonly number[]): Tensor => tensor([...shape], "int32");
const X = [2, 5, 6, 4];
const W = [3, 2, 4, 3];
const D = [3, 2, 4, 2];
const SAME = { strides: [1, 1, 1, 1], padding: "SAME" };
const STRIDED = { strides: [1, 2, 2, 1], padding: "VALID" };
const EXPLICIT = { strides: [1, 1, 2, 1], padding: "EXPLICIT", explicit_paddings: [0, 0, 1, 2, 0, 1, 0, 0] };
const POOL = { ksize: [1, 2, 3, 1], strides: [1, 2, 2, 1], padding: "SAME" };

describe("channels first is channels last, transposed", () => {
  const rows: [string, Attrs][] = [
    ["SAME", SAME],
    ["strided", STRIDED],
    ["EXPLICIT", EXPLICIT],
    ["dilated", { ...SAME, dilations: [1, 2, 1, 1] }],
  ];
  test.each(rows)("convolution and its gradients, %s", async (_, attrs) => {
    const [x, first] = [image(X, 1), attrsFirst(attrs)];
    for (const [name, f] of [
      ["Conv2D", image(W, 2)],
      ["DepthwiseConv2dNative", image(D, 2)],
    ] as const) {
      const y = await byHost(name, [x, f], attrs);
      const dy = image(y.shape, 3);
      const dx = await byHost(`${name}BackpropInput`, [dims(X), f, dy], attrs);
      const df = await byHost(`${name}BackpropFilter`, [x, dims(f.shape), dy], attrs);
      for (const by of [byHost, bySession]) {
        expectClose(toLast(await by(name, [toFirst(x), f], first)), y);
        const sizes = dims(toFirst(x).shape);
        expectClose(toLast(await by(`${name}BackpropInput`, [sizes, f, toFirst(dy)], first)), dx);
        const inputs = [toFirst(x), dims(f.shape), toFirst(dy)];
        expectClose(await by(`${name}BackpropFilter`, inputs, first), df);
      }
    }
  });

  test("pooling and its gradients", async () => {
    const [x, first] = [image(X, 1), attrsFirst(POOL)];
    const [max, mean] = [await byHost("MaxPool", [x], POOL), await byHost("AvgPool", [x], POOL)];
    const dy = image(max.shape, 3);
    const dMax = await byHost("MaxPoolGrad", [x, max, dy], POOL);
    const dMean = await byHost("AvgPoolGrad", [dims(X), dy], POOL);
    for (const by of [byHost, bySession]) {
      expectClose(toLast(await by("MaxPool", [toFirst(x)], first)), max);
      expectClose(toLast(await by("AvgPool", [toFirst(x)], first)), mean);
      const grads = [toFirst(x), toFirst(max), toFirst(dy)];
      expectClose(toLast(await by("MaxPoolGrad", grads, first)), dMax);
      expectClose(toLast(await by("AvgPoolGrad", [dims(toFirst(x).shape), toFirst(dy)], first)), dMean);
    }
  });

  test("depth and space", async () => {
    const x = image([1, 4, 6, 8], 1);
    for (const type of ["SpaceToDepth", "DepthToSpace"]) {
      const attrs = { block_size: 2 } as unknown as Attrs;
      const y = await byHost(type, [x], attrs);
      for (const by of [byHost, bySession]) {
        expectClose(toLast(await by(type, [toFirst(x)], { ...attrs, data_format: "NCHW" })), y);
      }
    }
  });
});

describe("the gradients of a convolution are its adjoints", () => {
  const dot = (a: Tensor, b: Tensor): number => {
    const other = toNumbers(b);
    return toNumbers(a).reduce((sum, v, i) => sum + v * other[i]!, 0);
  };
  const rows: [string, string, readonly number[], Attrs][] = [
    ["two groups", "Conv2D", [3, 2, 2, 6], SAME],
    ["four groups, strided", "Conv2D", [3, 2, 1, 8], STRIDED],
    ["dilated", "Conv2D", W, { ...SAME, dilations: [1, 2, 3, 1] }],
    ["dilated and strided", "Conv2D", W, { ...STRIDED, dilations: [1, 2, 1, 1] }],
    ["dilated depthwise", "DepthwiseConv2dNative", D, { ...SAME, dilations: [1, 2, 2, 1] }],
    ["EXPLICIT depthwise", "DepthwiseConv2dNative", D, EXPLICIT],
  ];
  test.each(rows)("%s", async (_, type, filterShape, attrs) => {
    const [x, f] = [image(X, 1, "float64"), image(filterShape, 2, "float64")];
    const y = await byHost(type, [x, f], attrs);
    const dy = image(y.shape, 3, "float64");
    const want = dot(dy, y);
    const dx = await byHost(`${type}BackpropInput`, [dims(X), f, dy], attrs);
    const df = await byHost(`${type}BackpropFilter`, [x, dims(filterShape), dy], attrs);
    expect(dot(dx, x)).toBeCloseTo(want, 9);
    expect(dot(df, f)).toBeCloseTo(want, 9);
  });

  test.each(rows)("%s, in a session as on the host", async (_, type, filterShape, attrs) => {
    const [x, f] = [image(X, 1), image(filterShape, 2)];
    const y = await byHost(type, [x, f], attrs);
    const dy = image(y.shape, 3);
    expectClose(await bySession(type, [x, f], attrs), y);
    for (const [name, inputs] of [
      [`${type}BackpropInput`, [dims(X), f, dy]],
      [`${type}BackpropFilter`, [x, dims(filterShape), dy]],
    ] as const) {
      expectClose(await bySession(name, inputs, attrs), await byHost(name, inputs, attrs));
    }
  });
});
