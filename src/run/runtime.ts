/** @file What a session needs of an ONNX engine. Implemented by ort-node.ts and ort-web.ts over onnxruntime-common. */

import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-common";
import { type DType, isVarscopeError, type Tensor, VarscopeError } from "../base/index.ts";

export interface ProgramOptions {
  /** constants in the model are weights: fold, pre-pack and fuse all */
  readonly optimize: boolean;
  readonly threads?: number | undefined;
}

/** A compiled ONNX model. */
export interface Program {
  /**
   * Runs it. `inputs` and results are in the order of the names given to `load`; where `into` has a tensor, the result is written into its
   * data.
   */
  run(inputs: readonly Tensor[], into: readonly (Tensor | null)[]): Promise<Tensor[]>;
  /** Frees native memory. */
  release(): Promise<void>;
}

export interface Runtime {
  /** for reports: "onnxruntime-node 1.30.0 (cpu)" */
  readonly name: string;
  /** channels a block of the NCHWc kernels; null where this build or CPU has none */
  readonly block: number | null;
  load(
    model: Uint8Array,
    inputs: readonly string[],
    outputs: readonly string[],
    options: ProgramOptions,
  ): Promise<Program>;
}

/** The part of an onnxruntime package that is used. */
export interface OrtModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
  /** Results go to the arrays that `run` is given. The WASM build takes such arrays too, and leaves them as they were. */
  readonly writesInPlace: boolean;
}

const wrappers = new WeakMap<object, OrtTensor>();

/** ONNX Runtime's view of a tensor; one for each data array, so that a step makes no garbage. */
function toOrt(ort: OrtModule, t: Tensor): OrtTensor {
  const known = wrappers.get(t);
  if (known !== undefined) return known;
  const made = new ort.Tensor(t.dtype, t.data, t.shape);
  wrappers.set(t, made);
  return made;
}

const fromOrt = (t: OrtTensor): Tensor => ({
  dtype: t.type as DType,
  shape: t.dims,
  data: t.data as Tensor["data"],
});

/** A Program over an onnxruntime package. */
export async function loadWith(
  ort: OrtModule,
  model: Uint8Array,
  inputs: readonly string[],
  outputs: readonly string[],
  options: InferenceSession.SessionOptions,
): Promise<Program> {
  const session = await ort.InferenceSession.create(model, options).catch((e: unknown) => {
    throw loadError(e);
  });
  return {
    async run(values, into) {
      const feeds: Record<string, OrtTensor> = {};
      inputs.forEach((name, i) => {
        feeds[name] = toOrt(ort, values[i]!);
      });
      const fetches: Record<string, OrtTensor | null> = {};
      outputs.forEach((name, i) => {
        const target = into[i];
        fetches[name] = target == null || !ort.writesInPlace ? null : toOrt(ort, target);
      });
      const results = await session.run(feeds, fetches).catch((e: unknown) => {
        throw runError(e);
      });
      return outputs.map((name, i) => {
        const target = into[i] ?? null;
        if (target === null) return fromOrt(results[name]!);
        if (!ort.writesInPlace) (target.data as Uint8Array).set(results[name]!.data as Uint8Array);
        return target;
      });
    },
    release: () => session.release(),
  };
}

const text = (e: unknown): string => (e instanceof Error ? e.message : String(e));

// Nodes are named <TF node>#<number> by the emitter.
const MISSING_KERNEL = /Could not find an implementation for (\w+)\(\d+\) node with name '([^'#]*)/;

/**
 * Why a model does not load. UNIMPLEMENTED at a TF node: this build has no kernel for a part of its lowering, so builds differ in what they
 * run; INTERNAL: the model is wrong.
 */
export function loadError(e: unknown): VarscopeError {
  const message = text(e);
  const missing = MISSING_KERNEL.exec(message);
  if (missing === null)
    return new VarscopeError("INTERNAL", `ONNX Runtime refused the lowered graph: ${message}`, { cause: e });
  const [, kernel, at] = missing as unknown as [string, string, string];
  return new VarscopeError(
    "UNIMPLEMENTED",
    `this build of ONNX Runtime has no kernel for ${kernel} in these dtypes`,
    {
      at,
      cause: e,
    },
  );
}

/** The TF node that a build of ONNX Runtime has no kernel for, where that is why a model did not load. */
export function missingKernelAt(e: unknown): string | null {
  if (!isVarscopeError(e, "UNIMPLEMENTED")) return null;
  return MISSING_KERNEL.exec(text(e.cause))?.[2] ?? null;
}

/** The same engine with plain NCHW images: slower, and what WASM and CPUs without blocked kernels run. */
export const withoutBlocks = (runtime: Runtime): Runtime => ({ ...runtime, block: null });

/** ONNX Runtime's run-time error with the TF node that it is about. */
export function runError(e: unknown): VarscopeError {
  if (isVarscopeError(e)) return e;
  const message = text(e);
  const at = /Name:'([^'#]*)/.exec(message)?.[1];
  const what = message.replace(/^.*Status Message: */s, "");
  return new VarscopeError("INVALID_ARGUMENT", what, { cause: e, ...(at ? { at } : {}) });
}
