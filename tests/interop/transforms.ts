/** @file Frozen, folded and repaired graphs: TensorFlow loads what we made and computes the same; models of Keras 3 and TensorFlow 1 frozen here. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CORE_OPS, readNpy, type Tensor, tensor, writeGraphDef } from "varscope";
import {
  FOLDING,
  freezeFile,
  openGraph,
  provenanceOf,
  refoldGraph,
  repairGraphDef,
  transformGraph,
} from "varscope/edit";
import { describe, expect, test } from "vitest";
import { savedGraph } from "../../src/edit/graph/saved-model.ts";
import { openVariableSource } from "../../src/edit/graph/variable-source.ts";
import { fromGraphDef, readMessage } from "../../src/formats/graph-def/index.ts";
import { GraphDefSchema } from "../../src/proto/index.ts";
import { distance } from "./measures.ts";
import { fromWire, type TensorFlow, type TensorMap, type WireTensor } from "./tensorflow.ts";

const TOLERANCE = 1e-5;
const GOLDENS = new URL("../goldens/transform/", import.meta.url);

interface Case {
  readonly outputs: readonly string[];
  readonly feeds: Readonly<Record<string, WireTensor>>;
  readonly results: readonly WireTensor[];
  readonly inference?: WireTensor;
}

const npy = async (file: string): Promise<Tensor> => readNpy(await readFile(file));
const flag = tensor(false, "bool");

export function transformSuite(tf: TensorFlow | null, folder: string): void {
  const at = (name: string): string => join(folder, "transforms", name);

  /** Largest difference of what TensorFlow computes with our file, in proportion to the largest value. */
  async function errorThere(
    bytes: Uint8Array,
    name: string,
    outputs: readonly string[],
    feeds: TensorMap,
    wanted: readonly Tensor[],
  ): Promise<number> {
    await mkdir(join(folder, "transforms"), { recursive: true });
    await writeFile(at(name), bytes);
    const session = await tf!.openGraph(at(name));
    const found = await tf!.run(
      session,
      outputs.map((x) => `${x}:0`),
      feeds,
    );
    const scale = Math.max(1, ...wanted.flatMap((t) => [...(t.data as Float32Array)].map(Math.abs)));
    return Math.max(...found.map((t, i) => distance(t, wanted[i]!))) / scale;
  }

  describe.skipIf(tf === null)("transforms", async () => {
    const casesOf = async (file: string): Promise<Readonly<Record<string, Case>>> =>
      JSON.parse(await readFile(new URL(file, GOLDENS), "utf8")).cases;
    const cases = { ...(await casesOf("manifest.json")), ...(await casesOf("volumes.json")) };
    // the first is broken, the second random, the others are for oneDNN alone
    const others = ["update_ops_awaited", "dropout", "conv3d_small_ops", "conv3d_channels_first"];
    const whole = Object.keys(cases).filter((name) => !others.includes(name));

    test.each(whole)("TensorFlow computes the same with %s, folded", async (name) => {
      const { outputs, feeds, results } = cases[name]!;
      const graph = (await openGraph(new URL(`${name}.pb`, GOLDENS).pathname)).graph;
      const off = graph.findOperation("is_training") === undefined ? {} : { is_training: flag };
      const passes = [
        "inline-calls",
        "placeholders-to-constants",
        ...FOLDING,
        "merge-duplicates",
        "strip-default-attrs",
      ];
      const done = await transformGraph(graph, { passes, outputs, placeholders: off, clone: true });
      const known = Object.entries(feeds).filter(
        ([x]) => done.graph.findOperation(x.slice(0, -2)) !== undefined,
      );
      const given = Object.fromEntries(known.map(([x, t]) => [x, fromWire(t)]));
      const bytes = writeGraphDef(done.graph);
      expect(await errorThere(bytes, `${name}.pb`, outputs, given, results.map(fromWire))).toBeLessThan(
        TOLERANCE,
      );
    });

    test("TensorFlow takes the graph that it refused, once it is repaired", async () => {
      const { feeds, results } = cases.update_ops_awaited!;
      const broken = await readFile(new URL("update_ops_awaited.pb", GOLDENS));
      const given = { "x:0": fromWire(feeds["x:0"]!) };
      const wanted = results.map(fromWire);
      await expect(errorThere(broken, "broken.pb", ["out"], given, wanted)).rejects.toThrow("float_ref");
      const { def } = repairGraphDef(readMessage(GraphDefSchema, broken, "broken"), CORE_OPS);
      const bytes = writeGraphDef(fromGraphDef(def, { registry: CORE_OPS }));
      expect(await errorThere(bytes, "mended.pb", ["out"], given, wanted)).toBeLessThan(TOLERANCE);
    });

    test("a SavedModel of Keras 3, frozen, folded and equalised here, in TensorFlow; and made anew from its record", async () => {
      await mkdir(join(folder, "transforms"), { recursive: true });
      const model = at("keras");
      await tf!.ask("keras_export", { path: model });
      const file = await savedGraph(model);
      const { inputs, outputs: results } = file.meta!.signatures.serving_default!;
      const [input, output] = [inputs, results].map(
        (infos) => Object.values(infos)[0]!.encoding.value as string,
      );
      const frozen = await freezeFile(file, [output!], { passes: [...FOLDING, "equalise-layers"] });
      const folded = frozen.transformed.passes.find((p) => p.pass === "fold-batch-norm")!;
      expect([folded.done.length, folded.left]).toEqual([4, []]);
      // two layers of the residual connection stay: others take their channels, too
      const even = frozen.transformed.passes.find((p) => p.pass === "equalise-layers")!;
      expect([even.done.length, even.left.length]).toEqual([3, 2]);
      const [x, y] = await Promise.all([npy(`${model}.x.npy`), npy(`${model}.y.npy`)]);
      const bytes = writeGraphDef(frozen.graph);
      expect(await errorThere(bytes, "keras.pb", frozen.outputs, { [input!]: x }, [y])).toBeLessThan(
        TOLERANCE,
      );
      const { origins, passes, outputs } = frozen.transformed;
      const record = provenanceOf(frozen.graph, origins, {
        source: { graph: model, checkpoint: model },
        outputs,
        passes,
        bytes,
      });
      const source = await openVariableSource(model);
      const again = writeGraphDef(await refoldGraph(bytes, record, CORE_OPS, source.read));
      await source.close();
      expect(await errorThere(again, "keras-again.pb", outputs, { [input!]: x }, [y])).toBeLessThan(
        TOLERANCE,
      );
      // the recipe is a graph of TensorFlow's
      await writeFile(at("recipe.pb"), Buffer.from(record.recipe, "base64"));
      expect(await tf!.openGraph(at("recipe.pb"))).toBeGreaterThan(0);
    });

    test.each([
      ["layers_net", "layers of TensorFlow 1, fused and in small ops, behind a training flag", 2],
      ["loops_net", "variables in a loop, in parts, in a conditional", 0],
    ])("%s: %s", async (program, _, norms) => {
      await mkdir(join(folder, "transforms"), { recursive: true });
      const prefix = at(program);
      if ((await tf!.ask(program, { path: prefix })) === null) return; // no tf_keras beside this TensorFlow
      const [x, y] = await Promise.all([npy(`${prefix}.x.npy`), npy(`${prefix}.y.npy`)]);
      const file = await openGraph(`${prefix}.meta`);
      const placeholders = norms > 0 ? { training: flag } : {};
      const passes = ["placeholders-to-constants", ...FOLDING];
      const frozen = await freezeFile(file, ["out"], { passes, placeholders, clearDevices: true });
      const folded = frozen.transformed.passes.find((p) => p.pass === "fold-batch-norm")!;
      expect([folded.done.length, folded.left]).toEqual([norms, []]);
      const bytes = writeGraphDef(frozen.graph);
      expect(await errorThere(bytes, `${program}.pb`, ["out"], { "x:0": x }, [y])).toBeLessThan(TOLERANCE);
    });
  });
}
