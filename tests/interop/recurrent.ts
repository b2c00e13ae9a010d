/** @file Recurrent layers handed over between TensorFlow 1's cells and Keras's layers in the middle of a training, Adam's slots too. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openModel, planEdit, type RnnForm, writeModel } from "varscope/edit";
import { describe, expect, test } from "vitest";
import type { TensorFlow } from "./tensorflow.ts";

const TOLERANCE = 1e-5;

/** Writes a checkpoint in another form, under the names of the other's layer. */
async function handOver(
  [from, to]: readonly [string, string],
  [scope, other]: readonly [string, string],
  [form, wanted]: readonly [RnnForm, RnnForm],
): Promise<void> {
  const model = await openModel(from);
  const plan = await planEdit(model, {
    surgery: [{ do: "gates", name: scope, from: form, to: wanted }],
    rename: [[new RegExp(`^${scope}/`), `${other}/`]],
  });
  expect(plan.dropped).toEqual([]);
  await writeModel(to, plan, { format: "checkpoint-v2" });
  await model.close();
}

export function recurrentSuite(tf: TensorFlow | null, folder: string): void {
  describe.skipIf(tf === null)("recurrent layers", () => {
    const train = async (kind: string, start: string | null, end: string, steps: number): Promise<number[]> =>
      (await tf!.ask("rnn_train", { kind, start, end, steps })) as number[];
    const near = (a: readonly number[], b: readonly number[]): void => {
      expect(a.length).toBe(b.length);
      expect(Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))).toBeLessThan(TOLERANCE);
    };

    test.each(["LSTM", "GRU"])(
      "%s trains on in Keras and comes back, each loss as if it had stayed",
      async (kind) => {
        const at = (name: string): string => join(folder, "recurrent", `${kind}-${name}`);
        await mkdir(join(folder, "recurrent"), { recursive: true });
        const scopes = ["rnn/cell", `rnn/${kind.toLowerCase()}_cell`] as const;
        const forms = [{ form: "tf1" }, { form: "keras" }] as const;
        await train(`tf1 ${kind}`, null, at("start"), 3);
        const stayed = await train(`tf1 ${kind}`, at("start"), at("stayed"), 5);
        await handOver([at("start"), at("there")], scopes, forms);
        near(await train(`keras ${kind}`, at("there"), at("trained"), 3), stayed.slice(0, 3));
        await handOver([at("trained"), at("back")], [scopes[1], scopes[0]], [forms[1], forms[0]]);
        near(await train(`tf1 ${kind}`, at("back"), at("end"), 2), stayed.slice(3));
      },
    );
  });
}
