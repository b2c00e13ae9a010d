/** @file Array functions add the nodes that TensorFlow Python adds, by the same names. The programs are those of tools/goldens/array_names.py. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Graph, type Operation, type Output } from "../graph/index.ts";
import * as ops from "./index.ts";

const GOLDEN = new URL("../../tests/goldens/array-names/programs.json", import.meta.url);
const golden = JSON.parse(readFileSync(GOLDEN, "utf8")) as Record<string, string[]>;

type Dims = (number | null)[];

class Program {
  readonly g = new Graph(ops.CORE_OPS);
  p(...shape: Dims): Output {
    return ops.placeholder(this.g, "float32", { shape });
  }
  anyRank(): Output {
    return ops.placeholder(this.g, "float32");
  }
  int(value: number | number[], dtype: "int32" | "int64" = "int32"): Output {
    return ops.constant(this.g, value, { dtype });
  }
  firstDim(): Output {
    return ops.index(ops.shape(this.p(null)), [0]);
  }
}

const PROGRAMS: Record<string, (t: Program) => void> = {
  zeros: (t) => {
    const { g } = t;
    ops.zeros(g, [2, 3]);
    ops.zeros(g, [2000]);
    ops.zeros(g, ops.shape(t.p(null, 3)));
    ops.zeros(g, [1, t.firstDim()]);
    ops.zeros(g, [], { dtype: "int32" });
    ops.ones(g, [1001]);
    ops.zeros(g, [2], { name: "z" });
    ops.zeros(g, t.int(3));
    ops.ones(g, [2], { dtype: "bool" });
  },
  likes: (t) => {
    ops.zerosLike(t.p(2, 3));
    ops.zerosLike(t.p(2, 2000));
    ops.zerosLike(t.p(null, 3));
    ops.zerosLike(t.p(null, 3), { dtype: "int32" });
    ops.onesLike(t.p(2, 3));
    ops.onesLike(t.p(null, 3));
    ops.onesLike(t.p(2, 3), { name: "q" });
  },
  shapes: (t) => {
    ops.shape(t.p(2, 3));
    ops.shape(t.p(null, 3));
    ops.size(t.p(2, 3));
    ops.size(t.p(null, 3));
    ops.size(t.p(null, 0));
    ops.rank(t.p(2, 3));
    ops.rank(t.anyRank());
    ops.shape(t.p(2, 3), { outType: "int64" });
    ops.shapeN([t.p(2, 3), t.p(null, 3)]);
    ops.reshape(t.p(2, 2), [-1]);
    ops.reshape(t.p(null, 2), [t.firstDim(), 2]);
    ops.squeeze(t.p(1, 2), { axis: 0 });
    ops.expandDims(t.p(2), 0);
  },
  arrange: (t) => {
    ops.transpose(t.p(2, 3));
    ops.transpose(t.p(2, 3), [1, 0]);
    ops.transpose(t.anyRank());
    ops.transpose(t.p(2, 3), undefined, "t");
    ops.reverse(t.p(3), [0]);
    ops.tile(t.p(2), [3]);
    ops.roll(t.p(3), 1, 0);
  },
  join: (t) => {
    const { g } = t;
    ops.concat([t.p(2, 3), t.p(2, 3)], 1);
    ops.concat([t.p(2, 3)], 1);
    ops.split(t.p(2, 4), 2, { axis: 1 });
    ops.split(t.p(2, 4), [1, 3], { axis: 1 });
    ops.stack(g, [t.p(2), t.p(2)], { axis: 1 });
    ops.stack(g, [t.p(2), t.p(2)]);
    ops.unstack(t.p(2, 4), { axis: 1 });
    ops.stack(g, [t.firstDim(), 3]);
  },
  parts: (t) => {
    ops.slice(t.p(4, 4), [0, 1], [2, -1]);
    const x = t.p(4, 4);
    ops.index(x, [0]);
    ops.index(x, [{ from: 1 }, { step: 2 }]);
    ops.index(x, ["...", null]);
    ops.index(x, [{}, t.int(1)]);
    ops.index(x, [{ to: t.int(2) }]);
    ops.index(x, [t.int(1, "int64")]);
    ops.gather(x, [1, 2]);
    ops.gather(x, t.int([1]), { axis: 1 });
    ops.gatherNd(x, [[1, 2]]);
    ops.gather(x, [[0], [1], [1], [1]], { batchDims: 1 });
    ops.scatterNd([[1]], t.p(1, 3), [4, 3]);
  },
  fills: (t) => {
    const { g } = t;
    ops.fill(g, [2, 3], 1);
    ops.range(g, 0, 5);
    ops.oneHot(t.int([1, 2]), 3);
    ops.oneHot(t.int([1]), 3, { onValue: 5, axis: 0 });
    ops.oneHot(t.int([1]), 3, { offValue: 5 });
    ops.cast(t.p(2), "int32");
    ops.broadcastTo(t.p(1), [3]);
    const paddings = [
      [1, 1],
      [0, 0],
    ];
    ops.pad(t.p(2, 2), paddings);
    ops.pad(t.p(2, 2), paddings, { constantValues: 2 });
    ops.pad(t.p(2, 2), paddings, { mode: "REFLECT" });
    const c = ops.placeholder(g, "bool", { shape: [2] });
    ops.where(c);
    ops.where(c, t.p(2), t.p(2));
    ops.bandPart(t.p(3, 3), -1, 0);
    ops.diag(t.p(3));
    ops.diagPart(t.p(3, 3));
  },
  group: (t) => {
    const { g } = t;
    const [a, b] = [ops.noOp(g), ops.noOp(g)];
    ops.group(g, [a, b]);
    const c = g.withDevice("/cpu:0", () => ops.noOp(g, "c"));
    const d = g.withDevice("/gpu:0", () => ops.noOp(g, "d"));
    ops.group(g, [a, c, d]);
    ops.group(g, []);
    ops.tuple(g, [t.p(2), t.p(3)]);
    ops.tuple(g, [t.p(2), null, t.p(3)], { controlInputs: [a] });
    ops.group(g, [c, d], "gg");
  },
};

const describeNode = (op: Operation): string => {
  const inputs = op.inputs.map((x) => (x.index === 0 ? x.op.name : x.name));
  const waits = op.controlInputs.map((x) => `^${x.name}`).sort();
  return `${op.type} ${op.name} <- ${[...inputs, ...waits].join(" ")}`.trimEnd();
};

test.each(Object.keys(PROGRAMS))("%s: nodes and names are TensorFlow's", (name) => {
  const t = new Program();
  PROGRAMS[name]!(t);
  expect(t.g.operations.map(describeNode)).toEqual(golden[name]);
});
