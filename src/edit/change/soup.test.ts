import { describe, expect, test } from "vitest";
import { tensor, toNumbers } from "../../base/index.ts";
import { collectionOf, gatherValues } from "../../formats/collection/index.ts";
import { greedySoup, type SoupOptions } from "./soup.ts";

const model = (value: number) => {
  const t = tensor([value], "float32");
  const v = { name: "w", dtype: t.dtype, shape: t.shape, bytes: 4, read: async () => t };
  return collectionOf({ path: `${value}`, format: "checkpoint-v2", variables: [v] });
};

/** A soup of models of one number; the score is its distance from 10, or minus that. */
async function soup(values: readonly number[], options: SoupOptions = {}) {
  const asked: number[][] = [];
  const made = await greedySoup(
    values.map(model),
    async ({ variables }, models) => {
      asked.push([...models]);
      const [w] = toNumbers(await gatherValues(variables[0]!));
      return Math.abs(w! - 10) * (options.minimize ? 1 : -1);
    },
    options,
  );
  const [value] = toNumbers(await gatherValues(made.plan.variables[0]!));
  return { ...made, value, asked };
}

describe("a greedy soup", () => {
  test("begins with the best, keeps what does not make the score fall, and tells each decision", async () => {
    const told: number[] = [];
    const made = await soup([30, 12, 8, 11], { onDecision: (d) => told.push(d.model) });
    expect(made.asked).toEqual([[0], [1], [2], [3], [1, 3], [2, 3], [0, 2, 3]]);
    expect(made.decisions).toEqual([
      { model: 3, alone: -1, together: -1, isKept: true },
      { model: 1, alone: -2, together: -1.5, isKept: false },
      { model: 2, alone: -2, together: -0.5, isKept: true },
      { model: 0, alone: -20, together: expect.closeTo(-19 / 3, 5), isKept: false },
    ]);
    expect(told).toEqual([3, 1, 2, 0]);
    expect([made.ingredients, made.value, made.score]).toEqual([[2, 3], 9.5, -0.5]);
  });

  test("keeps one that changes nothing, and of losses what lowers them", async () => {
    expect((await soup([9, 9])).ingredients).toEqual([0, 1]);
    expect((await soup([30, 12, 8, 11], { minimize: true })).ingredients).toEqual([2, 3]);
  });

  test("a score that is no number loses; if all are, there is no soup", async () => {
    expect((await soup([Number.NaN, 9])).ingredients).toEqual([1]);
    await expect(soup([Number.NaN])).rejects.toThrow("[FAILED_PRECONDITION] the score of every model is NaN");
    await expect(soup([])).rejects.toThrow("[INVALID_ARGUMENT] nothing to average");
  });
});
