/** Sizes that would exhaust memory are refused before memory is taken, on every way to a kernel. */

import { expect, test } from "vitest";
import { isVarscopeError } from "../base/index.ts";
import type { Output } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import * as ops from "./index.ts";

const HUGE = 2 ** 30;

const PROGRAMS: Readonly<Record<string, (x: Output) => Output>> = {
  resize: (x) => ops.image.resize(x, [HUGE, HUGE]),
  "nearest resize": (x) => ops.image.resizeNearestNeighbor(x, [HUGE, HUGE]),
  "antialiased resize": (x) => ops.image.resize(x, [HUGE, 1], { antialias: true }),
  crop: (x) => ops.image.cropAndResize(x, [[0, 0, 1, 1]], [0], [HUGE, HUGE]),
  patches: (x) =>
    ops.image.extractPatches(x, {
      sizes: [1, HUGE, 1, 1],
      strides: [1, 1, 1, 1],
      rates: [1, 1, 1, 1],
      padding: "SAME",
    }),
};

test.each(Object.entries(PROGRAMS))("a huge %s is RESOURCE_EXHAUSTED", async (_, build) => {
  const g = ops.newGraph();
  const x = ops.placeholder(g, "float32", { shape: [1, 4, 4, 1] });
  await using session = new Session(g);
  const zeros = { dtype: "float32", shape: [1, 4, 4, 1], data: new Float32Array(16) } as const;
  const failed = await session.run(build(x), { feeds: new Map([[x, zeros]]) }).then(
    () => null,
    (e: unknown) => e,
  );
  expect(isVarscopeError(failed, "RESOURCE_EXHAUSTED"), String(failed)).toBe(true);
});
