/** @file ONNX Runtime's WASM build: in browsers, and in Node where the native package is missing. */

import { type OrtModule, loadWith, type Runtime } from "./runtime.ts";

/** The WASM runtime. It has no blocked kernels. */
export async function loadWasm(): Promise<Runtime> {
  const ort = (await import("onnxruntime-web")) as unknown as OrtModule & { env: { versions: { web?: string }; wasm: { numThreads?: number }; logLevel: string } };
  ort.env.wasm.numThreads ??= 1;
  return {
    name: `onnxruntime-web ${ort.env.versions.web ?? ""} (wasm)`,
    block: null,
    load: (model, inputs, outputs, options) =>
      loadWith(ort, model, inputs, outputs, {
        executionProviders: ["wasm"],
        graphOptimizationLevel: options.optimize ? "all" : "basic",
        logSeverityLevel: 3,
      }),
  };
}

let shared: Promise<Runtime> | null = null;

/** The runtime of this environment, loaded once. */
export function loadRuntime(): Promise<Runtime> {
  shared ??= loadWasm();
  return shared;
}
