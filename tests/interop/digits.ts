/** @file The main job's files, where `npm start` has left them: TensorFlow comes to the same answers. */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  CORE_OPS,
  type Nested,
  readGraphDef,
  readNpy,
  Session,
  type Tensor,
  tensor,
  toNumbers,
} from "varscope";
import { describe, expect, test } from "vitest";
import { distance } from "./measures.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const REPORT = join(ROOT, "runs", "digits", "report.json");

interface Report {
  readonly testAccuracy: number;
  readonly restoredAccuracy: number;
  readonly frozenAccuracy: number;
  readonly files: Readonly<
    Record<"checkpoint" | "metaGraph" | "frozen" | "testImages" | "testLabels", string>
  >;
  readonly names: {
    readonly input: string;
    readonly logits: string;
    readonly extraFeeds: Readonly<Record<string, Nested>>;
  };
}

/** Share of rows whose largest value is the label's. */
function accuracy(logits: Tensor, labels: Tensor): number {
  const values = toNumbers(logits);
  const classes = logits.shape[1]!;
  const wanted = toNumbers(labels);
  const hits = wanted.filter((label, i) => {
    const row = values.slice(i * classes, (i + 1) * classes);
    return row.indexOf(Math.max(...row)) === label;
  });
  return hits.length / wanted.length;
}

export function digitsSuite(tf: TensorFlow | null): void {
  describe.skipIf(tf === null || !existsSync(REPORT))("the digits of npm start", () => {
    const load = async (): Promise<{ report: Report; images: Tensor; labels: Tensor }> => {
      const report: Report = JSON.parse(await readFile(REPORT, "utf8"));
      const read = async (file: string): Promise<Tensor> => readNpy(await readFile(join(ROOT, file)));
      return {
        report,
        images: await read(report.files.testImages),
        labels: await read(report.files.testLabels),
      };
    };

    test("TensorFlow restores the checkpoint and finds the same accuracy", async () => {
      const { report, images, labels } = await load();
      const { files, names } = report;
      const there = await tf!.openMeta(join(ROOT, files.metaGraph));
      await tf!.restore(there, join(ROOT, files.checkpoint));
      const extra = Object.entries(names.extraFeeds).map(([name, value]) => [name, tensor(value)] as const);
      const feeds = { [names.input]: images, ...Object.fromEntries(extra) };
      const [logits] = await tf!.run(there, [names.logits], feeds);
      expect(accuracy(logits!, labels)).toBe(report.testAccuracy);
      expect(report.restoredAccuracy).toBe(report.testAccuracy);
    });

    test("TensorFlow runs the frozen graph to within 1e-5 of ours", async () => {
      const { report, images, labels } = await load();
      const { files, names } = report;
      const file = join(ROOT, files.frozen);
      const graph = readGraphDef(await readFile(file), { registry: CORE_OPS, file });
      // the frozen graph may have lost the training flag
      const known = Object.entries(names.extraFeeds).filter(([name]) =>
        graph.operations.some((op) => name === `${op.name}:0`),
      );
      const feeds: TensorMap = {
        [names.input]: images,
        ...Object.fromEntries(known.map(([name, value]) => [name, tensor(value)])),
      };
      await using session = new Session(graph);
      const ours = (await session.run(names.logits, { feeds })) as Tensor;
      const [theirs] = await tf!.run(await tf!.openGraph(file), [names.logits], feeds);
      expect(distance(ours, theirs!)).toBeLessThan(1e-5);
      expect(accuracy(theirs!, labels)).toBe(report.frozenAccuracy);
    });
  });
}
