/** @file A real TensorFlow in a Python process (worker.py), where one is found. Start at `startTensorFlow`. */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type DType, fromBytes, type Tensor } from "varscope";
import { bytesOf } from "../../src/base/index.ts";

/** A tensor on the wire: base64 of its bytes, for strings one for each. */
export interface WireTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: string | readonly string[];
}

export type TensorMap = Readonly<Record<string, Tensor>>;

export const toWire = (t: Tensor): WireTensor => ({
  dtype: t.dtype,
  shape: t.shape,
  data:
    t.dtype === "string"
      ? (t.data as readonly Uint8Array[]).map((s) => Buffer.from(s).toString("base64"))
      : Buffer.from(bytesOf(t)).toString("base64"),
});

export function fromWire({ dtype, shape, data }: WireTensor): Tensor {
  if (typeof data !== "string")
    return { dtype, shape, data: data.map((s) => new Uint8Array(Buffer.from(s, "base64"))) };
  return fromBytes(dtype, shape, new Uint8Array(Buffer.from(data, "base64")));
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, f: (a: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([k, v]) => [k, f(v)]));

/** Commands of worker.py. A session is a number. */
export class TensorFlow {
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly lines: AsyncIterator<string>;
  private queue: Promise<unknown> = Promise.resolve();
  private errors = "";

  constructor(python: string) {
    this.child = spawn(python, [join(import.meta.dirname, "worker.py")]);
    this.child.stderr.on("data", (chunk: Buffer) => {
      this.errors = (this.errors + chunk).slice(-4000);
    });
    // Writing to a process that has died fails here and shows as an answer that never comes.
    this.child.stdin.on("error", () => undefined);
    this.child.on("error", () => undefined);
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
  }

  /** Its version; null where this Python has no TensorFlow. */
  async version(): Promise<string | null> {
    const { value, done } = await this.lines.next();
    return done ? null : JSON.parse(value).result;
  }

  async close(): Promise<void> {
    this.child.stdin.end();
    await new Promise((resolve) => this.child.once("exit", resolve));
  }

  openMeta(path: string): Promise<number> {
    return this.ask("open_meta", { path });
  }

  openGraph(path: string): Promise<number> {
    return this.ask("open_graph", { path });
  }

  async run(
    session: number,
    fetches: readonly string[],
    feeds: TensorMap = {},
    targets: readonly string[] = [],
  ): Promise<Tensor[]> {
    const request = { session, fetches, targets, feeds: mapValues(feeds, toWire) };
    return (await this.ask<WireTensor[]>("run", request)).map(fromWire);
  }

  /** Losses of `steps` steps from step `first`; step i is fed batch i mod their number. */
  train(
    session: number,
    model: { readonly loss: string; readonly train: string; readonly batches: readonly TensorMap[] },
    first: number,
    steps: number,
  ): Promise<number[]> {
    const batches = model.batches.map((b) => mapValues(b, toWire));
    return this.ask("train", { session, loss: model.loss, target: model.train, batches, first, steps });
  }

  async variables(session: number): Promise<TensorMap> {
    return mapValues(await this.ask<Record<string, WireTensor>>("variables", { session }), fromWire);
  }

  save(session: number, prefix: string): Promise<string> {
    return this.ask("save", { session, prefix });
  }

  restore(session: number, prefix: string): Promise<void> {
    return this.ask("restore", { session, prefix });
  }

  freeze(session: number, outputs: readonly string[], path: string): Promise<void> {
    return this.ask("freeze", { session, outputs, path });
  }

  saveTensors(prefix: string, tensors: TensorMap): Promise<void> {
    return this.ask("save_tensors", { prefix, tensors: mapValues(tensors, toWire) });
  }

  async loadTensors(prefix: string, dtypes: Readonly<Record<string, DType>>): Promise<TensorMap> {
    const answer = await this.ask<Record<string, WireTensor>>("load_tensors", { prefix, dtypes });
    return mapValues(answer, fromWire);
  }

  /** A function of programs.py. */
  program<R>(name: string, path: string, args: Readonly<Record<string, unknown>> = {}): Promise<R> {
    return this.ask("program", { name, path, arguments: args });
  }

  /** Any command of worker.py. */
  ask<R>(command: string, request: object): Promise<R> {
    const answer = this.queue.then(async () => {
      this.child.stdin.write(`${JSON.stringify({ command, ...request })}\n`);
      const { value, done } = await this.lines.next();
      if (done) throw new Error(`TensorFlow died at ${command}: ${this.errors}`);
      const { result, error } = JSON.parse(value);
      if (error !== undefined) throw new Error(`TensorFlow, ${command}: ${error}`);
      return result;
    });
    this.queue = answer.catch(() => undefined);
    return answer;
  }
}

/** The TensorFlow of VARSCOPE_PYTHON, else of .venv in the project's root; null, and a line that says so, where there is none. */
export async function startTensorFlow(): Promise<TensorFlow | null> {
  const given = process.env.VARSCOPE_PYTHON;
  const python = given ?? join(import.meta.dirname, "..", "..", ".venv", "bin", "python");
  if (given !== undefined || existsSync(python)) {
    const tf = new TensorFlow(python);
    if ((await tf.version()) !== null) return tf;
  }
  process.stdout.write("interop: no TensorFlow found (set VARSCOPE_PYTHON); skipped\n");
  return null;
}
