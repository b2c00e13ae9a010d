/** @file Freezing and folding a network of ResNet-50's size, 25.6 million weights. Start at `benchTransform`; `npm run bench` runs it. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  add,
  type Graph,
  globalVariablesInitializer,
  newGraph,
  type Output,
  placeholder,
  reduceMean,
  relu,
  Session,
} from "varscope";
import { convertVariablesToConstants, FOLDING, freezeFile, openGraph, PASSES } from "varscope/edit";
import * as layers from "varscope/layers";
import * as train from "varscope/train";

const ROUNDS = 3;
/** Blocks of each stage. @see He et al. 2015, table 1 (arXiv:1512.03385) */
const STAGES = [3, 4, 6, 3] as const;

export interface TransformTimes {
  readonly nodes: number;
  readonly weights: number;
  /** seconds, medians: variables to constants in memory; passes of `freeze --fold` on that */
  readonly freeze: number;
  readonly fold: number;
  /** from files to a folded graph, without proofs; with the proofs of the whole and of each pass */
  readonly file: number;
  readonly proven: number;
}

/** ResNet-50 in inference, its variables untouched. */
function resnet50(): { graph: Graph; output: Output } {
  const graph = newGraph();
  const output = graph.nameScope(null, () => {
    const images = placeholder(graph, "float32", { shape: [null, 64, 64, 3], name: "images" });
    const norm = (x: Output): Output => layers.batchNormalization(x, { training: false });
    const conv = (x: Output, filters: number, size: number, strides = 1): Output =>
      norm(layers.conv2d(x, filters, size, { strides, padding: "same", useBias: false }));
    let x = layers.maxPooling2d(relu(conv(images, 64, 7, 2)), 3, 2, { padding: "same" });
    STAGES.forEach((blocks, stage) => {
      const filters = 64 << stage;
      for (let i = 0; i < blocks; i++) {
        const strides = i === 0 && stage > 0 ? 2 : 1;
        const short = i === 0 ? conv(x, 4 * filters, 1, strides) : x;
        const inner = relu(conv(relu(conv(x, filters, 1, strides)), filters, 3));
        x = relu(add(conv(inner, 4 * filters, 1), short));
      }
    });
    return layers.dense(reduceMean(x, { axis: [1, 2] }), 1000, { name: "scores" });
  });
  return { graph, output };
}

async function seconds<T>(work: () => T | Promise<T>): Promise<{ result: T; time: number }> {
  const times: number[] = [];
  let result: T | undefined;
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now();
    result = await work();
    times.push((performance.now() - start) / 1000);
  }
  return { result: result!, time: times.sort((a, b) => a - b)[ROUNDS >> 1]! };
}

/** Measures. */
export async function benchTransform(): Promise<TransformTimes> {
  const { graph, output } = resnet50();
  const outputs = [output.op.name];
  const folder = mkdtempSync(join(tmpdir(), "varscope-bench-"));
  const session = new Session(graph, { warn: () => {} });
  try {
    await session.run([], { targets: [globalVariablesInitializer(graph)] });
    const prefix = await train.saver(graph).save(session, join(folder, "resnet50"));
    const freeze = await seconds(() => convertVariablesToConstants(session, outputs));
    const fold = await seconds(() =>
      FOLDING.reduce((g, pass) => PASSES.get(pass)!.run(g, { outputs }).graph, freeze.result),
    );
    const load = async (prove: boolean) =>
      freezeFile(await openGraph(`${prefix}.meta`), outputs, { passes: FOLDING, prove });
    const file = await seconds(() => load(false));
    const proven = await seconds(() => load(true));
    const weights = graph.operations.reduce(
      (n, op) =>
        n + (op.def?.variable === undefined ? 0 : op.attrs.shape !== undefined ? sizeOf(op.attrs.shape) : 0),
      0,
    );
    return {
      nodes: freeze.result.operations.length,
      weights,
      freeze: freeze.time,
      fold: fold.time,
      file: file.time,
      proven: proven.time,
    };
  } finally {
    await session.close();
    rmSync(folder, { recursive: true });
  }
}

const sizeOf = (shape: unknown): number =>
  ((shape as { dims: readonly number[] }).dims ?? []).reduce((a, b) => a * b, 1);

/** Lines for the terminal. */
export const transformLines = (t: TransformTimes): string[] => [
  `ResNet-50 (${t.nodes} nodes, ${(t.weights / 1e6).toFixed(1)} million weights), seconds: freeze ${t.freeze.toFixed(2)}, fold ${t.fold.toFixed(2)}; from files to a folded graph ${t.file.toFixed(2)}, with proofs ${t.proven.toFixed(2)}`,
];
