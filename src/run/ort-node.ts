/** @file ONNX Runtime's native package in Node; where it does not load, the WASM build with one line of notice. */

import { availableParallelism } from "node:os";
import type { InferenceSession } from "onnxruntime-common";
import { loadWasm } from "./ort-web.ts";
import { probeBlock } from "./probe.ts";
import { type LoadedModel, loadWith, type OrtModule, type ProgramOptions, type Runtime } from "./runtime.ts";

/**
 * Makes glibc keep freed memory. The binding allocates every result anew; by default glibc gives the pages back after each run and faults
 * them in again, which costs 0.3 ms a megabyte. Freeing one mapped block of nearly 32 MiB (never touched, so it costs nothing) raises both
 * of glibc's thresholds for good.
 *
 * @see glibc malloc/malloc.c "M_MMAP_THRESHOLD", the dynamic threshold
 */
function keepFreedMemory(): void {
  if (process.platform !== "linux") return;
  const block = new ArrayBuffer(31 * 1024 * 1024);
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(block, [block]); // nobody will read it: closing the ports frees it now
  port1.close();
  port2.close();
}

/** What the package's own session calls. */
interface NativeSession {
  loadModel(buffer: ArrayBufferLike, offset: number, length: number, options: object): void;
  run: (
    ...args: [...Parameters<LoadedModel["run"]>, options: object]
  ) => Awaited<ReturnType<LoadedModel["run"]>>;
  dispose(): void;
}

/**
 * The native session without the `setImmediate` that the package puts before each of its runs: a turn of the event loop, which costs more than
 * most steps of loops. It is no public part of the package; undefined where a version has it no more, and then loops take turns.
 *
 * @see onnxruntime js/node/lib/backend.ts "OnnxruntimeSessionHandler"
 */
async function immediateLoader(): Promise<OrtModule["loadImmediate"]> {
  const path: string = "onnxruntime-node/dist/binding.js";
  const found = (await import(path).catch(() => undefined)) as
    | { initOrt?: () => void; binding?: { InferenceSession?: new () => NativeSession } }
    | undefined;
  const Session = found?.binding?.InferenceSession;
  if (Session === undefined || found?.initOrt === undefined) return undefined;
  found.initOrt();
  return (model, options) => {
    const session = new Session();
    session.loadModel(model.buffer, model.byteOffset, model.byteLength, options);
    return {
      run: (feeds, fetches) => session.run(feeds, fetches, {}),
      release: async () => session.dispose(),
    };
  };
}

const sessionOptions = ({ optimize, threads }: ProgramOptions): InferenceSession.SessionOptions => ({
  graphOptimizationLevel: optimize ? "all" : "basic",
  intraOpNumThreads: threads ?? availableParallelism(),
  interOpNumThreads: 1,
  logSeverityLevel: 3,
  // Threads spin while a run lasts, which is worth 10 % of a training step, and sleep between runs.
  extra: { session: { force_spinning_stop: "1" } },
});

async function loadNative(): Promise<Runtime> {
  keepFreedMemory();
  const imported = (await import("onnxruntime-node")) as unknown as OrtModule & { default?: OrtModule };
  const found = imported.InferenceSession === undefined ? imported.default! : imported;
  const ort: OrtModule = {
    InferenceSession: found.InferenceSession,
    Tensor: found.Tensor,
    writesInPlace: true,
    loadImmediate: await immediateLoader(),
  };
  const version = (found as unknown as { env?: { versions?: { node?: string; common?: string } } }).env
    ?.versions;
  const load: Runtime["load"] = (model, inputs, outputs, options) =>
    loadWith(ort, model, inputs, outputs, sessionOptions(options), options.immediate);
  const block = process.env.VARSCOPE_LAYOUT === "nchw" ? null : await probeBlock({ load });
  return { name: `onnxruntime-node ${version?.node ?? version?.common ?? ""} (cpu)`, block, load };
}

let shared: Promise<Runtime> | null = null;

/** The runtime of this process, loaded once. `VARSCOPE_RUNTIME=wasm` takes the WASM build, `VARSCOPE_LAYOUT=nchw` forbids blocked layouts. */
export function loadRuntime(): Promise<Runtime> {
  shared ??= process.env.VARSCOPE_RUNTIME === "wasm" ? loadWasm() : loadNative().catch(fallBack);
  return shared;
}

function fallBack(e: unknown): Promise<Runtime> {
  const why = e instanceof Error ? e.message.split("\n")[0] : String(e);
  process.stderr.write(`varscope: onnxruntime-node does not load (${why}); using the slower WASM build\n`);
  return loadWasm();
}
