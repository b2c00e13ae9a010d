/** @file Programs that call functions, and what TensorFlow's gradients of them are: the goldens of tools/goldens/function_gradients.py. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { gradients } from "../../src/autodiff/index.ts";
import { type DType, fromBytes, type Tensor } from "../../src/base/index.ts";
import { readGraphDef } from "../../src/formats/graph-def/index.ts";
import { densify, type Grad, type Graph, isIndexedSlices, type Output } from "../../src/graph/index.ts";
import { CORE_OPS } from "../../src/ops/index.ts";

interface TensorJson {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly base64: string;
}

export interface Program {
  readonly name: string;
  readonly claim: string;
  readonly init: string;
  readonly y: string;
  readonly xs: readonly string[];
  /** 2: the gradient of the gradient */
  readonly order: number;
  /** TensorFlow's, where there is no gradient */
  readonly error?: string;
  readonly runs: readonly {
    readonly feeds: Readonly<Record<string, TensorJson>>;
    readonly y: TensorJson;
    readonly gradients: readonly (TensorJson | null)[];
  }[];
}

const GOLDENS = new URL("../goldens/function-gradients/", import.meta.url);

export const PROGRAMS = (
  JSON.parse(readFileSync(new URL("manifest.json", GOLDENS), "utf8")) as {
    readonly programs: readonly Program[];
  }
).programs;

export const readTensor = ({ dtype, shape, base64 }: TensorJson): Tensor =>
  fromBytes(dtype, shape, Uint8Array.from(Buffer.from(base64, "base64")));

export const feedsOf = (feeds: Readonly<Record<string, TensorJson>>): Record<string, Tensor> =>
  Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, readTensor(value)]));

/** The program as TensorFlow wrote it. */
export const graphOf = ({ name }: Program): Graph =>
  readGraphDef(gunzipSync(readFileSync(new URL(`${name}.pb.gz`, GOLDENS))), { registry: CORE_OPS });

const dense = (g: Grad | null): Output | null => (isIndexedSlices(g) ? densify(g) : g);

/** The gradients of the program's y, of its order, added to the graph. */
export function gradientsOf(graph: Graph, { y, xs, order }: Program): (Output | null)[] {
  const from = xs.map((x) => graph.output(x));
  let found = gradients(graph.output(y), from).map(dense);
  for (let i = 1; i < order; i++) found = gradients(found as Output[], from).map(dense);
  return found;
}
