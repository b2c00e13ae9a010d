/** @file Which variables a Keras optimizer has, and of which variable each is. Start at `optimizerVariables`. */

import { type Shape, sameShape } from "../../base/index.ts";
import type { Role } from "../collection/index.ts";
import type { Config } from "./layer-variables.ts";

/** An optimizer as a config says it. */
export interface OptimizerFacts {
  /** `Adam` */
  readonly className: string;
  /** what its variables' names begin with: `adam` */
  readonly name: string;
  readonly config?: Config;
}

/** A variable of an optimizer. */
export interface OptimizerVariable {
  readonly name: string;
  readonly role: Role;
  readonly optimizer: string;
  readonly of?: string;
  readonly slot?: string;
}

/** A variable that may have slots. */
export interface Trainable {
  readonly name: string;
  readonly shape: Shape | null;
}

const CLASSES = [
  "Adam",
  "AdamW",
  "Nadam",
  "Adamax",
  "SGD",
  "RMSprop",
  "Adagrad",
  "Adadelta",
  "Ftrl",
  "Lion",
  "Lamb",
  "Muon",
  "Adafactor",
  "LossScaleOptimizer",
];

/** The class that an optimizer's name comes from: `rm_sprop` -> `RMSprop`; else the name. */
export const optimizerClass = (name: string): string => {
  const bare = name.replace(/_\d+$/, "").replaceAll("_", "").toLowerCase();
  return CLASSES.find((c) => c.toLowerCase() === bare) ?? name;
};

/** Slots of one optimizer: those of a group follow each other for each variable, the groups one after another. */
type Plan = readonly (readonly string[])[];

const ADAM: Plan = [["momentum", "velocity"]];
/** All plans that a class may follow, by its config: the first whose flags hold. @see keras/src/optimizers build() */
const PLANS: Readonly<Record<string, readonly (readonly [plan: Plan, when?: (c: Config) => boolean])[]>> = {
  Adam: [[ADAM, (c) => !c.amsgrad], [[...ADAM, ["velocity_hat"]]]],
  AdamW: [[ADAM, (c) => !c.amsgrad], [[...ADAM, ["velocity_hat"]]]],
  Nadam: [[ADAM]],
  Lamb: [[ADAM]],
  Adamax: [[[["momentum", "norm"]]]],
  SGD: [[[["momentum"]], (c) => c.momentum !== 0], [[]]],
  Lion: [[[["momentum"]]]],
  RMSprop: [
    [[["velocity"]], (c) => !c.momentum && !c.centered],
    [[["velocity"], ["momentum"]], (c) => !c.centered],
    [[["velocity"], ["average_gradient"]], (c) => !c.momentum],
    [[["velocity"], ["momentum"], ["average_gradient"]]],
  ],
  Adagrad: [[[["accumulator"]]]],
  Adadelta: [[[["accumulated_grad", "accumulated_delta_var"]]]],
  Ftrl: [[[["accumulator", "linear"]]]],
};

/** Keras 3's word for a slot -> Keras 2's, which stand in `slot`. */
const WORDS: Readonly<Record<string, string>> = {
  velocity: "v",
  velocity_hat: "vhat",
  norm: "v",
  u: "v",
  average_gradient: "mg",
  accumulated_grad: "accum_grad",
  accumulated_delta_var: "accum_var",
};

/** Keras 2's word for a slot of an optimizer of class `className`. */
export function slotWord(className: string, word: string): string {
  if (className === "RMSprop") return { velocity: "rms", average_gradient: "mg" }[word] ?? word;
  if (word === "momentum" || word === "m") return className === "SGD" ? "momentum" : "m";
  return WORDS[word] ?? word;
}

/**
 * The variables of an optimizer in its order: counters, then slots.
 *
 * @param shapes - of its variables, in order
 * @param trainables - in the model's order
 * @param keras2 - names as Keras 2 makes them: `Adam/m/dense/kernel`
 * @returns undefined where no known order fits the shapes
 */
export function optimizerVariables(
  { className, name, config }: OptimizerFacts,
  shapes: readonly (Shape | null)[],
  trainables: readonly Trainable[],
  keras2: boolean,
): readonly OptimizerVariable[] | undefined {
  const plans = (PLANS[className] ?? [[[]]])
    .filter(([, when]) => config === undefined || when === undefined || when(config))
    .map(([plan]) => plan);
  for (const counters of [["iteration", "learning_rate"], ["iteration"]]) {
    for (const plan of plans.flatMap((p) => [p, ...wider(p, config)])) {
      const slots = slotsOf(plan, trainables);
      const rest = shapes.length - counters.length - slots.length;
      // Nadam keeps a product beside its slots, which Keras gives no name.
      if (rest !== (className === "Nadam" && rest > 0 ? 1 : 0)) continue;
      const fits = slots.every(({ of }, i) => sameShape(of.shape, shapes[counters.length + i]!));
      const scalars = [...counters.keys(), ...(rest > 0 ? [shapes.length - 1] : [])];
      if (!fits || scalars.some((i) => shapes[i]?.length !== 0)) continue;
      return [
        ...counters.map((word) => counter(word, className, keras2 ? "" : `${name}/`)),
        ...slots.map(({ word, of }) => slotVariable(className, name, word, of.name, keras2)),
        ...(rest > 0 ? [counter("variable", className, `${name}/`)] : []),
      ];
    }
  }
  return undefined;
}

/** The same plan with an average of the variables, or gradients being gathered, before it. */
function wider(plan: Plan, config: Config | undefined): Plan[] {
  const average: Plan = [["average"], ...plan];
  const gathered: Plan = [["gradient_accumulator"], ...plan];
  if (config === undefined) return [average, gathered];
  return [
    ...(config.use_ema ? [average] : []),
    ...(config.gradient_accumulation_steps ? [gathered, [["average"], ...gathered]] : []),
  ];
}

const slotsOf = (plan: Plan, trainables: readonly Trainable[]) =>
  plan.flatMap((words) => trainables.flatMap((of) => words.map((word) => ({ word, of }))));

const counter = (word: string, optimizer: string, prefix: string): OptimizerVariable => ({
  name: `${prefix}${word}`,
  role: word === "iteration" ? "step" : "other",
  optimizer,
});

function slotVariable(
  className: string,
  name: string,
  word: string,
  of: string,
  keras2: boolean,
): OptimizerVariable {
  const short = keras2 ? ({ momentum: "m", velocity: "v", velocity_hat: "vhat" }[word] ?? word) : word;
  const spelled = keras2 ? `${name}/${short}/${of}` : `${name}/${of.replaceAll("/", "_")}_${word}`;
  if (word === "average") return { name: spelled, role: "ema", optimizer: className, of };
  return { name: spelled, role: "slot", optimizer: className, of, slot: slotWord(className, word) };
}

/**
 * Where a variable stands among those of an optimizer, as numbers to be compared one after another.
 *
 * @param owner - place of its variable among the model's
 */
export function optimizerPlace(
  v: { readonly name: string; readonly role?: Role; readonly slot?: string; readonly optimizer?: string },
  owner: number,
): readonly number[] {
  if (v.role === "step") return [0, 0];
  if (v.role === "ema") return [2, owner];
  if (v.role !== "slot") return [/learning_rate$/.test(v.name) ? 1 : 9, 0];
  if (v.slot === "gradient_accumulator") return [3, owner];
  const plan = PLANS[v.optimizer ?? ""]?.at(-1)?.[0] ?? [];
  const words = plan.map((group) => group.map((word) => slotWord(v.optimizer ?? "", word)));
  const group = words.findIndex((g) => g.includes(v.slot ?? ""));
  return group < 0 ? [4, 99, owner] : [4, group, owner, words[group]!.indexOf(v.slot!)];
}
