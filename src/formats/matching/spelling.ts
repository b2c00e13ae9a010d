/**
 * @file One spelling for the many that makers give to the same variable: TF 1 and slim, Keras 2 and 3, PyTorch's words.
 * Start at `spellingsOf`.
 *
 * @see Keras src/layers; tf_slim layers/layers.py; PyTorch nn/modules/batchnorm.py
 */

import type { VariableEntry } from "../collection/index.ts";

/** Last parts of names: the word of TF 1's layers, slim or PyTorch -> the word of Keras. */
const WORDS: Readonly<Record<string, string>> = {
  weights: "kernel",
  weight: "kernel",
  w: "kernel",
  biases: "bias",
  b: "bias",
  depthwise_weights: "depthwise_kernel",
  pointwise_weights: "pointwise_kernel",
  running_mean: "moving_mean",
  running_var: "moving_variance",
  running_variance: "moving_variance",
  moving_var: "moving_variance",
  embedding: "embeddings",
  embedding_weights: "embeddings",
};

/** Words of a layer that has running statistics, where other layers say it of kernels. */
const NORM_WORDS: Readonly<Record<string, string>> = { kernel: "gamma", bias: "beta" };

const BATCH_NORM = /^(?:batch_?norm(?:alization)?|bn)(_\d+)?$/;
/** What models are called where nobody named them. */
const MODEL = /^(?:sequential|model|functional|network|net|module)(?:_\d+)?$/;

/** `Net/conv1/BatchNorm/running_var:0` as `net/conv1/bn/moving_variance`, in parts. */
function partsOf(name: string): string[] {
  const bare = name.replace(/:0$/, "").replace(/\/\.ATTRIBUTES\/VARIABLE_VALUE$/, "");
  const parts = bare
    .toLowerCase()
    .split(/[/.]/)
    .filter((part) => part !== "")
    .map((part) => part.replace(BATCH_NORM, "bn$1"));
  const last = parts.length - 1;
  const [, word = "", number = ""] = /^(.*?)(_\d+)?$/.exec(parts[last] ?? "") ?? [];
  if (Object.hasOwn(WORDS, word)) parts[last] = `${WORDS[word]}${number}`;
  // Legacy .h5 says a layer's name twice.
  return parts.filter((part, i) => i === 0 || i === last || part !== parts[i - 1]);
}

/** The parts of each variable's name in one spelling, without the model's own name and the scope that all have. */
export function spellingsOf(variables: readonly VariableEntry[]): Map<VariableEntry, readonly string[]> {
  const spelled = new Map(variables.map((v) => [v, partsOf(v.name)]));
  renameNorms(spelled);
  const models = [...spelled].filter(([v]) => v.optimizer === undefined && v.role !== "step");
  const shared = sharedParts(models.map(([, parts]) => parts));
  const strip = (parts: readonly string[]): readonly string[] => {
    let from = parts.length > shared + 1 ? shared : 0;
    while (parts.length - from > 2 && MODEL.test(parts[from]!)) from++;
    return parts.slice(from);
  };
  return new Map([...spelled].map(([v, parts]) => [v, strip(parts)]));
}

/** Parts at the beginning that all names have; a layer and a word are always left. */
function sharedParts(all: readonly (readonly string[])[]): number {
  if (all.length < 2) return 0;
  const [first] = all;
  let shared = Math.min(...all.map((parts) => parts.length)) - 2;
  for (const parts of all) {
    let same = 0;
    while (same < shared && parts[same] === first![same]) same++;
    shared = Math.min(shared, same);
  }
  return Math.max(0, shared);
}

/** PyTorch calls gamma and beta weight and bias. */
function renameNorms(spelled: Map<VariableEntry, string[]>): void {
  const layerOf = (parts: readonly string[]): string => parts.slice(0, -1).join("/");
  const norms = new Set(
    [...spelled].filter(([v]) => /running_/.test(v.name)).map(([, parts]) => layerOf(parts)),
  );
  if (norms.size === 0) return;
  for (const parts of spelled.values()) {
    const word = parts[parts.length - 1]!;
    if (Object.hasOwn(NORM_WORDS, word) && norms.has(layerOf(parts)))
      parts[parts.length - 1] = NORM_WORDS[word]!;
  }
}

/** `RMSprop`, `rms_prop` and `RMSProp_1` as `rmsprop`. */
export const optimizerFamily = (name: string | undefined): string =>
  (name ?? "")
    .toLowerCase()
    .replace(/_\d+$/, "")
    .replace(/optimizer$/, "")
    .replace(/[^a-z]/g, "");
