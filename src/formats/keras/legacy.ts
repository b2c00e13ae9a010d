/**
 * @file Keras's older `.h5`: layers by name, lists of their weights as attributes; of Keras 2 and 3, whole models and weights
 * alone. Start at `legacyVariables`.
 *
 * @see keras/src/legacy/saving/legacy_h5_format.py
 */

import { VarscopeError } from "../../base/index.ts";
import type { StoredVariable } from "../collection/index.ts";
import { h5Variable } from "./h5-dataset.ts";
import type { H5File } from "./h5-file.ts";
import { type GroupTexts, groupAt, type H5Group, listOf } from "./h5-tree.ts";
import { optimizerClass, slotWord } from "./optimizer-slots.ts";
import { optimizerSaid } from "./weights.ts";

/** All variables of a legacy file; of any other HDF5 file, its datasets by path. */
export async function legacyVariables(
  file: H5File,
  root: H5Group,
  texts: GroupTexts,
  trainingConfig: string | undefined,
): Promise<StoredVariable[]> {
  const weightsGroup = groupAt(root, "model_weights") ?? root;
  const listed = layerWeights(file, weightsGroup, texts);
  const optimizer = groupAt(root, "optimizer_weights");
  const state = optimizer === undefined ? [] : weightsOf(file, optimizer, texts);
  const seen = new Set([...listed, ...state].map((w) => w.path));
  const rest = datasetsOf(root).filter((path) => !seen.has(path));
  const names = new Set<string>();
  const unique = (path: string, name: string): string => {
    const free = names.has(name) ? path.slice(1) : name;
    names.add(free);
    return free;
  };
  const out: StoredVariable[] = [];
  for (const { path, name } of listed)
    out.push(await h5Variable(file, path, { name: unique(path, name), key: path.slice(1) }));
  const parse = slotParser(
    out.map((v) => v.name),
    classOf(trainingConfig),
  );
  for (const { path, name } of state)
    out.push(await h5Variable(file, path, { name: unique(path, name), key: path.slice(1), ...parse(name) }));
  for (const path of rest)
    out.push(
      await h5Variable(file, path, {
        name: unique(path, path.slice(1).replace(/:0$/, "")),
        key: path.slice(1),
      }),
    );
  return out;
}

interface Listed {
  readonly path: string;
  /** without `:0` */
  readonly name: string;
}

const datasetsOf = (group: H5Group): string[] => [
  ...group.datasets.map((name) => `${group.path}/${name}`),
  ...group.groups.flatMap(datasetsOf),
];

/** The weights of all layers, in the model's order. */
function layerWeights(file: H5File, group: H5Group, texts: GroupTexts): Listed[] {
  const layers = listOf(texts, group.path.slice(1), "layer_names");
  const out: Listed[] = [];
  const all =
    groupAt(group, "top_level_model_weights") === undefined ? layers : [...layers, "top_level_model_weights"];
  for (const layer of all) {
    // A layer's name may hold slashes.
    const found = groupAt(group, ...layer.split("/"));
    if (found === undefined)
      throw new VarscopeError("DATA_LOSS", `layer ${JSON.stringify(layer)} is listed, and has no group`, {
        at: file.source.name,
        hint: "the file is cut short or was edited; take it from its origin again",
      });
    const seen = new Set(out.map((w) => w.path));
    out.push(...weightsOf(file, found, texts).filter((w) => !seen.has(w.path)));
  }
  return out;
}

/** The weights that a group lists. */
function weightsOf(file: H5File, group: H5Group, texts: GroupTexts): Listed[] {
  const names = listOf(texts, group.path.slice(1), "weight_names");
  return names.map((name) => {
    const parts = name.split("/");
    const holder = groupAt(group, ...parts.slice(0, -1));
    if (!holder?.datasets.includes(parts.at(-1)!))
      throw new VarscopeError("DATA_LOSS", `weight ${JSON.stringify(name)} is listed, and has no dataset`, {
        at: `${file.source.name}:${group.path.slice(1)}`,
        hint: "the file is cut short or was edited; take it from its origin again",
      });
    return { path: `${group.path}/${name}`, name: name.replace(/:0$/, "") };
  });
}

function classOf(trainingConfig: string | undefined): string | undefined {
  try {
    const said = JSON.parse(trainingConfig ?? "{}") as { optimizer_config?: unknown } | null;
    return optimizerSaid(said?.optimizer_config)?.className;
  } catch {
    return undefined; // it is carried as it is; only names come from it
  }
}

const SLOT_WORDS =
  "m|v|vhat|u|momentum|velocity|velocity_hat|norm|rms|mg|average_gradient|accumulator|linear|accum_grad|accum_var|accumulated_grad|accumulated_delta_var|average|gradient_accumulator";
/** `Adam/m/dense/kernel`: Keras 2 from 2.11 on. */
const WORD_FIRST = new RegExp(`^(?:[^/]+/)?(${SLOT_WORDS})/(.+)$`);
/** `Adam/dense/kernel/m`: before it. */
const WORD_LAST = new RegExp(`^[^/]+/(.+)/(${SLOT_WORDS})$`);
/** `adam/dense_kernel_momentum`: Keras 3. */
const WORD_JOINED = new RegExp(`^[^/]+/(.+?)_(${SLOT_WORDS})$`);

type SlotFacts = Pick<StoredVariable, "role" | "layer" | "of" | "slot" | "optimizer">;

/** Tells what a variable of the optimizer is, by its name. */
function slotParser(weights: readonly string[], saidClass: string | undefined): (name: string) => SlotFacts {
  const known = new Set(weights);
  const joined = new Map(weights.map((name) => [name.replaceAll("/", "_"), name]));
  return (given) => {
    const name = given.replace(/^training(_\d+)?\//, "");
    const optimizer = saidClass ?? optimizerClass(name.includes("/") ? name.split("/")[0]! : "optimizer");
    const [, firstWord, firstOf] = WORD_FIRST.exec(name) ?? [];
    const [, lastOf, lastWord] = WORD_LAST.exec(name) ?? [];
    const [, joinedOf, joinedWord] = WORD_JOINED.exec(name) ?? [];
    const [of, word] =
      firstOf !== undefined && known.has(firstOf)
        ? [firstOf, firstWord!]
        : lastOf !== undefined && known.has(lastOf)
          ? [lastOf, lastWord!]
          : [joined.get(joinedOf ?? ""), joinedWord ?? ""];
    if (of !== undefined) {
      const layer = of.replace(/\/?[^/]*$/, "");
      if (word === "average") return { role: "ema", layer, of, optimizer };
      return { role: "slot", layer, of, slot: slotWord(optimizer, word), optimizer };
    }
    const last = name.slice(name.lastIndexOf("/") + 1);
    const role = /^(iter|iteration|iterations)$/.test(last) ? "step" : "other";
    return { role, layer: name.replace(/\/?[^/]*$/, ""), optimizer };
  };
}
