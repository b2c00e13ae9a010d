/** @file What a session needs of an ONNX engine. Implemented by ort-node.ts and ort-web.ts over onnxruntime-common. */

import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-common";
import { type DType, isVarscopeError, type Tensor, VarscopeError } from "../base/index.ts";
import type { Soon } from "./soon.ts";

export interface ProgramOptions {
  /** constants in the model are weights: fold, pre-pack and fuse all */
  readonly optimize: boolean;
  readonly threads?: number | undefined;
  /** runs are done when they return, where the engine can do that: for sides of loops, which see to it that timers fire */
  readonly immediate?: boolean;
}

/** A compiled ONNX model. */
export interface Program {
  /**
   * Runs it. `inputs` and results are in the order of the names given to `load`; where `into` has a tensor, the result is written into its
   * data.
   */
  run(inputs: readonly Tensor[], into: readonly (Tensor | null)[]): Soon<Tensor[]>;
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

type Results = Readonly<Record<string, OrtTensor>>;

/** A model in the engine, as its package has it. */
export interface LoadedModel {
  run(feeds: Record<string, OrtTensor>, fetches: Record<string, OrtTensor | null>): Soon<Results>;
  release(): Promise<void>;
}

/** The part of an onnxruntime package that is used. */
export interface OrtModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options?: InferenceSession.SessionOptions): Promise<LoadedModel>;
  };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
  /** Results go to the arrays that `run` is given. The WASM build takes such arrays too, and leaves them as they were. */
  readonly writesInPlace: boolean;
  /** Loads a model whose runs are done when they return. */
  readonly loadImmediate?:
    | ((model: Uint8Array, options: InferenceSession.SessionOptions) => LoadedModel)
    | undefined;
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
  immediate = false,
): Promise<Program> {
  try {
    const loaded = immediate ? ort.loadImmediate?.(model, options) : undefined;
    return programOf(ort, loaded ?? (await ort.InferenceSession.create(model, options)), inputs, outputs);
  } catch (e) {
    throw loadError(e);
  }
}

function programOf(
  ort: OrtModule,
  model: LoadedModel,
  inputs: readonly string[],
  outputs: readonly string[],
): Program {
  const failed = (e: unknown): never => {
    throw runError(e);
  };
  return {
    run(values, into) {
      const feeds: Record<string, OrtTensor> = {};
      for (let i = 0; i < inputs.length; i++) feeds[inputs[i]!] = toOrt(ort, values[i]!);
      const fetches: Record<string, OrtTensor | null> = {};
      outputs.forEach((name, i) => {
        const target = into[i];
        fetches[name] = target == null || !ort.writesInPlace ? null : toOrt(ort, target);
      });
      const collect = (results: Results): Tensor[] =>
        outputs.map((name, i) => {
          const target = into[i] ?? null;
          if (target === null) return fromOrt(results[name]!);
          if (!ort.writesInPlace) (target.data as Uint8Array).set(results[name]!.data as Uint8Array);
          return target;
        });
      try {
        const results = model.run(feeds, fetches);
        return results instanceof Promise ? results.catch(failed).then(collect) : collect(results);
      } catch (e) {
        return failed(e);
      }
    },
    release: () => model.release(),
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
