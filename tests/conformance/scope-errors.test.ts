/** Wrong use of names, scopes, variables, fetches and feeds fails with the sentence that TensorFlow Python says: tools/goldens/scope_errors.py. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ErrorCode, isVarscopeError } from "../../src/base/index.ts";
import { Graph, type Output } from "../../src/graph/index.ts";
import { add, CORE_OPS, identity, noOp, placeholder, reduceSum, square } from "../../src/ops/index.ts";
import { Session } from "../../src/run/index.ts";
import { adamOptimizer, gradientDescentOptimizer } from "../../src/train/index.ts";
import {
  createGlobalStep,
  fixedSizePartitioner,
  type GetVariableOptions,
  getGlobalStep,
  getVariable,
  makeTemplate,
  minMaxVariablePartitioner,
  onesInitializer,
  type Partitioner,
  variable,
  variableAxisSizePartitioner,
  variableScope,
  zerosInitializer,
} from "../../src/variables/index.ts";

const GOLDEN = new URL("../goldens/scope-errors/errors.json", import.meta.url);
const ERRORS: Record<string, { class: string; text: string }> = JSON.parse(readFileSync(GOLDEN, "utf8"));

type Case = readonly [code: ErrorCode, run: (g: Graph) => unknown];

const w = (g: Graph, options: GetVariableOptions) => getVariable(g, "w", options);
const sharing = (g: Graph, options: GetVariableOptions) =>
  variableScope(g, "", { reuse: true }, () => w(g, options));
const two = fixedSizePartitioner(2);
const cutBy = (partitioner: unknown) => (g: Graph) =>
  w(g, { shape: [4, 4], partitioner: partitioner as Partitioner });
const x = (g: Graph): Output => placeholder(g, "float32", { shape: [2], name: "x" });
const other = (build: (g: Graph) => Output): Output => build(new Graph(CORE_OPS));
const run = (g: Graph, fetches: unknown, feeds: object = {}) =>
  new Session(g).run(fetches as Output, { feeds: feeds as never });

const SHARING: Record<string, Case> = {
  made_twice: ["ALREADY_EXISTS", (g) => [w(g, { shape: [2] }), w(g, { shape: [2] })]],
  made_twice_resource: [
    "ALREADY_EXISTS",
    (g) => [w(g, { shape: [2], useResource: true }), w(g, { shape: [2], useResource: true })],
  ],
  missing: [
    "NOT_FOUND",
    (g) => variableScope(g, "s", { reuse: true }, () => getVariable(g, "nope", { shape: [2] })),
  ],
  other_shape: ["INVALID_ARGUMENT", (g) => [w(g, { shape: [2, 3] }), sharing(g, { shape: [3, 2] })]],
  other_dtype: [
    "INVALID_ARGUMENT",
    (g) => [w(g, { shape: [2, 3] }), sharing(g, { shape: [2, 3], dtype: "int32" })],
  ],
  no_shape: ["INVALID_ARGUMENT", (g) => getVariable(g, "ns")],
  constant_and_shape: ["INVALID_ARGUMENT", (g) => w(g, { shape: [2], initializer: [1, 2] })],
  value_of_other_dtype: ["INVALID_ARGUMENT", (g) => w(g, { dtype: "float64", initializer: g.constant([1]) })],
  initializer_without_shape: ["INVALID_ARGUMENT", (g) => w(g, { initializer: onesInitializer() })],
  no_default_initializer: [
    "INVALID_ARGUMENT",
    (g) => getVariable(g, "c", { shape: [2], dtype: "complex64" }),
  ],
  default_name_with_reuse: [
    "INVALID_ARGUMENT",
    (g) => variableScope(g, null, { defaultName: "d", reuse: true }, () => 0),
  ],
  no_name: ["INVALID_ARGUMENT", (g) => variableScope(g, null, {}, () => 0)],
  name_of_no_kind: ["INVALID_ARGUMENT", (g) => variableScope(g, 3 as never, {}, () => 0)],
  reuse_of_no_kind: ["INVALID_ARGUMENT", (g) => variableScope(g, "s", { reuse: "yes" as never }, () => 0)],
  minimize_with_reuse: [
    "NOT_FOUND",
    (g) => {
      const v = variableScope(g, "D", {}, () => w(g, { shape: [2] }));
      variableScope(g, "D", { reuse: true }, () => adamOptimizer().minimize(reduceSum(square(v.value()))));
    },
  ],
  no_gradients: [
    "INVALID_ARGUMENT",
    (g) => {
      w(g, { shape: [2] });
      gradientDescentOptimizer({ learningRate: 0.1 }).minimize(reduceSum(g.constant([1])));
    },
  ],
  nothing_to_optimize: [
    "INVALID_ARGUMENT",
    (g) => gradientDescentOptimizer({ learningRate: 0.1 }).minimize(g.constant(1)),
  ],
  unknown_initial_shape: [
    "INVALID_ARGUMENT",
    (g) => variable(g, placeholder(g, "float32", { shape: [null], name: "x" }), { name: "v" }),
  ],
  global_step_twice: ["ALREADY_EXISTS", (g) => [createGlobalStep(g), createGlobalStep(g)]],
  global_step_of_floats: [
    "INVALID_ARGUMENT",
    (g) => {
      getVariable(g, "global_step", { shape: [], initializer: zerosInitializer() });
      getGlobalStep(g);
    },
  ],
  global_step_not_scalar: [
    "INVALID_ARGUMENT",
    (g) => {
      getVariable(g, "global_step", { shape: [2], dtype: "int64", initializer: zerosInitializer() });
      getGlobalStep(g);
    },
  ],
};

const PARTS: Record<string, Case> = {
  partitioned_made_twice: [
    "ALREADY_EXISTS",
    (g) => [w(g, { shape: [4], partitioner: two }), w(g, { shape: [4], partitioner: two })],
  ],
  partitioned_missing: ["NOT_FOUND", (g) => sharing(g, { shape: [4], partitioner: two })],
  partitioned_other_shape: [
    "INVALID_ARGUMENT",
    (g) => [w(g, { shape: [4], partitioner: two }), sharing(g, { shape: [5] })],
  ],
  partitioned_other_dtype: [
    "INVALID_ARGUMENT",
    (g) => [w(g, { shape: [4], partitioner: two }), sharing(g, { shape: [4], dtype: "int32" })],
  ],
  partitioned_other_parts: [
    "INVALID_ARGUMENT",
    (g) => [
      w(g, { shape: [4], partitioner: two }),
      sharing(g, { shape: [4], partitioner: fixedSizePartitioner(3) }),
    ],
  ],
  partitioned_then_plain: [
    "INVALID_ARGUMENT",
    (g) => [w(g, { shape: [4], partitioner: two }), w(g, { shape: [4] })],
  ],
  plain_then_partitioned: [
    "INVALID_ARGUMENT",
    (g) => [w(g, { shape: [4] }), w(g, { shape: [4], partitioner: two })],
  ],
  partitioned_unknown_shape: ["INVALID_ARGUMENT", (g) => w(g, { shape: [null, 4], partitioner: two })],
  partitioner_of_other_rank: ["INVALID_ARGUMENT", cutBy(() => [2])],
  partitioner_of_zero: ["INVALID_ARGUMENT", cutBy(() => [0, 1])],
  partitioner_of_two_axes: ["INVALID_ARGUMENT", cutBy(() => [2, 2])],
  partitioner_of_no_list: ["INVALID_ARGUMENT", cutBy(() => 2)],
  partitioner_without_bytes: ["INVALID_ARGUMENT", () => variableAxisSizePartitioner(0)],
  partitioner_beyond_axes: [
    "INVALID_ARGUMENT",
    (g) => w(g, { shape: [4], partitioner: minMaxVariablePartitioner({ maxPartitions: 2, axis: 1 }) }),
  ],
  template_without_name: ["INVALID_ARGUMENT", (g) => makeTemplate(g, null as never, () => 0)],
  template_trains_more: [
    "INVALID_ARGUMENT",
    (g) => {
      const made = makeTemplate(g, "t", () => variable(g, 1));
      made();
      made();
    },
  ],
  template_same_unique_name: [
    "ALREADY_EXISTS",
    (g) => {
      const make = () => makeTemplate(g, "t", () => w(g, { shape: [1] }), { uniqueName: "u" });
      make()();
      make()();
    },
  ],
};

const NAMES: Record<string, Case> = {
  bad_op_name: ["INVALID_ARGUMENT", (g) => g.constant(1, { name: "a b" })],
  bad_op_name_start: ["INVALID_ARGUMENT", (g) => g.constant(1, { name: "_a" })],
  op_name_with_colon: ["INVALID_ARGUMENT", (g) => g.constant(1, { name: "a:0" })],
  bad_root_scope: ["INVALID_ARGUMENT", (g) => g.nameScope("_a", () => 0)],
  bad_inner_scope: ["INVALID_ARGUMENT", (g) => g.nameScope("a", () => g.nameScope("b c", () => 0))],
  tensor_name_without_index: ["INVALID_ARGUMENT", (g) => [x(g), g.output("x")]],
  tensor_name_of_nothing: ["INVALID_ARGUMENT", (g) => g.output("x")],
  tensor_of_missing_op: ["NOT_FOUND", (g) => g.output("nope:0")],
  tensor_of_high_index: ["NOT_FOUND", (g) => [x(g), g.output("x:3")]],
  op_by_tensor_name: ["INVALID_ARGUMENT", (g) => [x(g), g.operation("x:0")]],
  op_of_missing_name: ["NOT_FOUND", (g) => g.operation("nope")],
  two_graphs: [
    "INVALID_ARGUMENT",
    (g) =>
      add(
        other((h) => h.constant([1], { name: "a" })),
        g.constant([1], { name: "b" }),
      ),
  ],
  finalized_op: ["FAILED_PRECONDITION", (g) => [g.finalize(), g.constant(1)]],
  finalized_collection: ["FAILED_PRECONDITION", (g) => [g.finalize(), g.addToCollection("mine", 1)]],
};

const SESSIONS: Record<string, Case> = {
  empty_graph: ["FAILED_PRECONDITION", (g) => run(g, [])],
  closed_session: [
    "FAILED_PRECONDITION",
    async (g) => {
      const one = g.constant(1);
      const session = new Session(g);
      await session.close();
      await session.run(one);
    },
  ],
  uninitialized: ["FAILED_PRECONDITION", (g) => run(g, w(g, { shape: [2] }))],
  uninitialized_resource: [
    "FAILED_PRECONDITION",
    (g) => run(g, getVariable(g, "rw", { shape: [2], useResource: true })),
  ],
  missing_feed: ["INVALID_ARGUMENT", (g) => run(g, identity(x(g)))],
  missing_feed_of_unknown_shape: [
    "INVALID_ARGUMENT",
    (g) => run(g, identity(placeholder(g, "int64", { name: "x" }))),
  ],
  missing_feed_of_unknown_dim: [
    "INVALID_ARGUMENT",
    (g) => run(g, identity(placeholder(g, "int64", { shape: [null, 2], name: "x" }))),
  ],
  feed_of_other_shape: ["INVALID_ARGUMENT", (g) => run(g, x(g), { "x:0": [1] })],
  feed_of_a_tensor: ["INVALID_ARGUMENT", (g) => run(g, x(g), { "x:0": g.constant([1, 2]) })],
  feed_of_missing_tensor: ["NOT_FOUND", (g) => run(g, x(g), { "y:0": [1, 2] })],
  feed_of_other_graph: [
    "INVALID_ARGUMENT",
    (g) => {
      const y = other((h) => placeholder(h, "float32", { shape: [2], name: "y" }));
      return run(g, x(g), new Map([[y, [1, 2]]]));
    },
  ],
  fetch_nothing: ["INVALID_ARGUMENT", (g) => [g.constant(1), run(g, null)][1]],
  fetch_inner_nothing: ["INVALID_ARGUMENT", (g) => run(g, [g.constant(1), null])],
  fetch_number: ["INVALID_ARGUMENT", (g) => [g.constant(1), run(g, 3)][1]],
  fetch_missing_tensor: ["NOT_FOUND", (g) => [g.constant(1), run(g, "nope:0")][1]],
  fetch_missing_op: ["NOT_FOUND", (g) => [g.constant(1), run(g, "nope")][1]],
  fetch_of_other_graph: [
    "INVALID_ARGUMENT",
    (g) =>
      [
        g.constant(1),
        run(
          g,
          other((h) => h.constant(1, { dtype: "int32", name: "y" })),
        ),
      ][1],
  ],
  fetch_op_of_other_graph: [
    "INVALID_ARGUMENT",
    (g) => [g.constant(1), run(g, noOp(new Graph(CORE_OPS), "y"))][1],
  ],
};

/** What Python alone says (objects as text, its types, its debug information) is left out on both sides. */
const bare = (text: string): string =>
  text
    .replaceAll(/["']?<tf\.Variable ('[^']*') shape=[^>]*>["']?/g, "$1")
    .replaceAll(/Tensor\("([^"]*)", shape=(?:\([^)]*\)|<unknown>), dtype=\w+\)/g, "$1")
    .replaceAll(/name: "(\w+)"\nop: "\w+"\n/g, "$1")
    .replaceAll("Tensor ", "")
    .replaceAll("(?, 4)", "(None, 4)")
    .replace(/re\.compile\('(.*)'\)/, (_, pattern: string) => pattern.replaceAll("\\\\", "\\"))
    .replace(/(?<=\ba )int\b|(?<=")int(?=")/g, "number")
    .replace(/ \(graphs are .*/, "")
    .replace(/ Acceptable feed values include .*/, "")
    .replace(/ Debug info: .*/, "");

async function errorOf(body: (g: Graph) => unknown): Promise<unknown> {
  try {
    await body(new Graph(CORE_OPS));
  } catch (e) {
    return e;
  }
  return null;
}

test("there is a situation for each golden", () => {
  const cases = { ...SHARING, ...PARTS, ...NAMES, ...SESSIONS };
  expect(Object.keys(cases).sort()).toEqual(Object.keys(ERRORS).sort());
});

describe.each(Object.entries({ SHARING, PARTS, NAMES, SESSIONS }))("%s", (_, cases) => {
  test.each(Object.keys(cases))("%s says what TensorFlow says", async (name) => {
    const [code, body] = cases[name]!;
    const error = await errorOf(body);
    if (!isVarscopeError(error)) throw error ?? new Error("nothing was thrown");
    expect(error.code).toBe(code);
    expect(bare(error.what)).toContain(bare(ERRORS[name]!.text));
  });
});
