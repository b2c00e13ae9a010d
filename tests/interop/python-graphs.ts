/** @file MetaGraphs written by TF 1 style Python train here as they do in TensorFlow: by the API and on the command line. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CORE_OPS, fromData, readMetaGraph, variableFromProto, writeNpy } from "varscope";
import { describe, expect, test } from "vitest";
import { runCli } from "../../src/cli/index.ts";
import { open, relative, trainHere } from "./measures.ts";
import { generator } from "./nets.ts";
import type { TensorFlow, TensorMap } from "./tensorflow.ts";

const TOLERANCE = 1e-4;

/** Names in the graph, as programs.py says them. */
export interface Names {
  readonly x: string;
  readonly labels: string;
  readonly loss: string;
  readonly train: string;
  readonly init: string;
}

/** 32 images of stripes: the class is where they are. */
function batch({ x, labels }: Names): TensorMap {
  const random = generator(5);
  const classes = Int32Array.from({ length: 32 }, () => Math.floor(random() * 10));
  const pixels = Float32Array.from({ length: 32 * 64 }, (_, i) => {
    const label = classes[Math.floor(i / 64)]!;
    return (((i % 64) + label * 6) % 10) / 10 + 0.5 * random();
  });
  return { [x]: fromData("float32", [32, 8, 8, 1], pixels), [labels]: fromData("int32", [32], classes) };
}

/** What the command prints. @throws Error - it failed */
export async function command(argv: readonly string[]): Promise<string> {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await runCli(argv, {
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => errors.push(text) },
  });
  if (code !== 0) throw new Error(`varscope ${argv.join(" ")}: exit ${code}: ${errors.join("")}`);
  return out.join("");
}

export function pythonGraphSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("graphs of TensorFlow Python", () => {
    for (const useResource of [false, true]) {
      const kind = useResource ? "resource" : "reference";
      test(`${kind} variables: 50 steps here and on the command line give TensorFlow's losses`, async () => {
        const at = join(folder, `python-${kind}`);
        await mkdir(at, { recursive: true });
        const file = join(at, "model.meta");
        const names = await tf!.program<Names>("conv_bn_adam", file, { use_resource: useResource });
        const feeds = batch(names);
        const model = { loss: names.loss, train: names.train, batches: [feeds] };
        const there = await tf!.openMeta(file);
        await tf!.run(there, [], {}, [names.init]);
        const theirs = await tf!.train(there, model, 0, 50);
        expect(theirs.at(-1)).toBeLessThan(theirs[0]! / 2);

        const { graph } = readMetaGraph(await readFile(file), {
          registry: CORE_OPS,
          readVariable: variableFromProto,
        });
        await using session = await open({ graph, init: names.init });
        expect(relative(await trainHere(session, model, 0, 50), theirs)).toBeLessThan(TOLERANCE);

        const argv = ["run", file, "--init", "--fetch", names.loss, "--target", names.train, "--steps", "50"];
        for (const [name, value] of Object.entries(feeds)) {
          const npy = join(at, `${name.replace(/\W/g, "_")}.npy`);
          await writeFile(npy, writeNpy(value));
          argv.push("--feed", `${name}=@${npy}`);
        }
        const lines = (await command(argv))
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line));
        const printed = lines.map((line) => Number(line.fetches[names.loss]));
        expect(relative(printed, theirs)).toBeLessThan(TOLERANCE);
      });
    }
  });
}
