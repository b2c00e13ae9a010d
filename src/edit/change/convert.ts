/**
 * @file The variables of one container for another: as they are, or in the layout of a template. Start at `planConvert`; what it
 * gives is written by `writeModel`.
 */

import type {
  Contents,
  Extras,
  Format,
  VariableCollection,
  WritableVariable,
  WriteReport,
} from "../../formats/collection/index.ts";
import { contentsOf, FORMATS } from "../../formats/collection/index.ts";
import type { Pair } from "../../formats/matching/index.ts";
import type { WritableFormat } from "../write-model.ts";

type Left = WriteReport["left"][number];

export interface ConvertPlan extends WriteReport {
  readonly contents: Contents;
  /** with a template: which variable's values go where */
  readonly pairs: readonly Pair[];
  /** with a template: its variables that keep their values */
  readonly kept: readonly string[];
}

/** Containers whose keys are alike: what the container calls a variable has a meaning in the others of its kind only. */
const KEYS: Partial<Record<Format, string>> = {
  "checkpoint-object": "object",
  "keras-v3": "keras-v3",
  "keras-weights": "keras-v3",
  "keras-h5": "keras-h5",
};

/** Formats that keep an extra. */
const CARRIES: Readonly<Record<keyof Extras, readonly Format[]>> = {
  metadata: ["safetensors"],
  kerasConfig: ["keras-v3", "keras-h5"],
  kerasTraining: ["keras-h5"],
  kerasMetadata: ["keras-v3"],
  kerasAssets: ["keras-v3"],
  kerasAttributes: FORMATS, // lists of what is there; another format does without
  objectGraph: ["checkpoint-object", "saved-model"],
  graphFile: ["graph-def"],
  savedModel: FORMATS, // told as its graph
};

const WORDS: Readonly<Record<keyof Extras, string>> = {
  metadata: "metadata",
  kerasConfig: "the Keras model's configuration",
  kerasTraining: "the Keras model's training configuration",
  kerasMetadata: "Keras's metadata",
  kerasAssets: "the Keras model's assets",
  kerasAttributes: "Keras's lists of layers",
  objectGraph: "the object graph",
  graphFile: "the graph",
  savedModel: "graph and signatures",
};

/** The same variables for a container of another format, with what has no place there. */
export const planConvert = (from: VariableCollection, format: WritableFormat): ConvertPlan => ({
  ...fitted(contentsOf(from), from.format, format),
  pairs: [],
  kept: [],
});

/** Contents that come from one format, for another: without keys that mean nothing there; and what has no place. */
export function fitted(
  contents: Contents,
  from: Format,
  to: WritableFormat,
): WriteReport & { readonly contents: Contents } {
  const { variables, extras = {} } = contents;
  const sameKeys = KEYS[from] === KEYS[to] && from !== "saved-model";
  return {
    contents: sameKeys ? contents : { variables: variables.map(withoutKey), extras: withoutLists(extras) },
    left: leftOf(from, extras, to),
  };
}

/** Keras's lists of groups speak of keys. */
const withoutLists = ({ kerasAttributes: _, ...extras }: Extras): Extras => extras;

const withoutKey = ({ key: _, aliases: __, ...v }: WritableVariable): WritableVariable => v;

/** What two reports say, once. */
export function joinedLeft(a: WriteReport["left"], b: WriteReport["left"]): WriteReport["left"] {
  const told = new Set(b.map(({ what }) => what));
  return [...a.filter(({ what }) => !told.has(what)), ...b];
}

/** What a container holds beside its variables that another format has no place for. */
function leftOf(from: Format, extras: Extras, to: WritableFormat): Left[] {
  const left = (Object.keys(CARRIES) as (keyof Extras)[])
    .filter((extra) => extras[extra] !== undefined && !CARRIES[extra].includes(to))
    .map((extra) => ({ what: WORDS[extra], why: `${to} has no place for it` }));
  const isGraph = from === "saved-model" || from === "meta-graph" || from === "graph-def";
  const isKept = to === "saved-model" ? extras.savedModel !== undefined : to === "graph-def";
  if (isGraph && !isKept && extras.graphFile === undefined)
    left.push({ what: "graph and signatures", why: `${to} has no place for them` });
  return left;
}
