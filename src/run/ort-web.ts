/** @file ONNX Runtime's WASM build: in browsers, and in Node where the native package is missing. */

import { loadWith, type OrtModule, type Runtime } from "./runtime.ts";

/** The WASM runtime. It has no blocked kernels. */
export async function loadWasm(): Promise<Runtime> {
  const web = (await import("onnxruntime-web")) as unknown as OrtModule & {
    env: { versions: { web?: string }; wasm: { numThreads?: number }; logLevel: string };
  };
  web.env.wasm.numThreads ??= 1;
  const ort: OrtModule = { InferenceSession: web.InferenceSession, Tensor: web.Tensor, writesInPlace: false };
  return {
    name: `onnxruntime-web ${web.env.versions.web ?? ""} (wasm)`,
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
