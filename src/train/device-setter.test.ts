import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  type Device,
  type DeviceFunction,
  formatDevice,
  Graph,
  type Operation,
  parseDevice,
  type ShapeValue,
} from "../graph/index.ts";
import { biasAdd, CORE_OPS, matmul, placeholder, reduceMean, relu, square } from "../ops/index.ts";
import {
  getOrCreateGlobalStep,
  getVariable,
  globalVariablesInitializer,
  onesInitializer,
  variableScope,
  zerosInitializer,
} from "../variables/index.ts";
import {
  byteSizeLoad,
  greedyLoadBalancingStrategy,
  type ReplicaDeviceOptions,
  replicaDeviceSetter,
} from "./device-setter.ts";
import { momentumOptimizer } from "./optimizers.ts";

interface Golden {
  readonly specs: readonly { spec: string; text?: string; error?: string }[];
  readonly stacks: readonly { stack: readonly (string | null)[]; devices: readonly string[] }[];
  readonly setters: readonly {
    claim: string;
    config: Readonly<Record<string, never>>;
    devices: Readonly<Record<string, string>>;
  }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../tests/goldens/devices/devices.json", import.meta.url), "utf8"),
);

describe("a device", () => {
  test.each(golden.specs)("$spec is parsed and written as TensorFlow does it", ({ spec, text, error }) => {
    if (error === undefined) expect(formatDevice(parseDevice(spec))).toBe(text);
    else expect(() => parseDevice(spec)).toThrow(error);
  });

  test("has numbers where they are known", () => {
    expect(parseDevice("/job:ps/task:1/device:GPU:*")).toEqual({ job: "ps", task: 1, deviceType: "GPU" });
  });
});

const FUNCTIONS: Readonly<Record<string, DeviceFunction>> = {
  by_inputs: (op) => `/job:${op.type}/task:${op.inputs.length}${op.device}`,
  to_gpu: () => "/gpu:0",
  to_none: () => "",
  spec: () => ({ job: "q", task: 3 }),
};

const nested = <R>(g: Graph, [first, ...rest]: readonly (Device | null)[], body: () => R): R =>
  first === undefined ? body() : g.withDevice(first, () => nested(g, rest, body));

test.each(golden.stacks)("nested scopes give ops TensorFlow's device: $stack", ({ stack, devices }) => {
  const g = new Graph(CORE_OPS);
  const scopes = stack.map((item) => (item === null ? null : (FUNCTIONS[item] ?? item)));
  nested(g, scopes, () => g.add("Identity", [g.constant(1, { name: "a" })], { name: "b" }));
  expect(["a", "b"].map((name) => g.operation(name).device)).toEqual(devices);
});

const rows = (op: Operation): number => (op.attrs.shape as ShapeValue).dims?.[0] ?? 0;

function options({
  ps_tasks,
  ps_device,
  worker_device,
  merge_devices,
  cluster,
  ps_ops,
  ps_strategy,
}: Record<string, never>): ReplicaDeviceOptions {
  const given = {
    psTasks: ps_tasks,
    psDevice: ps_device,
    workerDevice: worker_device,
    mergeDevices: merge_devices,
    cluster,
    psOps: ps_ops,
    psStrategy: ps_strategy === undefined ? undefined : rows,
  };
  return Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
}

function training(config: Record<string, never>): Graph {
  const g = new Graph(CORE_OPS);
  g.withDevice(replicaDeviceSetter(options(config)), () => {
    const x = placeholder(g, "float32", { shape: [null, 4], name: "x" });
    const globalStep = getOrCreateGlobalStep(g);
    const h = variableScope(g, "net", { useResource: config.use_resource ?? false }, () => {
      const w = getVariable(g, "w", { shape: [4, 8], initializer: onesInitializer() });
      const zeros = { initializer: zerosInitializer() };
      const b = getVariable(g, "b", { shape: [8], ...zeros });
      g.withDevice("/job:ps/task:7", () => getVariable(g, "kept", { shape: [2], ...zeros }));
      g.withDevice("/job:other", () => getVariable(g, "other", { shape: [3], ...zeros }));
      return g.withDevice("/cpu:1", () => relu(biasAdd(matmul(x, w.value()), b.value())));
    });
    const loss = reduceMean(square(h));
    momentumOptimizer({ learningRate: 0.1, momentum: 0.9 }).minimize(loss, { globalStep });
    globalVariablesInitializer(g);
  });
  return g;
}

describe("a replica's graph", () => {
  test.each(golden.setters)("$claim: every node is where TensorFlow puts it", ({ config, devices }) => {
    const ours = training(config).operations.map((op) => [op.name, op.device]);
    expect(Object.fromEntries(ours)).toEqual(devices);
  });
});

describe("loads", () => {
  const made = (useResource: boolean): string[] => {
    const g = new Graph(CORE_OPS);
    const setter = replicaDeviceSetter({
      psTasks: 2,
      psStrategy: greedyLoadBalancingStrategy(2, byteSizeLoad),
    });
    const sizes = [100, 10, 20, 60, 30];
    return g.withDevice(setter, () =>
      sizes.map((n, i) => getVariable(g, `v${i}`, { shape: [n], useResource }).op.device),
    );
  };

  test.each([true, false])(
    "variables go where there are fewest bytes, of resources too: %s",
    (useResource) => {
      expect(made(useResource)).toEqual([0, 1, 1, 1, 1].map((task) => `/job:ps/task:${task}`));
    },
  );

  test("a shape that is not known has none", () => {
    const g = new Graph(CORE_OPS);
    const x = placeholder(g, "float32", { shape: [null] });
    expect(() => byteSizeLoad(x.op)).toThrow(/not fully defined/);
  });
});
