/** The client against a server of grpc-js: what it says is what TensorFlow's own client says, and what becomes of each answer. */
import { readFileSync } from "node:fs";
import { type DescMessage, fromBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { answering, caught, doubling, PATIENT, SESSION, serve } from "../../../tests/interop/fake-master.ts";
import { type Tensor, tensor, toNumbers } from "../../base/index.ts";
import { readTensorProto } from "../../formats/graph-def/index.ts";
import { Graph } from "../../graph/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import * as proto from "../../proto/index.ts";
import { Session } from "../session.ts";
import { openChannel as openInBrowser } from "./channel-web.ts";
import { addressOf } from "./master.ts";
import { resetCluster } from "./session.ts";

describe("a program that TensorFlow's client ran", () => {
  interface Call {
    readonly method: string;
    readonly request: string;
    readonly answer: string;
  }
  const golden: Call[] = JSON.parse(
    readFileSync(new URL("../../../tests/goldens/master/calls.json", import.meta.url), "utf8"),
  );
  const bytes = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));

  /** A request as data: without what is another each time, values as they are whatever their encoding. */
  function plain(method: string, request: Uint8Array): unknown {
    const schema = (proto as unknown as Record<string, DescMessage>)[`${method}RequestSchema`]!;
    const { requestId, config, target, feed, ...rest } = toJson(
      schema,
      fromBinary(schema, request),
    ) as Record<string, unknown>;
    if (method !== "RunStep") return { ...rest, ...(Array.isArray(target) ? { target } : {}) };
    const { feed: fed } = fromBinary(proto.RunStepRequestSchema, request);
    return {
      ...rest,
      ...(target === undefined ? {} : { target }),
      feed: fed.map(({ name, tensor }) => [name, readTensorProto(tensor!, name)]),
    };
  }

  async function ours(target: string): Promise<unknown[]> {
    const g = new Graph(CORE_OPS);
    const { x, y, init } = variableProgram(g);
    const session = new Session(g, { target });
    const results: unknown[] = [await session.run(init)];
    results.push(await session.run(y, { feeds: new Map([[x, [1, 2]]]) }));
    const text = g.constant(["a", "bc"], { name: "text" });
    const holder = g.add("Placeholder", [], { name: "flag", attrs: { dtype: "bool", shape: { dims: [] } } });
    const flag = g.add("LogicalNot", [holder], { name: "not" });
    results.push(await session.run([text, flag, y], { feeds: { "flag:0": true, x: [0.5] } }));
    results.push(await caught(session.run(y)));
    const n = g.add("Placeholder", [], { name: "n", attrs: { dtype: "int32" } });
    const ratio = g.add("FloorDiv", [n, 0], { name: "ratio" });
    results.push(await caught(session.run(ratio, { feeds: { n: 1 } })));
    results.push(await session.remote!.listDevices());
    await session.close();
    await resetCluster(target, { containers: ["box"] });
    return results;
  }

  /** The nodes of tf.get_variable with a constant initializer, of a product, and of the initializer. */
  function variableProgram(g: Graph) {
    const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null] } } });
    const at = { _class: ["loc:@w"] };
    const initial = g.constant(3, { name: "w/Initializer/Const" });
    initial.op.setAttr("_class", ["loc:@w"]);
    const w = g.add("VariableV2", [], { name: "w", attrs: { dtype: "float32", shape: { dims: [] }, ...at } });
    const assign = g.addOp("Assign", [w, initial], { name: "w/Assign", attrs: { validate_shape: true } });
    const read = g.colocateWith(w, () => g.add("Identity", [w], { name: "w/read" }));
    const y = g.add("Mul", [x, read], { name: "y" });
    const init = g.controlDependencies([assign], () => g.addOp("NoOp", [], { name: "init" }));
    return { x, y, init };
  }

  test("is run with the same requests, and its answers are understood", async () => {
    const answers = new Map<string, Uint8Array[]>();
    for (const { method, answer } of golden) {
      const name = method.split("/")[2]!;
      answers.set(name, [...(answers.get(name) ?? []), bytes(answer)]);
    }
    const replay = Object.fromEntries([...answers].map(([name, list]) => [name, () => list.shift()!]));
    const { target, calls } = await serve(replay);
    const [init, y, three, unfed, zero, devices] = await ours(target);
    expect(calls.map((c) => plain(c.method, c.request))).toEqual(
      golden.map(({ method, request }) => plain(method.split("/")[2]!, bytes(request))),
    );
    expect(init).toBeNull();
    expect(toNumbers(y as Tensor)).toEqual([3, 6]);
    const [text, not, again] = three as Tensor[];
    expect([...text!.data].map((s) => new TextDecoder().decode(s as Uint8Array))).toEqual(["a", "bc"]);
    expect([toNumbers(not!), toNumbers(again!)]).toEqual([[0], [1.5]]);
    expect(unfed).toMatchObject({
      code: "INVALID_ARGUMENT",
      at: "x",
      what: expect.stringContaining("You must feed a value for placeholder tensor 'x' with dtype float"),
    });
    expect(zero).toMatchObject({
      code: "INVALID_ARGUMENT",
      at: "ratio",
      what: expect.stringContaining("Integer division by zero"),
    });
    expect(devices).toEqual([
      { name: "/job:localhost/replica:0/task:0/device:CPU:0", type: "CPU", memoryLimitBytes: 2 ** 28 },
    ]);
  });
});

describe("a session", () => {
  test("says what it wants of the cluster", async () => {
    const { g, y } = doubling();
    const { target, calls } = await serve({
      ...SESSION,
      RunStep: () => answering({ "y:0": tensor([2], "float32") }),
    });
    const cluster = { worker: ["a:1", "b:2"], ps: { 3: "c:4" } };
    const options = {
      target,
      cluster,
      deviceFilters: ["/job:ps"],
      isolateSessionState: true,
      allowSoftPlacement: true,
    };
    await using session = new Session(g, { ...options, logDevicePlacement: true, operationTimeoutMs: 1e4 });
    await session.run(y, { feeds: { x: [1] } });
    const { config, target: said } = fromBinary(proto.CreateSessionRequestSchema, calls[0]!.request);
    expect(said).toBe(target);
    expect(toJson(proto.ConfigProtoSchema, config!)).toEqual({
      deviceFilters: ["/job:ps"],
      allowSoftPlacement: true,
      logDevicePlacement: true,
      operationTimeoutInMs: "10000",
      isolateSessionState: true,
      clusterDef: {
        job: [
          { name: "ps", tasks: { 3: "c:4" } },
          { name: "worker", tasks: { 0: "a:1", 1: "b:2" } },
        ],
      },
    });
  });

  test("whose server is not up fails at once, and a later run tries again", async () => {
    const { g, y } = doubling();
    const gone = await serve({});
    gone.kill();
    const session = new Session(g, { target: gone.target });
    const run = () => session.run(y, { feeds: { x: [1] } });
    expect(await caught(run())).toMatchObject({
      code: "UNAVAILABLE",
      at: gone.target.slice("grpc://".length),
      hint: expect.stringContaining("see that the server runs"),
    });
    const methods = { ...SESSION, RunStep: () => answering({ "y:0": tensor([2], "float32") }) };
    const { calls } = await serve(methods, gone.port);
    await expect.poll(() => run().then(toNumbers, () => null), PATIENT).toEqual([2]);
    expect(calls.map((c) => c.method)).toEqual(["CreateSession", "RunStep"]);
    await session.close();
  });

  test("waits for its server where it may", async () => {
    const { g, y } = doubling();
    const gone = await serve({});
    gone.kill();
    await using session = new Session(g, { target: gone.target, connectTimeoutMs: 20_000 });
    const waiting = session.run(y, { feeds: { x: [1] } });
    await new Promise((resolve) => setTimeout(resolve, 200));
    await serve({ ...SESSION, RunStep: () => answering({ "y:0": tensor([2], "float32") }) }, gone.port);
    expect(toNumbers(await waiting)).toEqual([2]);
    await using hasty = new Session(g, { target: "grpc://127.0.0.1:9", connectTimeoutMs: 100 });
    expect(await caught(hasty.run(y, { feeds: { x: [1] } }))).toMatchObject({
      code: "DEADLINE_EXCEEDED",
      hint: expect.stringContaining("start all of its tasks"),
    });
  });

  test("is closed once, though its server is gone or does not answer its opening", async () => {
    const { g, y } = doubling();
    const { target, calls, kill } = await serve({
      ...SESSION,
      RunStep: () => answering({ "y:0": tensor([2], "float32") }),
    });
    const session = new Session(g, { target });
    await session.run(y, { feeds: { x: [1] } });
    await session.close();
    await session.close();
    expect(calls.filter((c) => c.method === "CloseSession")).toHaveLength(1);
    expect((await caught(session.run(y))).what).toBe("Attempted to use a closed Session.");

    const lost = new Session(g, { target });
    await lost.run(y, { feeds: { x: [1] } });
    kill();
    await lost.close();

    const silent = await serve({ CreateSession: () => null });
    const opening = new Session(g, { target: silent.target });
    const run = caught(opening.run(y, { feeds: { x: [1] } }));
    await expect.poll(() => silent.calls.length, PATIENT).toBe(1);
    await opening.close();
    expect((await run).code).toBe("CANCELLED");
    await expect.poll(() => silent.cancelled, PATIENT).toEqual(["CreateSession"]);
  });

  test("has no variables here, and an empty graph is an error", async () => {
    const session = new Session(new Graph(CORE_OPS), { target: "grpc://127.0.0.1:9" });
    expect(() => session.variables).toThrow(
      /the values of the variables are on the cluster; fetch the variables/,
    );
    expect((await caught(session.run([]))).what).toMatch(/^The Session graph is empty/);
    await session.close();
  });

  test.each(["grpc://host", "host:1", "http://host:1", "grpc://a b:1", "local"])(
    "refuses the target %s",
    (target) => {
      expect(() => new Session(new Graph(CORE_OPS), { target })).toThrow(
        `"${target}" is no address of a TensorFlow server`,
      );
    },
  );

  test("takes IPv6 and names", () => {
    expect(["grpc://[::1]:2222", "grpc://ps-0.cluster.local:1/"].map(addressOf)).toEqual([
      "[::1]:2222",
      "ps-0.cluster.local:1",
    ]);
  });

  test("is refused in browsers", async () => {
    expect(await caught(openInBrowser("host:1"))).toMatchObject({ code: "UNIMPLEMENTED", at: "host:1" });
  });
});

describe("a session on this machine", () => {
  test("has a time limit for runs too, and times of its stages", async () => {
    const { g, y } = doubling();
    await using session = new Session(g);
    const feeds = { x: [1] };
    expect(toNumbers(await session.run(y, { feeds, timeoutMs: 10_000 }))).toEqual([2]);
    const signal = AbortSignal.timeout(1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await caught(session.run(y, { feeds, signal }))).code).toBe("DEADLINE_EXCEEDED");
    const seen: string[] = [];
    await session.run(y, {
      feeds,
      onMetadata: (m) => seen.push(m.stepStats!.devStats[0]!.nodeStats[0]!.nodeName),
    });
    expect(seen).toEqual([y.op.name]);
  });
});
