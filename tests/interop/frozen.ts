/** @file Frozen graphs: ours run in TensorFlow, TensorFlow's and Keras' run here. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CORE_OPS,
  fromData,
  readGraphDef,
  readNpy,
  Session,
  type Tensor,
  writeGraphDef,
  writeMetaGraph,
} from "varscope";
import { convertVariablesToConstants } from "varscope/edit";
import { describe, expect, test } from "vitest";
import { distance, open, trainHere } from "./measures.ts";
import * as nets from "./nets.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

const TOLERANCE = 1e-5;

/** Runs a GraphDef file here. */
async function runHere(file: string, output: string, feeds: TensorMap): Promise<Tensor> {
  const graph = readGraphDef(await readFile(file), { registry: CORE_OPS, file });
  await using session = new Session(graph);
  return (await session.run(output, { feeds })) as Tensor;
}

/** What an inference is fed: the first batch without labels, the training flag off. */
const inputsOf = (net: nets.Net): TensorMap =>
  Object.fromEntries(
    Object.entries(net.batches[0]!)
      .filter(([name]) => name !== "labels:0")
      .map(([name, t]) => [name, name === "training:0" ? fromData("bool", [], Uint8Array.of(0)) : t]),
  );

export function frozenSuite(tf: TensorFlow | null, folder: string): void {
  const at = join(folder, "frozen");
  describe.skipIf(tf === null)("frozen graphs", () => {
    for (const [name, build] of Object.entries({
      "conv-ref": () => nets.convBn(false),
      "conv-resource": () => nets.convBn(true),
      "placeholder-bn": nets.placeholderBn,
      embedding: () => nets.embedding(true),
    })) {
      test(`${name}: ours in TensorFlow, TensorFlow's here`, async () => {
        await mkdir(at, { recursive: true });
        const net = build();
        const feeds = inputsOf(net);
        await using session = await open(net);
        await trainHere(session, net, 0, 10);
        const before = (await session.run(net.logits, { feeds })) as Tensor;
        const output = net.logits.replace(/:0$/, "");
        const ours = join(at, `${name}-ours.pb`);
        await writeFile(ours, writeGraphDef(convertVariablesToConstants(session, [output])));
        const [there] = await tf!.run(await tf!.openGraph(ours), [net.logits], feeds);
        expect(distance(await runHere(ours, net.logits, feeds), before)).toBeLessThan(TOLERANCE);
        expect(distance(before, there!)).toBeLessThan(TOLERANCE);

        const meta = join(at, `${name}.meta`);
        await writeFile(
          meta,
          writeMetaGraph({ graph: net.graph, saverDef: net.saver.saverDef ?? undefined }),
        );
        const id = await tf!.openMeta(meta);
        await tf!.restore(id, (await net.saver.save(session, join(at, name), { writeState: false }))!);
        const theirs = join(at, `${name}-theirs.pb`);
        await tf!.freeze(id, [output], theirs);
        expect(distance(await runHere(theirs, net.logits, feeds), before)).toBeLessThan(TOLERANCE);
      });
    }

    test("a frozen Keras model runs here", async () => {
      await mkdir(at, { recursive: true });
      const file = join(at, "keras.pb");
      const [input, output] = (await tf!.program<string>("keras_frozen", file)).split(" ");
      const [x, y] = await Promise.all(
        [".x.npy", ".y.npy"].map(async (end) => readNpy(await readFile(file + end))),
      );
      expect(distance(await runHere(file, output!, { [input!]: x! }), y!)).toBeLessThan(TOLERANCE);
    });
  });
}
