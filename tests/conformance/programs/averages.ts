/** @file Programs of moving averages: twins of tools/goldens/averages.py. */

import { type Graph, group, type Operation, type Output } from "../../../src/graph/index.ts";
import { index } from "../../../src/ops/index.ts";
import { saver } from "../../../src/train/index.ts";
import {
  assignMovingAverage,
  ExponentialMovingAverage,
  type ExponentialMovingAverageOptions,
  fixedSizePartitioner,
  getOrCreateGlobalStep,
  getVariable,
  globalVariablesInitializer,
  onesInitializer,
  type PartitionedVariable,
  type Variable,
  variable,
  variableScope,
  writeVariable,
} from "../../../src/variables/index.ts";
import { both, holder, mul, type Program, use } from "./pieces.ts";

const average = (decay: number | Output, options: ExponentialMovingAverageOptions = {}) =>
  new ExponentialMovingAverage(decay, options);

/** What functions say becomes a Const, compared with the nodes. */
const namesOf = (g: Graph, names: readonly string[], name: string): Output =>
  g.constant([...names], { dtype: "string", name });

const restoreMap = (map: Readonly<Record<string, Variable>>): string[] =>
  Object.entries(map)
    .map(([key, v]) => `${key}=${v.op.name}`)
    .sort();

const meanOfRows = (x: Output, name = "Mean"): Output =>
  x.graph.nameScope(name, (scope) => {
    const over = x.graph.constant(0, { dtype: "int32", name: "reduction_indices" });
    return x.graph.add("Mean", [x, over], { name: scope });
  });

const firstRow = (x: Output): Output =>
  x.graph.nameScope("strided_slice", (scope) => {
    const at = (i: number, name: string): Output => x.graph.constant([i], { dtype: "int32", name });
    const bounds = [at(0, "stack"), at(1, "stack_1"), at(1, "stack_2")];
    return x.graph.add("StridedSlice", [x, ...bounds], { name: scope, attrs: { shrink_axis_mask: 1 } });
  });

function ema(g: Graph, resource: boolean): void {
  use(g, resource);
  const x = holder(g, "x", [2, 2]);
  const step = getOrCreateGlobalStep(g);
  const [w, b] = variableScope(g, "net", {}, () => {
    const made = [
      getVariable(g, "w", { initializer: [10, 20] }),
      getVariable(g, "b", { initializer: [1, -1] }),
    ] as const;
    getVariable(g, "moving", { initializer: [5], trainable: false });
    return made;
  });
  const moves = [
    writeVariable(w, "sub", meanOfRows(x)).op,
    writeVariable(b, "add", firstRow(x)).op,
    writeVariable(step, "add", 1).op,
  ];
  const e = average(0.9, { numUpdates: step });
  g.controlDependencies(moves, () => group(g, [e.apply(g)], "train"));
  namesOf(
    g,
    [w, b, step].map((v) => e.averageName(v)),
    "names",
  );
  const map = e.variablesToRestore(g);
  namesOf(g, restoreMap(map), "restore");
  namesOf(g, restoreMap(e.variablesToRestore(g, [w])), "restore_w");
  saver(g, { varList: Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1))) });
  globalVariablesInitializer(g);
}

function emaScopes(g: Graph, resource: boolean): void {
  use(g, resource);
  const [first, second] = [average(0.5, { name: "E" }), average(0.25, { name: "E" })];
  const w = variableScope(g, "a", {}, () => {
    const made = getVariable(g, "w", { initializer: 1 });
    namesOf(g, [first.averageName(made)], "before");
    first.apply([made]);
    namesOf(g, [first.averageName(made), second.averageName(made)], "after");
    return made;
  });
  const v = getVariable(g, "v", { initializer: 2 });
  g.nameScope("ns", () => {
    first.apply([v]);
    namesOf(g, [first.averageName(v), first.averageName(w)], "in_ns");
  });
  second.apply([w, v]);
  namesOf(g, [second.averageName(w), second.averageName(v)], "second");
  const u = getVariable(g, "u", { initializer: 3 });
  namesOf(g, [second.averageName(u)], "untracked");
  second.apply([w, u]);
  variableScope(g, "a", { reuse: true }, () => {
    namesOf(g, [average(0.5, { name: "F" }).averageName(w)], "reused");
  });
  namesOf(g, restoreMap(second.variablesToRestore(g)), "restore");
}

function emaTensors(g: Graph, resource: boolean): void {
  use(g, resource);
  const x = holder(g, "x", [2, 2]);
  const y = meanOfRows(x, "y");
  const ones = g.constant([1, 3], { name: "ones" });
  const loose = g.add("PlaceholderWithDefault", [ones], {
    name: "loose",
    attrs: { shape: { dims: [null] } },
  });
  const w = getVariable(g, "w", { initializer: [4, 2] });
  const [plain, debiased] = [average(0.9), average(0.9, { zeroDebias: true, name: "D" })];
  const ops = [plain.apply([y, w]), debiased.apply([y, w]), average(0.5, { name: "L" }).apply([loose])];
  group(g, ops, "train");
  namesOf(g, [plain.averageName(y), debiased.averageName(y)], "names");
}

function emaSettings(g: Graph): void {
  use(g, false);
  const start = (dtype: "float64" | "float16"): Output => g.constant([1, 2], { dtype });
  const d = getVariable(g, "d", { initializer: start("float64") });
  const h = getVariable(g, "h", { initializer: start("float16") });
  const f = getVariable(g, "f", { initializer: [1, 2] });
  const count = getVariable(g, "count", { initializer: 0, trainable: false });
  const n = g.constant(3, { dtype: "int32", name: "n" });
  const ops: (Operation | Output)[] = [
    average(0.75, { numUpdates: 5 }).apply([d]),
    average(g.constant(0.5, { name: "half" }), {
      numUpdates: g.constant(2, { name: "two" }),
      name: "T",
    }).apply([h]),
    average(0.99, { numUpdates: n, name: "N" }).apply([f]),
    average(0.99, { numUpdates: count, name: "C" }).apply([f]),
  ];
  for (const v of [d, f]) ops.push(v.assignAdd(v));
  group(g, ops, "apart");
}

function emaGuarded(g: Graph, resource: boolean): void {
  use(g, resource);
  const a = getVariable(g, "a", { initializer: [1, 2] });
  const b = variable(g, mul(a, 2), { name: "b" });
  const moved = writeVariable(a, "add", [1, 1]).op;
  g.controlDependencies([moved], () => group(g, [average(0.5).apply([a, b])], "train"));
  globalVariablesInitializer(g);
}

const readBeforeWrite =
  (verb: "assign" | "add"): Program =>
  (g) => {
    use(g, false);
    const v = getVariable(g, "v", { initializer: [1, 2] });
    const read = v.value();
    g.controlDependencies([writeVariable(v, verb, [5, 7]).op], () => {
      g.add("Mul", [read, 10], { name: "product" });
      g.add("Identity", [read], { name: "same" });
    });
  };

function emaPartitioned(g: Graph, resource: boolean): void {
  use(g, resource);
  const x = holder(g, "x", [2, 2]);
  const { parts } = variableScope(g, "vs", { partitioner: fixedSizePartitioner(2) }, () =>
    getVariable<PartitionedVariable>(g, "w", { shape: [2, 2], initializer: onesInitializer() }),
  );
  const moves = parts.map((part, i) => writeVariable(part, "sub", index(x, [{ from: i, to: i + 1 }])).op);
  g.controlDependencies(moves, () => group(g, [average(0.75, { name: "E" }).apply(g)], "train"));
  namesOf(g, Object.keys(average(0.75, { name: "E" }).variablesToRestore(g)).sort(), "restore");
}

function debias(g: Graph, resource: boolean): void {
  use(g, resource);
  const y = meanOfRows(holder(g, "x", [2, 2]));
  const [v, w, first] = variableScope(g, "one", {}, () =>
    variableScope(g, "two", {}, () => {
      const v = getVariable(g, "v", { initializer: [10, 10], trainable: false });
      const first = assignMovingAverage(v, y, 0.9);
      const w = getVariable(g, "w", { initializer: [1, 1], trainable: false });
      assignMovingAverage(v, y, g.constant(0.5, { name: "half" }), { name: "again" });
      return [v, w, first] as const;
    }),
  );
  const plain = assignMovingAverage(w, v, g.constant(0.25), { zeroDebias: false });
  group(g, [first.op], "train");
  group(g, [plain.op], "plain");
}

export const AVERAGE_PROGRAMS: Record<string, Program> = {
  ...both("ema", ema),
  ...both("ema_scopes", emaScopes),
  ...both("ema_tensors", emaTensors),
  ema_settings: emaSettings,
  ...both("ema_guarded", emaGuarded),
  read_before_write_assign: readBeforeWrite("assign"),
  read_before_write_assign_add: readBeforeWrite("add"),
  ...both("ema_partitioned", emaPartitioned),
  ...both("debias", debias),
};
