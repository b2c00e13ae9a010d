/**
 * @file A greedy soup: the mean of those models that make each other better, by a score of the caller's own. Start at `greedySoup`.
 *
 * @see Wortsman et al. 2022, "Model soups", recipe 1 (arXiv:2203.05482)
 */

import { VarscopeError } from "../../base/index.ts";
import { type Contents, contentsOf, type VariableCollection } from "../../formats/collection/index.ts";
import { type AveragePlan, planAverage } from "./average.ts";

/** How good a model is: the mean of `models`, which are counted from 0; of one model, that model as it is. */
export type SoupScore = (contents: Contents, models: readonly number[]) => Promise<number>;

export interface SoupOptions {
  /** the lower the score, the better, as of a loss: false */
  readonly minimize?: boolean;
  /** told of each decision, in the order in which they are made */
  onDecision?(decision: SoupDecision): void;
}

export interface SoupDecision {
  /** which of the models */
  readonly model: number;
  /** its own score */
  readonly alone: number;
  /** score of the soup with it; of the first, its own */
  readonly together: number;
  readonly isKept: boolean;
}

export interface Soup {
  readonly plan: AveragePlan;
  /** what is in it, in the order of the models */
  readonly ingredients: readonly number[];
  readonly decisions: readonly SoupDecision[];
  readonly score: number;
}

/**
 * Begins with the model of the best score and tries the others from the best to the worst: one stays if the score of the mean does not fall.
 * So the soup is never worse than the best model, by that score.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no models, or as `planAverage`; FAILED_PRECONDITION - no model has a number as its score
 */
export async function greedySoup(
  models: readonly VariableCollection[],
  score: SoupScore,
  options: SoupOptions = {},
): Promise<Soup> {
  planAverage(models); // all of them can be averaged, before any is scored
  const sign = options.minimize ? -1 : 1;
  const alone: number[] = [];
  for (const [i, model] of models.entries()) alone.push(await score(contentsOf(model), [i]));
  const order = ranked(alone, sign);
  const first = order[0]!;
  if (Number.isNaN(alone[first]))
    throw new VarscopeError("FAILED_PRECONDITION", "the score of every model is NaN");
  const decisions: SoupDecision[] = [];
  const decide = (decision: SoupDecision): void => {
    decisions.push(decision);
    options.onDecision?.(decision);
  };
  let [ingredients, best] = [[first], alone[first]!];
  decide({ model: first, alone: best, together: best, isKept: true });
  for (const model of order.slice(1)) {
    const tried = [...ingredients, model].sort((a, b) => a - b);
    const together = await score(planAverage(tried.map((i) => models[i]!)), tried);
    const isKept = sign * together >= sign * best;
    if (isKept) [ingredients, best] = [tried, together];
    decide({ model, alone: alone[model]!, together, isKept });
  }
  const plan = planAverage(ingredients.map((i) => models[i]!));
  return { plan, ingredients, decisions, score: best };
}

/** Places of scores from the best to the worst; what is no number comes last. */
function ranked(scores: readonly number[], sign: number): number[] {
  const worth = (i: number): number =>
    Number.isNaN(scores[i]) ? Number.NEGATIVE_INFINITY : sign * scores[i]!;
  return scores.map((_, i) => i).sort((a, b) => (worth(a) === worth(b) ? 0 : worth(b) - worth(a)));
}
