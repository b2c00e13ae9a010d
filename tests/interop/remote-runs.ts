/** @file Runs on a cluster: values of every dtype, errors, graphs that grow, shared variables, cancelling, steps in parts, traces. */

import {
  CORE_OPS,
  type DType,
  fromData,
  getVariable,
  globalVariablesInitializer,
  identity,
  multiply,
  newGraph,
  onesInitializer,
  parseGraphDef,
  placeholder,
  resetCluster,
  Session,
  type Tensor,
  tensor,
  toNumbers,
} from "varscope";
import { expect, test } from "vitest";
import type { Servers } from "../../examples/cluster/servers.ts";
import { feedsOf, gradientsOf, graphOf, PROGRAMS, readTensor } from "../conformance/function-gradients.ts";
import { bits, caught } from "./measures.ts";

const DTYPES: readonly DType[] = [
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int8",
  "int16",
  "int32",
  "int64",
  "uint8",
  "uint16",
  "uint32",
  "uint64",
  "bool",
  "complex64",
  "complex128",
  "string",
];

/** Two values of a dtype, the second near its end. */
function valuesOf(dtype: DType): Tensor {
  if (dtype === "string") return tensor(["", "größer\0"], "string");
  if (dtype === "bool") return tensor([true, false], "bool");
  if (dtype === "complex64") return fromData(dtype, [2], Float32Array.of(1, -2, 0.5, 3e38));
  if (dtype === "complex128") return fromData(dtype, [2], Float64Array.of(1, -2, 0.5, 1e308));
  if (dtype === "int64") return tensor([1n, -(2n ** 62n)], dtype);
  if (dtype === "uint64") return tensor([1n, 2n ** 63n], dtype);
  return tensor([1, 100], dtype);
}

/** A queue that nobody fills: taking from it waits for ever. Its ops are not in our registry. */
const QUEUE = `
node { name: "queue" op: "FIFOQueueV2" attr { key: "component_types" value { list { type: DT_FLOAT } } } }
node { name: "take" op: "QueueDequeueV2" input: "queue" attr { key: "component_types" value { list { type: DT_FLOAT } } } }
node { name: "one" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } }
  attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { } float_val: 1 } } } }
node { name: "put" op: "QueueEnqueueV2" input: "queue" input: "one" attr { key: "Tcomponents" value { list { type: DT_FLOAT } } } }
versions { producer: 2474 }`;

const queueGraph = () => parseGraphDef(QUEUE, { registry: CORE_OPS });

/** Tests. @param servers - one parameter server and two workers, once tests run */
export function runsOnCluster(servers: () => Servers): void {
  const target = (): string => servers().target("worker", 0);

  test("every dtype goes there and back", async () => {
    const g = newGraph();
    const pairs = DTYPES.map((dtype) => {
      const x = placeholder(g, dtype, { shape: [2], name: dtype });
      return [identity(x), x, valuesOf(dtype)] as const;
    });
    await using there = new Session(g, { target: target() });
    const feeds = new Map(pairs.map(([, x, value]) => [x, value]));
    const got = await there.run(
      pairs.map(([y]) => y),
      { feeds },
    );
    expect(got.map(bits)).toEqual(pairs.map(([, , value]) => bits(value)));
  });

  test("64 MiB go there and back", async () => {
    const g = newGraph();
    const x = placeholder(g, "float32", { shape: [null] });
    const data = Float32Array.from({ length: 1 << 24 }, (_, i) => i);
    await using there = new Session(g, { target: target() });
    const got = await there.run(multiply(x, 2), {
      feeds: new Map([[x, fromData("float32", [1 << 24], data)]]),
    });
    expect(got.data[(1 << 24) - 1]).toBe(2 * ((1 << 24) - 1));
  });

  test("gradients through functions run there, once the calls are taken apart", async () => {
    for (const program of PROGRAMS.filter((p) => ["loop_in_a_function", "map_and_scan"].includes(p.name))) {
      await resetCluster(target());
      const graph = graphOf(program);
      const names = gradientsOf(graph, program).flatMap((dx) => dx?.name ?? []);
      await using there = new Session(graph, { target: target() });
      await there.run([], { targets: [program.init] });
      const { feeds, gradients: wanted } = program.runs[0]!;
      const got = (await there.run(names, { feeds: feedsOf(feeds) })) as Tensor[];
      for (const [i, want] of wanted.filter((dx) => dx !== null).entries())
        for (const [k, v] of toNumbers(readTensor(want)).entries())
          expect(toNumbers(got[i]!)[k]).toBeCloseTo(v, 4);
    }
  });

  test("errors have TensorFlow's code and sentence, and the node", async () => {
    await resetCluster(target());
    const g = newGraph();
    const x = placeholder(g, "int32", { name: "x" });
    const w = getVariable(g, "unset", { shape: [], initializer: onesInitializer() });
    const ratio = g.add("FloorDiv", [x, 0], { name: "ratio" });
    await using there = new Session(g, { target: target() });
    expect(await caught(there.run(w.snapshot))).toMatchObject({
      code: "FAILED_PRECONDITION",
      what: expect.stringContaining("Attempting to use uninitialized value unset"),
    });
    expect(await caught(there.run(ratio, { feeds: { x: 1 } }))).toMatchObject({
      code: "INVALID_ARGUMENT",
      at: "ratio",
      what: expect.stringContaining("Integer division by zero"),
    });
    expect(await caught(there.run(ratio))).toMatchObject({
      code: "INVALID_ARGUMENT",
      at: "x",
      what: expect.stringContaining("You must feed a value for placeholder tensor 'x'"),
    });
    expect(toNumbers(await there.run(identity(x), { feeds: { x: 3 } }))).toEqual([3]);
  });

  test("a graph may grow between runs", async () => {
    const g = newGraph();
    let y = g.constant(1);
    await using there = new Session(g, { target: target() });
    for (const want of [2, 4, 8]) {
      y = multiply(y, 2);
      expect(toNumbers(await there.run(y))).toEqual([want]);
    }
  });

  test("sessions share variables by name; an isolated one has its own; a reset clears them and ends the sessions", async () => {
    await resetCluster(target());
    const build = () => {
      const g = newGraph();
      const v = getVariable(g, "shared", { shape: [], initializer: onesInitializer(), useResource: true });
      return { g, v, init: globalVariablesInitializer(g), more: v.assignAdd(1) };
    };
    const [a, b] = [build(), build()];
    await using first = new Session(a.g, { target: target() });
    await using second = new Session(b.g, { target: servers().target("worker", 0) });
    await using alone = new Session(b.g, { target: target(), isolateSessionState: true });
    await first.run([], { targets: [a.init] });
    await Promise.all([first.run(a.more), second.run(b.more)]);
    expect(toNumbers(await second.run(b.v))).toEqual([3]);
    expect((await caught(alone.run(b.v))).code).toBe("FAILED_PRECONDITION");
    await resetCluster(target());
    expect((await caught(first.run(a.v))).code).toBe("ABORTED");
    await using fresh = new Session(a.g, { target: target() });
    expect((await caught(fresh.run(a.v))).code).toBe("FAILED_PRECONDITION");
  });

  test("runs overlap: one that waits gets what another gives", async () => {
    await using there = new Session(queueGraph(), { target: target() });
    const taken = there.run("take:0");
    await there.run([], { targets: ["put"] });
    expect(toNumbers((await taken)!)).toEqual([1]);
  });

  test("a run that waits ends by its signal or its time, and the session goes on", async () => {
    await using there = new Session(queueGraph(), { target: target() });
    const abort = new AbortController();
    const waiting = caught(there.run("take:0", { signal: abort.signal }));
    setTimeout(() => abort.abort(), 200);
    expect((await waiting).code).toBe("CANCELLED");
    const start = performance.now();
    expect((await caught(there.run("take:0", { timeoutMs: 300 }))).code).toBe("DEADLINE_EXCEEDED");
    expect(performance.now() - start).toBeLessThan(10_000);
    const signal = AbortSignal.timeout(300);
    expect((await caught(there.run("take:0", { signal }))).code).toBe("DEADLINE_EXCEEDED");
    await there.run([], { targets: ["put"] });
    expect(toNumbers((await there.run("take:0"))!)).toEqual([1]);
  });

  test("a step in parts: what is fed later follows from what was fetched", async () => {
    const g = newGraph();
    const [a, b] = ["a", "b"].map((name) => placeholder(g, "float32", { shape: [], name }));
    const doubled = multiply(a!, 2);
    const product = multiply(doubled, b!);
    await using there = new Session(g, { target: target() });
    const parts = await there.remote!.partialRun([doubled, product], [a!, "b:0"]);
    const first = toNumbers(await parts.run(doubled, new Map([[a!, 3]])))[0]!;
    expect(toNumbers(await parts.run(product, new Map([[b!, first + 1]])))).toEqual([42]);
  });

  test("devices are those of all three tasks, and a trace says which of them ran what", async () => {
    const g = newGraph();
    const [x, y] = [0, 1].map((task) =>
      g.withDevice(`/job:worker/task:${task}`, () => multiply(placeholder(g, "float32", { shape: [] }), 2)),
    );
    await using there = new Session(g, { target: target() });
    const tasks = (await there.remote!.listDevices()).map((d) => d.name).sort();
    expect(tasks).toEqual(
      ["ps", "worker", "worker"].map(
        (job, i) => `/job:${job}/replica:0/task:${i === 2 ? 1 : 0}/device:CPU:0`,
      ),
    );
    const ran = new Set<string>();
    await there.run([x!, y!], {
      feeds: new Map([x!, y!].map((z) => [z.op.inputs[0]!, 1])),
      onMetadata: ({ stepStats }) => {
        for (const { device, nodeStats } of stepStats?.devStats ?? [])
          for (const n of nodeStats) ran.add(`${device} ${n.nodeName}`);
      },
    });
    expect([...ran]).toContain(`/job:worker/replica:0/task:1/device:CPU:0 ${y!.op.name}`);
  });
}
