/** Volumes where TensorFlow's plain CPU kernels have no golden: channels first, dilations, groups; and sessions against host kernels. */

import { describe, expect, test } from "vitest";
import { sizeOf, type Tensor, tensor, toNumbers } from "../base/index.ts";
import { Graph, type Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS } from "./index.ts";
import { permuted } from "./kernels/rearrange.ts";

type Attrs = Record<string, string | readonly number[]>;

/** Numbers that repeat nowhere and favour no sign; or few, with ties. */
const volume = (shape: readonly number[], seed: number, ties = false): Tensor =>
  tensor(
    Array.from({ length: sizeOf(shape) }, (_, i) => {
      const v = Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 2;
      return ties ? Math.max(0, Math.round(v)) : v;
    }),
    "float32",
    shape,
  );

const move = (t: Tensor, perm: readonly number[]): Tensor =>
  permuted(
    t,
    t.shape,
    perm,
    perm.map((axis) => t.shape[axis]!),
  );
const toFirst = (t: Tensor): Tensor => move(t, [0, 4, 1, 2, 3]);
const toLast = (t: Tensor): Tensor => move(t, [0, 2, 3, 4, 1]);

const attrsFirst = (attrs: Attrs): Attrs => ({
  ...Object.fromEntries(
    Object.entries(attrs).map(([k, v]) => [
      k,
      typeof v === "string" ? v : [0, 4, 1, 2, 3].map((axis) => v[axis]!),
    ]),
  ),
  data_format: "NCDHW",
});

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

/** In a session, fed; batches of unknown size if asked. */
async function bySession(
  type: string,
  inputs: readonly Tensor[],
  attrs: Attrs,
  free = false,
): Promise<Tensor> {
  const g = new Graph(CORE_OPS);
  const feeds = new Map<Output, Tensor>();
  const args = inputs.map((t) => {
    if (t.dtype === "int32") return g.constant(t);
    const dims = free ? [null, ...t.shape.slice(1)] : t.shape;
    const x = g.add("Placeholder", [], { attrs: { dtype: t.dtype, shape: { dims } } });
    feeds.set(x, t);
    return x;
  });
  await using session = new Session(g);
  return (await session.run([g.add(type, args, { attrs })], { feeds }))[0]!;
}

function expectClose(got: Tensor, want: Tensor): void {
  expect(got.shape).toEqual(want.shape);
  const wanted = toNumbers(want);
  const worst = toNumbers(got).reduce(
    (most, v, n) => Math.max(most, Math.abs(v - wanted[n]!) / (1 + Math.abs(wanted[n]!))),
    0,
  );
  expect(worst).toBeLessThan(1e-4);
}

const dims = (shape: readonly number[]): Tensor => tensor([...shape], "int32");
const strided = (d: number, h: number, w: number) => [1, d, h, w, 1];
const SAME = { strides: strided(1, 1, 1), padding: "SAME" };

const CONVS: [string, readonly number[], readonly number[], Attrs][] = [
  ["SAME", [2, 4, 5, 6, 2], [3, 2, 3, 2, 3], SAME],
  ["VALID", [2, 4, 5, 6, 2], [3, 2, 3, 2, 3], { ...SAME, padding: "VALID" }],
  ["strided", [2, 5, 5, 6, 2], [3, 3, 2, 2, 4], { strides: strided(2, 2, 3), padding: "SAME" }],
  [
    "strided wider than the kernel",
    [1, 5, 6, 4, 3],
    [1, 1, 1, 3, 2],
    { strides: strided(2, 2, 2), padding: "SAME" },
  ],
  [
    "VALID, with planes left over",
    [1, 6, 6, 4, 3],
    [2, 2, 2, 3, 2],
    { strides: strided(3, 2, 2), padding: "VALID" },
  ],
  ["dilated", [1, 7, 6, 5, 2], [3, 2, 2, 2, 3], { ...SAME, dilations: strided(2, 1, 2) }],
  [
    "dilated and strided",
    [1, 7, 6, 5, 2],
    [2, 2, 2, 2, 3],
    { ...SAME, strides: strided(2, 1, 1), dilations: strided(3, 2, 1) },
  ],
  [
    "one window, strides past the end",
    [1, 3, 4, 4, 2],
    [2, 2, 2, 2, 3],
    { strides: strided(1e9, 1, 1), padding: "SAME" },
  ],
  ["one plane deep", [2, 1, 6, 5, 2], [1, 3, 3, 2, 3], SAME],
  ["blocks of channels", [2, 8, 4, 4, 16], [3, 3, 3, 16, 32], SAME],
  [
    "blocks of channels, strided",
    [2, 7, 4, 4, 32],
    [3, 3, 3, 32, 16],
    { ...SAME, strides: strided(2, 2, 2) },
  ],
  ["blocks of channels from few", [1, 16, 4, 4, 1], [3, 3, 3, 1, 16], SAME],
];

describe.each(CONVS)("a convolution of volumes, %s", (_, xShape, fShape, attrs) => {
  test("is the same channels first, in a session, and for batches of any size", async () => {
    const [x, f] = [volume(xShape, 1), volume(fShape, 2)];
    const y = await byHost("Conv3D", [x, f], attrs);
    const dy = volume(y.shape, 3);
    const rows: [string, Tensor[], Tensor[], Tensor][] = [
      ["Conv3D", [x, f], [toFirst(x), f], y],
      [
        "Conv3DBackpropInputV2",
        [dims(xShape), f, dy],
        [dims(toFirst(x).shape), f, toFirst(dy)],
        await byHost("Conv3DBackpropInputV2", [dims(xShape), f, dy], attrs),
      ],
      [
        "Conv3DBackpropFilterV2",
        [x, dims(fShape), dy],
        [toFirst(x), dims(fShape), toFirst(dy)],
        await byHost("Conv3DBackpropFilterV2", [x, dims(fShape), dy], attrs),
      ],
    ];
    for (const [type, last, first, want] of rows) {
      const moved = type === "Conv3DBackpropFilterV2" ? (t: Tensor) => t : toLast;
      expectClose(await bySession(type, last, attrs), want);
      for (const by of [byHost, bySession])
        expectClose(moved(await by(type, first, attrsFirst(attrs))), want);
    }
    expectClose(await bySession("Conv3D", [x, f], attrs, true), y);
  });

  test("has gradients that are its adjoints", async () => {
    const dot = (a: Tensor, b: Tensor): number => {
      const other = toNumbers(b);
      return toNumbers(a).reduce((sum, v, i) => sum + v * other[i]!, 0);
    };
    const [x, f] = [volume(xShape, 1), volume(fShape, 2)];
    const y = await byHost("Conv3D", [x, f], attrs);
    const dy = volume(y.shape, 3);
    const dx = await byHost("Conv3DBackpropInputV2", [dims(xShape), f, dy], attrs);
    const df = await byHost("Conv3DBackpropFilterV2", [x, dims(fShape), dy], attrs);
    expect(dot(dx, x) / dot(dy, y)).toBeCloseTo(1, 4);
    expect(dot(df, f) / dot(dy, y)).toBeCloseTo(1, 4);
  });
});

const POOLS: [string, readonly number[], Attrs][] = [
  ["side by side", [2, 4, 4, 6, 3], { ksize: strided(2, 2, 2), strides: strided(2, 2, 2), padding: "VALID" }],
  ["overlapping", [1, 5, 6, 7, 2], { ksize: strided(3, 3, 3), strides: strided(2, 2, 2), padding: "SAME" }],
  ["stride 1", [1, 4, 3, 5, 2], { ksize: strided(2, 3, 2), strides: strided(1, 1, 1), padding: "SAME" }],
  ["planes alone", [1, 3, 4, 6, 2], { ksize: strided(1, 2, 2), strides: strided(1, 2, 2), padding: "VALID" }],
  ["depth alone", [1, 6, 4, 3, 2], { ksize: strided(3, 1, 1), strides: strided(2, 1, 1), padding: "SAME" }],
  [
    "strides wider than windows",
    [1, 7, 5, 4, 2],
    { ksize: strided(2, 1, 1), strides: strided(3, 2, 2), padding: "VALID" },
  ],
  [
    "one window, strides past the end",
    [1, 3, 2, 4, 2],
    { ksize: strided(2, 2, 3), strides: strided(1e9, 1e9, 1e9), padding: "SAME" },
  ],
  [
    "blocks of channels",
    [2, 4, 4, 6, 16],
    { ksize: strided(2, 2, 2), strides: strided(2, 2, 2), padding: "SAME" },
  ],
  [
    "blocks of channels, overlapping",
    [1, 5, 5, 4, 32],
    { ksize: strided(3, 3, 2), strides: strided(2, 2, 1), padding: "SAME" },
  ],
];

describe.each(POOLS)("pooling of volumes, %s", (_, shape, attrs) => {
  test("is the same channels first, in a session, and for batches of any size", async () => {
    const x = volume(shape, 1, true);
    const [max, mean] = [await byHost("MaxPool3D", [x], attrs), await byHost("AvgPool3D", [x], attrs)];
    const dy = volume(max.shape, 3);
    const rows: [string, Tensor[], Tensor[], Tensor][] = [
      ["MaxPool3D", [x], [toFirst(x)], max],
      ["AvgPool3D", [x], [toFirst(x)], mean],
      [
        "MaxPool3DGrad",
        [x, max, dy],
        [x, max, dy].map(toFirst),
        await byHost("MaxPool3DGrad", [x, max, dy], attrs),
      ],
      [
        "AvgPool3DGrad",
        [dims(shape), dy],
        [dims(toFirst(x).shape), toFirst(dy)],
        await byHost("AvgPool3DGrad", [dims(shape), dy], attrs),
      ],
    ];
    for (const [type, last, first, want] of rows) {
      expectClose(await bySession(type, last, attrs), want);
      for (const by of [byHost, bySession])
        expectClose(toLast(await by(type, first, attrsFirst(attrs))), want);
    }
    expectClose(await bySession("MaxPool3D", [x], attrs, true), max);
    expectClose(await bySession("MaxPool3DGrad", [x, max, dy], attrs, true), rows[2]![3]);
  });
});

test("two groups, on the host", async () => {
  const [x, f] = [volume([1, 2, 3, 3, 4], 1), volume([2, 2, 2, 2, 4], 2)];
  const y = await bySession("Conv3D", [x, f], SAME);
  const half = (t: Tensor, i: number): Tensor => {
    const c = t.shape.at(-1)! / 2;
    const data = toNumbers(t).filter((_, k) => Math.floor(k / c) % 2 === i);
    return tensor(data, "float32", [...t.shape.slice(0, -1), c]);
  };
  for (const i of [0, 1]) expectClose(half(y, i), await byHost("Conv3D", [half(x, i), half(f, i)], SAME));
});

test("volumes of unknown depth, height and width run at any size", async () => {
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], {
    attrs: { dtype: "float32", shape: { dims: [null, null, null, null, 2] } },
  });
  const pool = { ksize: strided(2, 2, 2), strides: strided(2, 2, 2), padding: "SAME" };
  const y = g.add(
    "MaxPool3D",
    [g.add("Conv3D", [x, g.constant(volume([2, 2, 2, 2, 3], 2))], { attrs: SAME })],
    {
      attrs: pool,
    },
  );
  await using session = new Session(g);
  for (const shape of [
    [1, 3, 4, 5, 2],
    [2, 4, 4, 3, 2],
    [1, 1, 2, 6, 2],
  ]) {
    const fed = volume(shape, 1);
    const conv = await byHost("Conv3D", [fed, volume([2, 2, 2, 2, 3], 2)], SAME);
    const [got] = await session.run([y], { feeds: new Map([[x, fed]]) });
    expectClose(got!, await byHost("MaxPool3D", [conv], pool));
  }
});
