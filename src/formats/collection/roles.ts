/**
 * @file Roles and layers of variables, read from their names. Start at `roleOf`.
 *
 * @see TensorFlow python/training/slot_creator.py (slots are named `<variable>/<optimizer>`); python/training/moving_averages.py
 */

import { type Shape, sameShape } from "../../base/index.ts";

/** What a variable is for. */
export const ROLES = [
  "weight",
  "bias",
  "gamma",
  "beta",
  "moving-mean",
  "moving-variance",
  "slot",
  "ema",
  "step",
  "other",
] as const;

export type Role = (typeof ROLES)[number];

export interface Place {
  readonly role: Role;
  /** scope of the name, "" at the root; of slots and shadows: their variable's */
  readonly layer: string;
  /** of slots and shadows: the variable that they belong to, by name */
  readonly of?: string;
  /** of slots of known optimizers: what they are, in Keras 2's words */
  readonly slot?: string;
  /** of slots and counters of known optimizers */
  readonly optimizer?: string;
}

/** Last part of a name -> role; a number that made the name unique (`kernel_1`) is not part of it. */
const WORDS: Readonly<Record<string, Role>> = {
  kernel: "weight",
  weight: "weight",
  weights: "weight",
  w: "weight",
  depthwise_kernel: "weight",
  pointwise_kernel: "weight",
  depthwise_weights: "weight",
  pointwise_weights: "weight",
  recurrent_kernel: "weight",
  embedding: "weight",
  embeddings: "weight",
  embedding_weights: "weight",
  filter: "weight",
  filters: "weight",
  bias: "bias",
  biases: "bias",
  b: "bias",
  gamma: "gamma",
  beta: "beta",
  moving_mean: "moving-mean",
  moving_variance: "moving-variance",
  running_mean: "moving-mean", // PyTorch's names
  running_var: "moving-variance",
  num_batches_tracked: "step",
  global_step: "step",
  step: "step",
  iter: "step",
  iterations: "step",
};

/** Names that TensorFlow's optimizers give their slots; `_1` is the second of the same optimizer. */
const SLOT =
  /^(Adam|AdamW|Nadam|AdaMax|Adamax|LazyAdam|LAMB|Momentum|RMSProp|RMSprop|Adagrad|AdagradDA|Adadelta|Ftrl|ProximalAdagrad|gradient_accumulator)(_\d+)?$/;
/** What the slots of TensorFlow 1's optimizers are, in the order in which they are made. @see python/training/{adam,rmsprop,ftrl,...}.py */
const SLOT_WORDS: Readonly<Record<string, readonly string[]>> = {
  Adam: ["m", "v"],
  AdamW: ["m", "v"],
  LazyAdam: ["m", "v"],
  Nadam: ["m", "v"],
  AdaMax: ["m", "v"],
  Momentum: ["momentum"],
  Adagrad: ["accumulator"],
  Adadelta: ["accum_grad", "accum_var"],
  Ftrl: ["accumulator", "linear"],
  RMSProp: ["rms", "momentum"],
};
const CENTERED_RMSPROP = ["rms", "mg", "momentum"];
const SHADOW = /^ExponentialMovingAverage(_\d+)?$/;
/** Counters of Adam beside its slots. */
const POWER = /^beta[12]_power(_\d+)?$/;
/** Keras: `Adam/dense/kernel/m`, or the same with the optimizer's name left out of older files. */
const KERAS_SLOT =
  /^(?:.*\/)?(Adam|AdamW|Nadam|Adamax|SGD|RMSprop|Adagrad|Adadelta|Ftrl)\/(.+)\/(m|v|vhat|momentum|rms|mg|accumulator|accum_grad|accum_var|linear)$/;
/** Of object-based checkpoints. @see TensorFlow python/checkpoint/graph_view.py */
const OBJECT_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE";
const OBJECT_SLOT = /^(.+)\/\.OPTIMIZER_SLOT\/(.+)$/;

const scopeOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf("/")));
const lastOf = (name: string): string => name.slice(name.lastIndexOf("/") + 1);
const wordOf = (name: string): Role | undefined => {
  const word = lastOf(name).replace(/_\d+$/, "");
  return Object.hasOwn(WORDS, word) ? WORDS[word] : undefined;
};

/** Shape of another variable of the same container by name; undefined where it has none of that name. */
export type ShapeOf = (name: string) => Shape | null | undefined;

/**
 * Role and layer of a variable.
 *
 * @param shapeOf - tells the variable's neighbours: below a variable, one of the same shape is its slot, whatever the optimizer is called
 */
export function roleOf(fullName: string, shape: Shape | null, shapeOf: ShapeOf): Place {
  const isObject = fullName.endsWith(OBJECT_VALUE);
  const name = isObject ? fullName.slice(0, -OBJECT_VALUE.length) : fullName;
  const objectSlot = OBJECT_SLOT.exec(name)?.[1];
  if (objectSlot !== undefined) return slotOf(`${objectSlot}${OBJECT_VALUE}`, objectSlot, "slot");
  const scope = scopeOf(name);
  const last = lastOf(name);
  if (SHADOW.test(last)) return slotOf(scope, scope, "ema");
  const slot = SLOT.exec(last);
  if (slot !== null && scope !== "")
    return { ...slotOf(scope, scope, "slot"), ...slotFacts(slot, scope, shapeOf) };
  if (POWER.test(last)) return { role: "slot", layer: scope, optimizer: "Adam" };
  const keras = KERAS_SLOT.exec(name);
  if (keras !== null)
    return { ...slotOf(keras[2]!, keras[2]!, "slot"), slot: keras[3]!, optimizer: keras[1]! };
  const word = wordOf(name);
  if (word !== undefined) return { role: word, layer: scope };
  const owner = scope === "" ? undefined : shapeOf(scope);
  if (owner !== undefined && sameShape(owner, shape)) return slotOf(scope, scope, "slot");
  return { role: "other", layer: scope };
}

/** `Adam_3` is the second slot of the second Adam: names count up over all optimizers of a variable. */
function slotFacts(
  match: RegExpExecArray,
  owner: string,
  shapeOf: ShapeOf,
): Pick<Place, "slot" | "optimizer"> {
  const optimizer = match[1]!;
  const number = Number((match[2] ?? "_0").slice(1));
  const isCentered = optimizer === "RMSProp" && shapeOf(`${owner}/RMSProp_2`) !== undefined;
  const words = isCentered ? CENTERED_RMSPROP : SLOT_WORDS[optimizer];
  return words === undefined ? { optimizer } : { optimizer, slot: words[number % words.length]! };
}

const slotOf = (owner: string, place: string, role: Role): Place => ({
  role,
  layer: scopeOf(place),
  of: owner,
});
