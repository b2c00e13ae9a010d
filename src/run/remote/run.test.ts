import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import {
  type Answer,
  answering,
  caught,
  doubling,
  encode,
  PATIENT,
  SESSION,
  serve,
} from "../../../tests/interop/fake-master.ts";
import { isVarscopeError, tensor, toNumbers } from "../../base/index.ts";
import { writeTensorProto } from "../../formats/graph-def/index.ts";
import * as proto from "../../proto/index.ts";
import { type RunOptions, Session } from "../session.ts";

describe("a run", () => {
  test("has each name once in a request, and a value that is fed is not fetched", async () => {
    const { g, x, y } = doubling();
    const { target, calls } = await serve({
      ...SESSION,
      RunStep: () => answering({ "y:0": tensor([2], "float32") }),
    });
    await using session = new Session(g, { target });
    const [a, b, c] = await session.run([y, x, y], { feeds: { x: [1] }, targets: [y.op, "y"] });
    expect([a, b, c].map((t) => toNumbers(t))).toEqual([[2], [1], [2]]);
    const { fetch, target: ran } = fromBinary(proto.RunStepRequestSchema, calls[1]!.request);
    expect([fetch, ran]).toEqual([["y:0"], ["y"]]);
  });

  test("that begins beside others shares their session, and each sees the ops that were there", async () => {
    const { g, y } = doubling();
    const { target, calls } = await serve({
      ...SESSION,
      RunStep: () => answering({ "y:0": tensor([2], "float32") }),
    });
    await using session = new Session(g, { target });
    const feeds = { x: [1] };
    await Promise.all([session.run(y, { feeds }), session.run(y, { feeds })]);
    g.add("Neg", [y]);
    await session.run(y, { feeds });
    expect(calls.map((c) => c.method)).toEqual([
      "CreateSession",
      "RunStep",
      "RunStep",
      "ExtendSession",
      "RunStep",
    ]);
    const { graphDef } = fromBinary(proto.ExtendSessionRequestSchema, calls[3]!.request);
    expect(graphDef?.node.map((n) => n.name)).toEqual(["Neg"]);
  });

  test("says its time limit and its trace level, and hands out what was recorded", async () => {
    const { g, y } = doubling();
    const stepStats = { devStats: [{ device: "/device:CPU:0", nodeStats: [{ nodeName: "y" }] }] };
    const answer = encode(proto.RunStepResponseSchema, {
      tensor: [{ name: "y:0", tensor: writeTensorProto(tensor([2], "float32")) }],
      metadata: { stepStats },
    });
    const { target, calls } = await serve({ ...SESSION, RunStep: () => answer });
    await using session = new Session(g, { target, operationTimeoutMs: 5000 });
    const seen: string[] = [];
    const options: RunOptions = {
      feeds: { x: [1] },
      onMetadata: (m) => seen.push(m.stepStats!.devStats[0]!.nodeStats[0]!.nodeName),
    };
    await session.run(y, options);
    await session.run(y, { ...options, traceLevel: "software", timeoutMs: 70_000 });
    expect(seen).toEqual(["y", "y"]);
    const asked = calls.slice(1).map((c) => fromBinary(proto.RunStepRequestSchema, c.request).options);
    expect(asked.map((o) => [o?.traceLevel, o?.timeoutInMs])).toEqual([
      [3, 5000n],
      [1, 70_000n],
    ]);
  });

  test("that waits is cancelled on the server by its signal", async () => {
    const { g, y } = doubling();
    const { target, calls, cancelled } = await serve({ ...SESSION, RunStep: () => null });
    await using session = new Session(g, { target });
    const abort = new AbortController();
    const waiting = caught(session.run(y, { feeds: { x: [1] }, signal: abort.signal }));
    await expect.poll(() => calls.length, PATIENT).toBe(2);
    abort.abort("enough");
    expect(await waiting).toMatchObject({ code: "CANCELLED", cause: "enough" });
    await expect.poll(() => cancelled, PATIENT).toEqual(["RunStep"]);
    expect((await caught(session.run(y, { feeds: { x: [1] }, signal: abort.signal }))).code).toBe(
      "CANCELLED",
    );
  });

  test("that waits longer than it may fails", async () => {
    const { g, y } = doubling();
    const { target } = await serve({ ...SESSION, RunStep: () => null });
    await using session = new Session(g, { target });
    const feeds = { x: [1] };
    expect((await caught(session.run(y, { feeds, timeoutMs: 50 }))).code).toBe("DEADLINE_EXCEEDED");
    const signal = AbortSignal.timeout(50);
    expect((await caught(session.run(y, { feeds, signal }))).code).toBe("DEADLINE_EXCEEDED");
  });

  const refusals: [string, Answer, object][] = [
    [
      "a status of gRPC",
      { code: status.UNAUTHENTICATED, details: "who are you?" },
      { code: "PERMISSION_DENIED", what: "who are you?" },
    ],
    [
      "a session that is gone",
      { code: status.ABORTED, details: "Session s1 is not found. Possibly, this master has restarted." },
      { code: "ABORTED", hint: expect.stringContaining("make a new session") },
    ],
    ["an unknown status", { code: 99, details: "?" }, { code: "UNKNOWN" }],
    [
      "a status in the answer, with the server's log",
      encode(proto.RunStepResponseSchema, {
        statusCode: 5,
        statusErrorMessage: "no w\n\t [[{{node w/read}}]]\nRecent warning and error logs:\n  W0000",
      }),
      { code: "NOT_FOUND", at: "w/read", what: "no w\n\t [[{{node w/read}}]]" },
    ],
    ["bytes that are no message", Uint8Array.of(255, 255), { code: "DATA_LOSS" }],
    [
      "an answer without the value",
      answering({}),
      { code: "DATA_LOSS", what: "the server's answer has no value of y:0" },
    ],
    [
      "a value of another dtype",
      answering({ "y:0": tensor([1], "int64") }),
      { code: "DATA_LOSS", what: "the server's answer has no float32 value but int64 of y:0" },
    ],
    [
      "a value that claims 2^40 elements",
      encode(proto.RunStepResponseSchema, {
        tensor: [
          { name: "y:0", tensor: { dtype: 1, tensorShape: { dim: [{ size: 1n << 40n }] }, floatVal: [1] } },
        ],
      }),
      { code: "RESOURCE_EXHAUSTED", at: "y:0" },
    ],
    [
      "a value with too few bytes",
      encode(proto.RunStepResponseSchema, {
        tensor: [
          {
            name: "y:0",
            tensor: { dtype: 1, tensorShape: { dim: [{ size: 4n }] }, tensorContent: new Uint8Array(3) },
          },
        ],
      }),
      { code: "INVALID_ARGUMENT", at: "y:0" },
    ],
  ];
  test.each(refusals)("fails with %s", async (_, answer, error) => {
    const { g, y } = doubling();
    const { target } = await serve({ ...SESSION, RunStep: () => answer });
    await using session = new Session(g, { target });
    expect(await caught(session.run(y, { feeds: { x: [1] } }))).toMatchObject(error);
  });

  test("whose answer has a byte changed, or ends early, gives values or our error", async () => {
    const { g, y } = doubling();
    const good = answering({ "y:0": tensor([2], "float32"), "s:0": tensor(["a", "bc"], "string") });
    const broken = [
      ...Array.from(good, (_, i) => good.subarray(0, i)),
      ...Array.from(good, (byte, i) => good.with(i, byte ^ 0x5a)),
    ];
    const left = [...broken];
    const { target } = await serve({ ...SESSION, RunStep: () => left.shift()! });
    await using session = new Session(g, { target });
    const runs = broken.map(() => session.run(y, { feeds: { x: [1] } }));
    const reasons = (await Promise.allSettled(runs)).flatMap((r) =>
      r.status === "rejected" ? [r.reason] : [],
    );
    expect(reasons.filter((e) => !isVarscopeError(e))).toEqual([]);
    expect(reasons.length).toBeGreaterThan(broken.length / 2);
  });

  test("of an op that reads something else than when it was sent fails", async () => {
    const { g, x, y } = doubling();
    const { target } = await serve({
      ...SESSION,
      RunStep: () => answering({ "y:0": tensor([2], "float32") }),
    });
    await using session = new Session(g, { target });
    await session.run(y, { feeds: { x: [1] } });
    y.op.replaceInput(1, x);
    expect(await caught(session.run(y, { feeds: { x: [1] } }))).toMatchObject({
      code: "FAILED_PRECONDITION",
      at: "y",
      what: expect.stringContaining("Operation 'y' was changed"),
    });
  });
});
