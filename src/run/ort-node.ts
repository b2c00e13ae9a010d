/** @file ONNX Runtime's native package in Node; where it does not load, the WASM build with one line of notice. */

import { availableParallelism } from "node:os";
import { loadWasm } from "./ort-web.ts";
import { probeBlock } from "./probe.ts";
import { loadWith, type OrtModule, type Program, type ProgramOptions, type Runtime } from "./runtime.ts";

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

async function loadNative(): Promise<Runtime> {
  keepFreedMemory();
  const imported = (await import("onnxruntime-node")) as unknown as OrtModule & { default?: OrtModule };
  const found = imported.InferenceSession === undefined ? imported.default! : imported;
  const ort: OrtModule = {
    InferenceSession: found.InferenceSession,
    Tensor: found.Tensor,
    writesInPlace: true,
  };
  const version = (found as unknown as { env?: { versions?: { node?: string; common?: string } } }).env
    ?.versions;
  const load = (
    model: Uint8Array,
    inputs: readonly string[],
    outputs: readonly string[],
    options: ProgramOptions,
  ): Promise<Program> =>
    loadWith(ort, model, inputs, outputs, {
      graphOptimizationLevel: options.optimize ? "all" : "basic",
      intraOpNumThreads: options.threads ?? availableParallelism(),
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      // Threads spin while a run lasts, which is worth 10 % of a training step, and sleep between runs.
      extra: { session: { force_spinning_stop: "1" } },
    });
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
