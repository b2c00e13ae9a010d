/** Numbers in hostile graphs: what they would make grow is refused before memory is taken. */
import { expect, test } from "vitest";
import { type Nested, type Tensor, tensor } from "../base/index.ts";
import { type Attrs, Graph, type Input } from "../graph/index.ts";
import { Session } from "../run/index.ts";
import { CORE_OPS } from "./index.ts";

const HUGE = 2n ** 40n;
const long = (v: Nested, shape?: number[]): Tensor => tensor(v, "int64", shape);
const float = (v: Nested, shape?: number[]): Tensor => tensor(v, "float32", shape);
const none = long([], [0, 2]);

type Case = readonly [type: string, inputs: readonly Input[], attrs: Attrs];
const CASES: readonly Case[] = [
  ["SparseToDense", [long([[0n]], [1, 1]), long([HUGE]), float([1]), float(0)], {}],
  ["SparseFillEmptyRows", [none, float([], [0]), long([HUGE, 1n]), float(0)], {}],
  ["SparseReduceSum", [none, float([], [0]), long([HUGE, 1n]), tensor([1], "int32")], {}],
  ["SparseTensorDenseMatMul", [none, float([], [0]), long([HUGE, 1n]), float([[1]])], {}],
  ["SparseSegmentSum", [float([[1]]), long([0n]), long([HUGE])], {}],
  ["SparseSegmentMeanGrad", [float([[1]]), long([0n]), long([0n]), tensor(2 ** 30, "int32")], {}],
  ["RaggedRange", [long(0n), long(HUGE), long(1n)], {}],
  [
    "RaggedTensorToTensor",
    [long(-1n), float([], [0]), float(0), [long(HUGE), long([], [0])]],
    { row_partition_types: ["FIRST_DIM_SIZE", "VALUE_ROWIDS"] },
  ],
  ["DenseBincount", [long([0n]), long(HUGE), float([], [0])], {}],
  [
    "StringNGrams",
    [tensor(["a"], "string"), long([0n, 1n])],
    {
      separator: " ",
      ngram_widths: [2 ** 30],
      left_pad: "",
      right_pad: "",
      pad_width: -1,
      preserve_short_sequences: false,
    },
  ],
];

test.each(CASES)("%s allocates no more than memory holds", async (type, inputs, attrs) => {
  const g = new Graph(CORE_OPS);
  const fed = new Map<ReturnType<typeof g.add>, Tensor>();
  const placed = (x: Input): Input => {
    if (Array.isArray(x)) return x.map(placed);
    const t = x as Tensor;
    const input = g.add("Placeholder", [], { attrs: { dtype: t.dtype, shape: { dims: null } } });
    fed.set(input, t);
    return input;
  };
  const op = g.addOp(type, inputs.map(placed), { attrs });
  await using session = new Session(g);
  await expect(session.run([], { targets: [op], feeds: fed })).rejects.toMatchObject({
    code: "RESOURCE_EXHAUSTED",
  });
});
