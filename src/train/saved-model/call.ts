/** @file Runs of a SavedModel's graph by the names of a signature. Start at `callSignature`. */

import { type Tensor, VarscopeError } from "../../base/index.ts";
import { nearestNames } from "../../formats/collection/index.ts";
import { MAX_EXPANDED_BYTES, readTensorProto } from "../../formats/graph-def/index.ts";
import { intoScope } from "../../formats/meta-graph/scope.ts";
import type { Output } from "../../graph/index.ts";
import type { SignatureDef, TensorInfo } from "../../proto/meta-graph.gen.ts";
import type { FeedValue, Session } from "../../run/index.ts";
import type { CallOptions } from "./load.ts";

/** A sparse tensor as its three parts: int64 [n, rank], values [n], int64 [rank]. */
export interface Sparse<T> {
  readonly indices: T;
  readonly values: T;
  readonly denseShape: T;
}

/** Values by the names of a signature's inputs. */
export type SignatureFeeds = Readonly<Record<string, FeedValue | Sparse<FeedValue>>>;
/** Values by the names of a signature's outputs; a sparse output `y` gives `y.indices`, `y.values` and `y.denseShape`. */
export type SignatureResults = Record<string, Tensor>;

interface Callee {
  readonly session: Session;
  readonly signatures: { readonly [name: string]: SignatureDef };
  readonly scope: string;
  readonly folder: string;
}

/** @throws VarscopeError as `LoadedModel.run` */
export async function callSignature(
  { session, signatures, scope, folder }: Callee,
  given: SignatureFeeds,
  { signature: name = "serving_default", outputs, signal }: CallOptions,
): Promise<SignatureResults> {
  const signature = need(signatures, name, "signature", folder);
  const inside = intoScope(scope);
  const feeds: Record<string, FeedValue> = {};
  const budget = { left: MAX_EXPANDED_BYTES }; // of all defaults
  for (const key of Object.keys(given)) need(signature.inputs, key, "input", name);
  for (const [key, info] of Object.entries(signature.inputs)) {
    const value = given[key] ?? defaultOf(signature, key, budget);
    if (value === undefined) {
      throw new VarscopeError("INVALID_ARGUMENT", `signature '${name}' wants a value for '${key}'`, {
        at: folder,
        hint: `its inputs are ${Object.keys(signature.inputs).sort().join(", ")}`,
      });
    }
    for (const [tensor, part] of feedsOf(info, value, key)) feeds[inside(tensor)] = part;
  }
  const wanted = outputs ?? Object.keys(signature.outputs);
  const fetches = wanted.flatMap((key) => fetchesOf(need(signature.outputs, key, "output", name), key));
  const named = Object.fromEntries(fetches.map(([key, tensor]) => [key, inside(tensor)]));
  return session.run(named, { feeds, ...(signal && { signal }) }) as Promise<SignatureResults>;
}

/** The tensor of the graph behind an input or output of a signature. @throws VarscopeError NOT_FOUND - there is none of the name */
export function signatureTensor(
  { session, signatures, scope, folder }: Callee,
  side: "inputs" | "outputs",
  name: string,
  signature = "serving_default",
): Output {
  const infos = need(signatures, signature, "signature", folder)[side];
  const tensors = Object.fromEntries(Object.entries(infos).flatMap(([key, info]) => fetchesOf(info, key)));
  return session.graph.output(intoScope(scope)(need(tensors, name, side.slice(0, -1), signature)));
}

function need<T>(items: { readonly [name: string]: T }, name: string, what: string, at: string): T {
  if (Object.hasOwn(items, name)) return items[name]!;
  const near = nearestNames(name, Object.keys(items));
  const all = Object.keys(items).sort().join(", ");
  throw new VarscopeError("NOT_FOUND", `no ${what} '${name}'`, {
    at,
    hint: near.length > 0 ? `did you mean ${near.join(", ")}?` : `there is ${all === "" ? "none" : all}`,
  });
}

function defaultOf({ defaults }: SignatureDef, key: string, budget: { left: number }): Tensor | undefined {
  const proto = defaults[key];
  return proto && readTensorProto(proto, `default of '${key}'`, budget);
}

function feedsOf(
  { encoding }: TensorInfo,
  value: FeedValue | Sparse<FeedValue>,
  key: string,
): [string, FeedValue][] {
  const isSparse = typeof value === "object" && value !== null && "denseShape" in value;
  if (encoding.case === "name" && !isSparse) return [[encoding.value, value as FeedValue]];
  if (encoding.case !== "cooSparse" || !isSparse) {
    throw new VarscopeError("INVALID_ARGUMENT", `input '${key}' is ${isSparse ? "not sparse" : "sparse"}`, {
      hint: isSparse ? "give a tensor" : "give { indices, values, denseShape }",
    });
  }
  const { indicesTensorName, valuesTensorName, denseShapeTensorName } = encoding.value;
  return [
    [indicesTensorName, value.indices],
    [valuesTensorName, value.values],
    [denseShapeTensorName, value.denseShape],
  ];
}

function fetchesOf({ encoding }: TensorInfo, key: string): [string, string][] {
  if (encoding.case === "name") return [[key, encoding.value]];
  if (encoding.case !== "cooSparse") {
    throw new VarscopeError("UNIMPLEMENTED", `output '${key}' is neither a tensor nor a sparse one`);
  }
  const { indicesTensorName, valuesTensorName, denseShapeTensorName } = encoding.value;
  return [
    [`${key}.indices`, indicesTensorName],
    [`${key}.values`, valuesTensorName],
    [`${key}.denseShape`, denseShapeTensorName],
  ];
}
