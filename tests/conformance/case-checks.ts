/** @file What one case of an op proves, check by check. Start at `CHECKS`. */

import { gradients } from "../../src/autodiff/index.ts";
import { formatShape, isVarscopeError, need, type Tensor, toNumbers, zeros } from "../../src/base/index.ts";
import { readGraphDef, writeGraphDef } from "../../src/formats/graph-def/index.ts";
import {
  type Grad,
  type Graph,
  groupArgs,
  isAbsent,
  isIndexedSlices,
  type Operation,
  type Output,
} from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import { loadRuntime, type Runtime, Session } from "../../src/run/index.ts";
import { loadWasm } from "../../src/run/ort-web.ts";
import { withoutBlocks } from "../../src/run/runtime.ts";
import {
  buildCase,
  type CaseGraph,
  feedsOf,
  isSmall,
  moved,
  plainOutputs,
  widened,
  widenedAttrs,
} from "./case-graph.ts";
import { difference, nodeDifference } from "./compare.ts";
import { type CaseGolden, type GradJson, type OpCase, readTensor, type TensorJson } from "./golden-json.ts";
import { interpret, runHost } from "./interpret.ts";

export interface Subject {
  readonly type: string;
  readonly test: OpCase;
  readonly golden: CaseGolden;
}

type Check = (subject: Subject) => void | Promise<void>;

function fail(what: string): never {
  throw new Error(what);
}

function expectSame(got: Tensor, want: TensorJson | null, label: string, tolerance?: number): void {
  if (want === null) return;
  const found = difference(got, readTensor(want), tolerance);
  if (found !== null) fail(`${label}: ${found}`);
}

interface Engine {
  readonly runtime: Runtime;
  /** the plan has a variable, beside what the case is about: plans without are lowered as frozen graphs, for ONNX Runtime to optimise */
  readonly beside: boolean;
}

function variableBeside(graph: Graph, { beside }: Engine): { init: Operation[]; reads: Output[] } {
  if (!beside) return { init: [], reads: [] };
  const attrs = { dtype: "float32", shape: { dims: [] }, shared_name: "beside" };
  const handle = graph.add("VarHandleOp", [], { name: "beside", attrs });
  const init = graph.addOp("AssignVariableOp", [handle, graph.constant(1, { dtype: "float32" })]);
  const read = graph.add("ReadVariableOp", [handle], { attrs: { dtype: "float32" } });
  return { init: [init], reads: [read] };
}

const hasVariables = (built: CaseGraph): boolean => built.inputs.some((x) => x.kind === "variable");

/** Node and shapes are TensorFlow's; binary GraphDef keeps them. */
function checkNode({ type, test, golden }: Subject): void {
  const built = buildCase(type, test, golden);
  const found = nodeDifference(built.op, golden.node);
  if (found !== null) fail(found);
  built.op.outputs.forEach((x, i) => {
    const want = golden.shapes[i]!;
    if (formatShape(x.shape) !== formatShape(want)) {
      fail(`output ${i} has shape ${formatShape(x.shape)}, TensorFlow's ${formatShape(want)}`);
    }
  });
  const read = readGraphDef(writeGraphDef(built.graph), { registry: CORE_OPS }).operation("op");
  const lost = nodeDifference(read, golden.node);
  if (lost !== null) fail(`after a round trip: ${lost}`);
}

/** The host kernel gives TensorFlow's values. */
async function checkHost({ type, test, golden }: Subject): Promise<void> {
  if (golden.outputs === undefined && golden.after === undefined && golden.then === undefined) return;
  const built = buildCase(type, test, golden);
  if (built.then.length > 0 || built.inputs.some((x) => x.kind === "made"))
    return checkHostChain(built, golden, test);
  const def = built.op.needDef();
  const values = built.inputs.map((x) => x.value);
  if (golden.after !== undefined && def.updateHost !== undefined) {
    const after = def.updateHost(
      groupArgs(def.inputs, built.op.attrs, values) as never,
      built.op.attrs as never,
      built.op,
    );
    const names = Object.keys(def.inputs);
    for (const [name, got] of Object.entries(after)) {
      expectSame(
        got as Tensor,
        golden.after[names.indexOf(name)]!,
        `variable ${name} after updateHost`,
        test.tolerance,
      );
    }
  }
  if (golden.outputs === undefined) return;
  if (isAbsent(def.host)) {
    if (isAbsent(def.lower)) return;
    if (!isAbsent(def.lower) && def.lowers?.(built.op.attrs as never, specsOf(built) as never) !== false)
      return;
    fail(`neither host kernel nor lowering for ${built.op.inputs.map((x) => x.dtype)}`);
  }
  const outputs = await runHost(built.op, values);
  golden.outputs.forEach((want, i) => {
    expectSame(outputs[i]!, want, `host kernel, output ${i}`, test.tolerance);
  });
}

/** The same for an op amid others, of which some make what no case can state: lists, arrays. */
async function checkHostChain(built: CaseGraph, golden: CaseGolden, test: OpCase): Promise<void> {
  const want = [...(golden.outputs ?? []), ...(golden.then ?? [])];
  const got = await interpret([...plainOutputs(built.op), ...built.then], feedsOf(built));
  got.forEach((t, i) => {
    expectSame(t, want[i]!, `host kernels, value ${i}`, test.tolerance);
  });
}

const specsOf = (built: CaseGraph): unknown => {
  const { op } = built;
  const specs = op.inputs.map((x) => ({
    dtype: x.dtype,
    shape: x.shape,
    value: null,
    partial: null,
    handle: x.handle,
  }));
  return groupArgs(op.needDef().inputs, op.attrs, specs);
};

/** A session on this engine gives TensorFlow's values, and leaves the variables as TensorFlow does. */
async function checkSession({ type, test, golden }: Subject, engine: Engine): Promise<void> {
  if (golden.outputs === undefined && golden.after === undefined && golden.then === undefined) return;
  const built = buildCase(type, test, golden);
  const session = new Session(built.graph, { runtime: engine.runtime });
  const beside = variableBeside(built.graph, engine);
  try {
    await session.run([], { targets: [...built.init, ...beside.init] });
    const feeds = feedsOf(built);
    const fetches = [...plainOutputs(built.op), ...built.then];
    const want = [...(golden.outputs ?? []), ...(golden.then ?? [])];
    const values = await session.run([...fetches, ...beside.reads], { feeds, targets: [built.op] });
    values.slice(0, fetches.length).forEach((got, i) => {
      expectSame(got, want[i]!, `session, output ${i}`, test.tolerance);
    });
    for (const [i, want] of Object.entries(golden.after ?? {})) {
      const got = await session.run(need(built.reads.get(Number(i)), "read"));
      expectSame(got, want, `session, variable in_${i}`, test.tolerance);
    }
  } finally {
    await session.close();
  }
}

interface GradGraph extends CaseGraph {
  readonly grads: readonly (Grad | null)[];
  readonly feeds: Map<Output, Tensor>;
}

/** The case with its gradients, as tools/goldens/ops.py asks for them. */
function buildGradients({ type, test, golden }: Subject): { built: GradGraph; first: number } {
  const built = buildCase(type, test, golden);
  const ys = golden.gradYs!.map((i) => built.op.output(i));
  const dys = ys.map((y, i) =>
    built.graph.add("Placeholder", [], {
      name: `dy_${i}`,
      attrs: { dtype: y.dtype, shape: { dims: y.shape } },
    }),
  );
  const xs = built.inputs.map((x) => x.output).filter((x) => /^(float|bfloat|complex)/.test(x.dtype));
  const feeds = feedsOf(built);
  dys.forEach((dy, i) => {
    feeds.set(dy, readTensor(golden.dys![i]!));
  });
  const first = built.graph.operations.length;
  return { built: { ...built, feeds, grads: gradients(ys, xs, { gradYs: dys }) }, first };
}

/** Gradients are the nodes that TensorFlow Python builds. */
function checkGradientNodes(subject: Subject): void {
  const { golden } = subject;
  if (golden.noGradient) {
    if (!isAbsent(CORE_OPS.get(subject.type)!.grad))
      fail("TensorFlow registers no gradient: `grad` must be absent");
    return;
  }
  if (golden.gradNodes === undefined) return;
  const { built, first } = buildGradients(subject);
  const nodes = built.graph.operations.slice(first);
  golden.gradNodes.forEach((want, i) => {
    const found =
      nodes[i] === undefined ? `${want[1]} ${want[0]} is missing` : nodeDifference(nodes[i], want);
    if (found !== null) fail(`gradient node ${i}: ${found}`);
  });
  const extra = nodes[golden.gradNodes.length];
  if (extra !== undefined) fail(`gradient has ${extra.type} ${extra.name}, which TensorFlow does not`);
  const names = built.grads.map((g) => (g === null ? null : isIndexedSlices(g) ? g.values.name : g.name));
  if (names.join() !== golden.gradNames!.join())
    fail(`gradients are ${names}, TensorFlow's ${golden.gradNames}`);
}

const partsOf = (grad: Grad | null, want: GradJson | null): [Output, TensorJson][] => {
  if (grad === null || want === null) {
    if (grad !== null || want !== null)
      fail(`gradient is ${grad === null ? "none" : "there"}, TensorFlow's is not so`);
    return [];
  }
  if (isIndexedSlices(grad)) {
    const slices = want as Exclude<GradJson, TensorJson>;
    return [
      [grad.values, slices.values],
      [grad.indices, slices.indices],
    ];
  }
  return [[grad, want as TensorJson]];
};

/** Values of the case's gradients, compared with TensorFlow's. */
async function checkGradientValues(
  subject: Subject,
  evaluate: (fetches: readonly Output[], built: GradGraph) => Promise<readonly Tensor[] | null>,
): Promise<void> {
  const { test, golden } = subject;
  if (golden.grads === undefined) return;
  const { built } = buildGradients(subject);
  const parts = built.grads.flatMap((g, i) => partsOf(g, golden.grads![i]!));
  if (parts.length === 0 || hasVariables(built)) return;
  const tolerance = test.gradTolerance ?? test.tolerance;
  const values = await evaluate(
    parts.map(([x]) => x),
    built,
  );
  values?.forEach((got, i) => {
    expectSame(got, parts[i]![1], `gradient ${i}`, tolerance);
  });
}

const gradientsByHost: Check = (subject) =>
  checkGradientValues(subject, async (fetches, { feeds }) =>
    hostOnly(fetches) ? interpret(fetches, feeds) : null,
  );

const gradientsBySession = (subject: Subject, engine: Engine): Promise<void> =>
  checkGradientValues(subject, async (fetches, { graph, feeds }) => {
    const beside = variableBeside(graph, engine);
    await using session = new Session(graph, { runtime: engine.runtime });
    await session.run([], { targets: beside.init });
    const values = await session.run([...fetches, ...beside.reads], { feeds });
    return values.slice(0, fetches.length);
  });

/** Whether host kernels alone reach these outputs. */
function hostOnly(fetches: readonly Output[]): boolean {
  const seen = new Set<Output>();
  const reach = (x: Output): boolean => {
    if (seen.has(x) || x.op.type === "Placeholder") return true;
    seen.add(x);
    return !isAbsent(x.op.needDef().host) && x.op.inputs.every(reach);
  };
  return fetches.every(reach);
}

const STEP = 1e-4;

/** TensorFlow's gradient is the slope of our host kernel, in float64. */
async function checkSlopes({ type, test, golden }: Subject): Promise<void> {
  if (
    golden.grads === undefined ||
    test.smooth === false ||
    golden.grads.some((g) => g !== null && !("shape" in g))
  )
    return;
  const plain = buildCase(type, test, golden);
  const def = plain.op.needDef();
  const inputs = plain.inputs.map((x) => widened(x.value));
  const attrs = widenedAttrs(plain.op);
  if (attrs === null || isAbsent(def.host) || def.stateful || inputs.some((t) => t === null || !isCalm(t)))
    return;
  const dys = golden.dys!.map(readTensor).map(widened);
  if (dys.some((t) => t === null || t.dtype !== "float64")) return;
  const host = async (values: readonly Tensor[]): Promise<number> => {
    const outputs = await runHost(buildCase(type, test, golden, { inputs: values, attrs }).op, values);
    return golden.gradYs!.reduce((sum, i, k) => sum + dot(outputs[i]!, dys[k]!), 0);
  };
  const floats = inputs.flatMap((t, i) => (t!.dtype === "float64" ? [i] : []));
  if (floats.length !== golden.grads.length) return;
  for (const [k, i] of floats.entries()) {
    const want = golden.grads[k] as TensorJson | null;
    if (want === null) continue;
    const slopes = zeros("float64", inputs[i]!.shape);
    for (let e = 0; e < slopes.data.length; e++) {
      const at = async (by: number): Promise<number> =>
        host(inputs.map((t, j) => (j === i ? moved(t!, e, by) : t!)));
      (slopes.data as Float64Array)[e] = ((await at(STEP)) - (await at(-STEP))) / (2 * STEP);
    }
    const found = difference(
      slopes,
      { ...readTensor(want), dtype: "float64", data: Float64Array.from(toNumbers(readTensor(want))) },
      2e-3,
    );
    if (found !== null) fail(`slope of the host kernel for input ${i}: ${found}`);
  }
}

const isCalm = (t: Tensor): boolean =>
  isSmall(t) && (t.dtype !== "float64" || (t.data as Float64Array).every((x) => Math.abs(x) < 100));

const dot = (a: Tensor, b: Tensor): number =>
  (a.data as Float64Array).reduce((sum, x, i) => sum + x * (b.data as Float64Array)[i]!, 0);

/** A case that must fail fails with TensorFlow's code, in the phase where TensorFlow sees it. */
export async function checkError({ type, test, golden }: Subject): Promise<void> {
  const want = golden.error!;
  const attempt = async (): Promise<void> => {
    const built = buildCase(type, test, golden);
    if (want.phase === "build") return;
    const session = new Session(built.graph);
    try {
      await session.run([], { targets: built.init });
      await session.run([...plainOutputs(built.op), ...built.then], {
        feeds: feedsOf(built),
        targets: [built.op],
      });
    } finally {
      await session.close();
    }
  };
  const e = await attempt().then(
    () => fail(`no error; TensorFlow says: ${want.message}`),
    (e: unknown) => e,
  );
  if (!isVarscopeError(e)) throw e;
  if (e.code !== want.code) fail(`code is ${e.code}, TensorFlow's ${want.code}: ${e.message}`);
  if (!e.message.includes(test.error!)) fail(`the error does not say '${test.error}': ${e.message}`);
}

const native = await loadRuntime();

/** Images in blocks, plain images, a plan without variables (which ONNX Runtime optimises), and the build of browsers. */
const ENGINES: Readonly<Record<string, Engine>> = {
  blocked: { runtime: native, beside: true },
  NCHW: { runtime: withoutBlocks(native), beside: true },
  frozen: { runtime: native, beside: false },
  WASM: { runtime: await loadWasm(), beside: true },
};

const onEngines = Object.entries(ENGINES).flatMap(([name, engine]): [string, Check][] => [
  [
    `session (${name})`,
    async (subject) => {
      if (name !== "WASM" || subject.test.wasm !== false) await checkSession(subject, engine);
    },
  ],
  [`gradients in a session (${name})`, (subject) => gradientsBySession(subject, engine)],
]);

/** All checks of a case that must succeed, by what they look at. */
export const CHECKS: ReadonlyMap<string, Check> = new Map([
  ["node", checkNode],
  ["host", checkHost],
  ["gradient nodes", checkGradientNodes],
  ["gradients on the host", gradientsByHost],
  ["slopes", checkSlopes],
  ...onEngines,
]);
