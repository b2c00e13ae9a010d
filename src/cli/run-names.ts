/** @file Names and values that `varscope run` is given: feeds, fetches, targets, by tensor or by signature. Start at `readFeeds`. */

import { readFile } from "#platform";
import {
  DTYPES,
  type DType,
  type Element,
  getElement,
  isInteger,
  type Tensor,
  tensor,
  VarscopeError,
} from "../base/index.ts";
import type { GraphFile } from "../edit/graph/open-graph.ts";
import { nearestNames } from "../formats/collection/index.ts";
import { MAX_EXPANDED_BYTES, readTensorProto } from "../formats/graph-def/index.ts";
import type { Graph, Operation, Output } from "../graph/index.ts";
import type { SignatureDef, TensorInfo } from "../proto/index.ts";
import { readNpy } from "../wire/index.ts";
import { inRange, tensorFromJson } from "./json.ts";

/** What a run asks for: outputs by the name that they were asked by. */
export interface Wanted {
  readonly feeds: ReadonlyMap<Output, Tensor>;
  readonly fetches: ReadonlyMap<string, Output>;
  readonly targets: readonly Operation[];
}

/** The signature of that name. @throws VarscopeError NOT_FOUND - with the names there are */
export function needSignature({ meta, path }: GraphFile, name: string): SignatureDef {
  const found = meta?.signatures[name];
  if (found !== undefined) return found;
  const names = Object.keys(meta?.signatures ?? {});
  throw new VarscopeError("NOT_FOUND", `no signature ${name}`, {
    at: path,
    hint: names.length > 0 ? `it has ${names.join(", ")}` : "the graph has none; name tensors in place of it",
  });
}

/** Tensor of a signature's argument. @throws VarscopeError NOT_FOUND, or UNIMPLEMENTED for sparse ones */
export function signatureTensor(infos: { readonly [name: string]: TensorInfo }, name: string): string {
  const info = infos[name];
  if (info === undefined) {
    throw new VarscopeError("NOT_FOUND", `the signature has no ${name}`, {
      at: name,
      hint: `it has ${Object.keys(infos).sort().join(", ")}`,
    });
  }
  if (info.encoding.case === "name") return info.encoding.value;
  throw new VarscopeError("UNIMPLEMENTED", "a sparse tensor cannot be fed or fetched here", { at: name });
}

/** Output by `x` or `x:0`. A resource variable gives its value. @throws VarscopeError NOT_FOUND - with names like it */
export function needOutput(graph: Graph, name: string): Output {
  const [, opName = name, index = "0"] = /^(.*?)(?::(\d+))?$/.exec(name) ?? [];
  const op = needOperation(graph, opName);
  if (op.outputs.length === 0 && op.def !== undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `${op.type} gives no tensor`, {
      at: name,
      hint: `run it with --target ${opName}`,
    });
  }
  const output = graph.output(`${op.name}:${index}`);
  const read =
    output.dtype === "resource" ? graph.findOperation(`${op.name}/Read/ReadVariableOp`) : undefined;
  return read?.outputs[0] ?? output;
}

/** Op by name; `:0` may follow. @throws VarscopeError NOT_FOUND - with names like it */
export function needOperation(graph: Graph, name: string): Operation {
  const op = graph.findOperation(name.replace(/:\d+$/, ""));
  if (op !== undefined) return op;
  const near = nearestNames(
    name,
    graph.operations.map((o) => o.name),
  );
  throw new VarscopeError("NOT_FOUND", `no node ${name} in the graph`, {
    at: name,
    hint:
      near.length > 0
        ? `did you mean ${near.join(", ")}?`
        : "'varscope inspect' lists inputs, outputs and targets",
  });
}

/**
 * Feeds of `NAME=VALUE` texts, and of a signature's defaults.
 *
 * @throws VarscopeError NOT_FOUND - no such tensor or file; INVALID_ARGUMENT - a value that the tensor's dtype does not take
 */
export async function readFeeds(
  file: GraphFile,
  texts: readonly string[],
  signature: SignatureDef | null,
): Promise<Map<Output, Tensor>> {
  const feeds = new Map<Output, Tensor>();
  for (const text of texts) {
    const split = text.indexOf("=");
    if (split < 1) {
      throw new VarscopeError("INVALID_ARGUMENT", `${JSON.stringify(text)} is no NAME=VALUE`, {
        at: "--feed",
        hint: "write --feed x=[[1,2]] or --feed x=@x.npy",
      });
    }
    const name = text.slice(0, split);
    const output = needOutput(
      file.graph,
      signature === null ? name : signatureTensor(signature.inputs, name),
    );
    feeds.set(output, await readValue(text.slice(split + 1), output.dtype, name));
  }
  for (const [name, proto] of Object.entries(signature?.defaults ?? {})) {
    const output = needOutput(file.graph, signatureTensor(signature!.inputs, name));
    if (feeds.has(output)) continue;
    feeds.set(output, readTensorProto(proto, `default of ${name}`, { left: MAX_EXPANDED_BYTES }));
  }
  return feeds;
}

async function readValue(text: string, dtype: DType, name: string): Promise<Tensor> {
  if (!text.startsWith("@")) return tensorFromJson(text, dtype, name);
  const file = text.slice(1);
  return converted(readNpy(await readFile(file), { file, dtype }), dtype, name);
}

/** A tensor in the dtype that is wanted, as `np.asarray(value, dtype)` where nothing but float precision gets lost. */
function converted(t: Tensor, dtype: DType, at: string): Tensor {
  if (t.dtype === dtype) return t;
  const [from, to] = [DTYPES[t.dtype].kind, DTYPES[dtype].kind];
  const numbers = ["float", "int", "uint"];
  const fits =
    numbers.includes(to) &&
    (numbers.includes(from) || from === "bool") &&
    !(isInteger(dtype) && from === "float");
  if (!fits) {
    throw new VarscopeError("INVALID_ARGUMENT", `the file holds ${t.dtype}, the tensor is ${dtype}`, {
      at,
      hint: `save the array as ${dtype}`,
    });
  }
  const size = t.shape.reduce((n, d) => n * d, 1);
  const element = (i: number): Element => {
    const x = getElement(t, i);
    return isInteger(dtype) ? inRange(BigInt(x as number | bigint | boolean), dtype, at) : Number(x);
  };
  return tensor(
    Array.from({ length: size }, (_, i) => element(i)),
    dtype,
    t.shape,
  );
}
