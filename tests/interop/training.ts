/** @file Graphs built here train in TensorFlow as they do here; checkpoints carry training over, both ways. */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { globalVariables, Session, type Tensor, writeMetaGraph } from "varscope";
import { describe, expect, test } from "vitest";
import { bits, distance, open, relative, trainHere } from "./measures.ts";
import * as nets from "./nets.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

const NETS: Record<string, () => nets.Net> = {
  "dense layers with Adam": nets.mlp,
  "fused batch normalization with momentum, reference variables": () => nets.convBn(false),
  "fused batch normalization with momentum, resource variables": () => nets.convBn(true),
  "batch normalization that asks a placeholder, with RMSProp": nets.placeholderBn,
  "a table of rows with Adagrad, reference variables": () => nets.embedding(false),
  "a table of rows with Adagrad, resource variables": () => nets.embedding(true),
  "dropout with seeds": nets.dropout,
  "separable convolution, plain batch normalization, clipping, Nesterov": nets.clipped,
};

const TOLERANCE = 1e-4;

async function variablesHere(session: Session): Promise<TensorMap> {
  const all = globalVariables(session.graph);
  const values = (await session.run(all)) as Tensor[];
  return Object.fromEntries(all.map((v, i) => [v.op.name, values[i]!]));
}

const bitsOf = (values: TensorMap): Record<string, string> =>
  Object.fromEntries(
    Object.keys(values)
      .sort()
      .map((name) => [name, bits(values[name]!)]),
  );

async function openThere(tf: TensorFlow, net: nets.Net, folder: string): Promise<number> {
  await mkdir(folder, { recursive: true });
  const file = join(folder, "net.meta");
  await writeFile(file, writeMetaGraph({ graph: net.graph, saverDef: net.saver.saverDef ?? undefined }));
  const there = await tf.openMeta(file);
  await tf.run(there, [], {}, [net.init]);
  return there;
}

export function trainingSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("graphs built here", () => {
    for (const [i, [title, build]] of Object.entries(NETS).entries()) {
      test(`${title}: the same initial values, the same 100 losses`, async () => {
        const net = build();
        const there = await openThere(tf!, net, join(folder, `train${i}`));
        await using session = await open(net);
        expect(bitsOf(await variablesHere(session))).toEqual(bitsOf(await tf!.variables(there)));
        const ours = await trainHere(session, net, 0, 100);
        const theirs = await tf!.train(there, net, 0, 100);
        expect(relative(ours, theirs)).toBeLessThan(TOLERANCE);
        expect(ours.at(-1)).toBeLessThan(ours[0]! * 0.95); // it has learned, so there was something to compare
      });
    }

    test("orthogonal initial values are TensorFlow's up to rounding, all else bit for bit", async () => {
      const net = nets.orthogonal();
      const there = await openThere(tf!, net, join(folder, "orthogonal"));
      await using session = await open(net);
      const { "dense/kernel": kernel, ...rest } = await variablesHere(session);
      const { "dense/kernel": theirs, ...others } = await tf!.variables(there);
      expect(distance(kernel!, theirs!)).toBeLessThan(1e-5);
      expect(bitsOf(rest)).toEqual(bitsOf(others));
    });
  });

  describe.skipIf(tf === null)("training goes on", () => {
    for (const [name, build] of Object.entries({
      "momentum-ref": () => nets.convBn(false),
      "momentum-resource": () => nets.convBn(true),
      adam: nets.mlp,
    })) {
      test(`${name}: TensorFlow from our checkpoint, we from TensorFlow's`, async () => {
        const net = build();
        const at = join(folder, `go-on-${name}`);
        const there = await openThere(tf!, net, at);
        await using session = await open(net);
        await trainHere(session, net, 0, 20);
        const ours = (await net.saver.save(session, join(at, "ours"), { globalStep: 20 }))!;
        await tf!.restore(there, ours);
        expect(bitsOf(await tf!.variables(there))).toEqual(bitsOf(await variablesHere(session)));
        const losses = await trainHere(session, net, 20, 10);
        expect(relative(losses, await tf!.train(there, net, 20, 10))).toBeLessThan(TOLERANCE);

        const theirs = await tf!.save(there, join(at, "theirs"));
        const again = build();
        await using next = new Session(again.graph);
        await again.saver.restore(next, theirs);
        expect(bitsOf(await variablesHere(next))).toEqual(bitsOf(await tf!.variables(there)));
        const on = await trainHere(next, again, 30, 10);
        expect(relative(on, await tf!.train(there, net, 30, 10))).toBeLessThan(TOLERANCE);
      });
    }
  });
}
