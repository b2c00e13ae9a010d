/** @file A server of MasterService that answers as a test says; it ends with the test. Start at `serve`. */

import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type handleUnaryCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { expect, onTestFinished } from "vitest";
import { isVarscopeError, type Tensor } from "../../src/base/index.ts";
import { writeTensorProto } from "../../src/formats/graph-def/index.ts";
import { Graph, type Output } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";
import * as proto from "../../src/proto/index.ts";

/** A message, an error, or none ever. */
export type Answer = Uint8Array | { readonly code: number; readonly details: string } | null;
/** Answers to requests by the method's name. */
export type Methods = Readonly<Record<string, (request: Uint8Array) => Answer>>;

export interface FakeMaster {
  readonly target: string;
  readonly port: number;
  readonly calls: { readonly method: string; readonly request: Uint8Array }[];
  /** methods whose unanswered call the client has given up */
  readonly cancelled: string[];
  /** Ends it as a crash would. */
  kill(): void;
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes);

export async function serve(methods: Methods, port = 0): Promise<FakeMaster> {
  const server = new Server();
  const kill = (): void => server.forceShutdown();
  onTestFinished(kill);
  const calls: { method: string; request: Uint8Array }[] = [];
  const cancelled: string[] = [];
  for (const [method, answer] of Object.entries(methods)) {
    const handle: handleUnaryCall<Uint8Array, Uint8Array> = (call, done) => {
      calls.push({ method, request: call.request });
      const given = answer(call.request);
      if (given === null) call.on("cancelled", () => cancelled.push(method));
      else if (given instanceof Uint8Array) done(null, given);
      else done(given);
    };
    const path = `/tensorflow.MasterService/${method}`;
    server.register(path, handle, asBuffer, (b: Buffer) => new Uint8Array(b), "unary");
  }
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (e, p) =>
      e ? reject(e) : resolve(p),
    ),
  );
  return { target: `grpc://127.0.0.1:${bound}`, port: bound, calls, cancelled, kill };
}

/** A message's bytes. */
export const encode = <D extends DescMessage>(schema: D, fields: MessageInitShape<D>): Uint8Array =>
  toBinary(schema, create(schema, fields));

/** Opens, extends and closes sessions. */
export const SESSION: Methods = {
  CreateSession: () => encode(proto.CreateSessionResponseSchema, { sessionHandle: "s1" }),
  ExtendSession: () => encode(proto.ExtendSessionResponseSchema, { newGraphVersion: 1n }),
  CloseSession: () => encode(proto.CloseSessionResponseSchema, {}),
};

/** What a step gives. */
export const answering = (tensors: Readonly<Record<string, Tensor>>): Uint8Array =>
  encode(proto.RunStepResponseSchema, {
    tensor: Object.entries(tensors).map(([name, t]) => ({ name, tensor: writeTensorProto(t) })),
  });

/** x of any length, and y = 2 x. */
export function doubling(): { g: Graph; x: Output; y: Output } {
  const g = new Graph(CORE_OPS);
  const x = g.add("Placeholder", [], { name: "x", attrs: { dtype: "float32", shape: { dims: [null] } } });
  return { g, x, y: g.add("Mul", [x, 2], { name: "y" }) };
}

/** For vi.waitFor: how long what a server hears may take. */
export const PATIENT = { timeout: 20_000, interval: 100 };

/** The error that a run ends with. */
export const caught = (run: Promise<unknown>) =>
  run.then(
    () => expect.unreachable("no error"),
    (e: unknown) => (isVarscopeError(e) ? e : expect.unreachable(String(e))),
  );
