/**
 * @file Writes Keras's older `.h5`: a whole model where its config is here, else weights alone, by layer. Start at
 * `writeKerasH5`.
 *
 * @see keras/src/legacy/saving/legacy_h5_format.py
 */

import { writeFileAtomic } from "#platform";
import { compareText } from "../../base/index.ts";
import type { CollectionWriter, Contents, Extras, WritableVariable } from "../collection/index.ts";
import type { H5Text } from "./h5-file.ts";
import { listOf } from "./h5-tree.ts";
import { type H5Node, h5NodeAt, writeH5 } from "./h5-write.ts";
import type { Config } from "./layer-variables.ts";
import {
  isArchiveConfig,
  legacyConfigs,
  type ModelLayers,
  modelLayers,
  parsedConfig,
} from "./model-config.ts";
import { optimizerPlace } from "./optimizer-slots.ts";
import { fileOptions } from "./write.ts";
import { layoutOf, type Placement } from "./write-layout.ts";

const OPTIMIZER = "optimizer_weights";
const TOP = "top_level_model_weights";
/** Bytes of a list before it is split. Keras splits at 64,512, where no list fits beside it. @see legacy_h5_format.py */
const LIST_BYTES = 60_000;

/** Order of a layer's variables in Keras, where only their names are known. */
const WORDS = [
  "embeddings",
  "depthwise_kernel",
  "pointwise_kernel",
  "kernel",
  "recurrent_kernel",
  "bias",
  "gamma",
  "beta",
  "moving_mean",
  "moving_variance",
];
/** Order of its parts. */
const PARTS = ["forward", "backward", "query", "key", "value", "attention_output"];

/**
 * Writes `.h5`: `model.load_weights` takes it, and `load_model` where the model's config is here. That of a `.keras` is carried
 * without its metrics.
 */
export const writeKerasH5: CollectionWriter = async (path, contents, options = {}) => {
  const { kerasConfig, kerasTraining } = contents.extras ?? {};
  const config = parsedConfig(kerasConfig);
  const isArchive = isArchiveConfig(config);
  const { model, training } =
    config !== undefined && isArchive
      ? { training: kerasTraining, ...legacyConfigs(config) }
      : { model: kerasConfig, training: kerasTraining };
  if (model === undefined && isPlain(contents)) return writePlain(path, contents, options);
  const hasModel = model !== undefined || contents.variables.some((v) => v.key?.startsWith("model_weights/"));
  const root = hasModel ? "model_weights" : "";
  const listed = listAll(contents, root, modelLayers(config));
  const layout = await layoutOf(
    listed.flatMap((g) =>
      g.weights.map(({ variable, name }): Placement => ({ variable, path: `${g.path}/${name}` })),
    ),
    options,
  );
  writeLists(layout.root, listed, layout.paths, root, contents.extras ?? {});
  if (model !== undefined) layout.root.attributes.set("model_config", model);
  if (model !== undefined && training !== undefined) layout.root.attributes.set("training_config", training);
  await writeFileAtomic(path, writeH5(layout.root, layout.order), fileOptions(options));
  const hasMetrics = isArchive && (config?.compile_config as Config | undefined)?.metrics;
  const left = hasMetrics
    ? [{ what: "the model's metrics", why: "a .h5 describes them otherwise than a .keras" }]
    : [];
  return { left: [...layout.left, ...left] };
};

/** Whether the variables come from an HDF5 file without Keras's lists. */
function isPlain({ extras = {} }: Contents): boolean {
  const stored = extras.kerasAttributes;
  return (
    stored !== undefined &&
    ["", "model_weights"].every((root) => listOf(stored, root, "layer_names").length === 0)
  );
}

/** Datasets by path; what was renamed, by its name. */
const writePlain: CollectionWriter = async (path, { variables, extras = {} }, options = {}) => {
  const placements = variables.map((v): Placement => {
    const isKept = v.key !== undefined && v.key.replace(/:0$/, "") === v.name;
    return { variable: v, path: isKept ? v.key! : v.name };
  });
  const layout = await layoutOf(placements, options);
  for (const [group, texts] of extras.kerasAttributes ?? [])
    for (const [name, text] of Object.entries(texts)) nodeAt(layout.root, group).attributes.set(name, text);
  await writeFileAtomic(path, writeH5(layout.root, layout.order), fileOptions(options));
  return { left: layout.left };
};

/** A group with the list of its weights. */
interface Listed {
  /** `model_weights/bn1` */
  readonly path: string;
  /** `bn1`; undefined for the optimizer */
  readonly layer: string | undefined;
  readonly weights: { readonly variable: WritableVariable; readonly name: string }[];
}

function listAll({ variables, extras = {} }: Contents, root: string, model: ModelLayers): Listed[] {
  const below = (name: string): string => (root === "" ? name : `${root}/${name}`);
  const stored = extras.kerasAttributes ?? new Map<string, Record<string, H5Text>>();
  const told = listOf(stored, root, "layer_names");
  const layers = new Set(told.length > 0 ? told : model.names);
  const groups = new Map<string, Listed>();
  const groupOf = (path: string, layer: string | undefined): Listed => {
    const group = groups.get(path) ?? { path, layer, weights: [] };
    groups.set(path, group);
    return group;
  };
  for (const layer of [...layers, TOP]) groupOf(below(layer), layer);
  for (const variable of variables) {
    const { path, layer, name } = placeOf(variable, root, layers, model);
    groupOf(layer === undefined ? path : below(layer), layer).weights.push({ variable, name });
  }
  const places = placesOf([...groups.values()]);
  const layersFirst = [...groups.values()].sort(
    (a, b) => Number(a.layer === undefined) - Number(b.layer === undefined),
  );
  for (const group of layersFirst) {
    const known = new Map(listOf(stored, group.path, "weight_names").map((name, i) => [name, i]));
    const place = (name: string): number => known.get(name) ?? known.size;
    group.weights.sort(
      (a, b) =>
        place(a.name) - place(b.name) ||
        (group.layer === undefined ? places(a.variable, b.variable) : inLayer(a.name, b.name)),
    );
  }
  return layersFirst;
}

/** Compares variables of an optimizer that no list orders: by its kind, and the order of the model's variables. */
function placesOf(groups: readonly Listed[]) {
  const models = groups.filter((g) => g.layer !== undefined);
  const order = new Map<string, number>();
  const places = (v: WritableVariable): readonly number[] => {
    if (order.size === 0)
      for (const w of models.flatMap((g) => g.weights)) order.set(w.variable.name, order.size);
    return optimizerPlace(v, order.get(v.of ?? "") ?? order.size);
  };
  return (a: WritableVariable, b: WritableVariable): number => {
    const [x, y] = [places(a), places(b)];
    const at = x.findIndex((n, i) => n !== y[i]);
    return at < 0 ? 0 : x[at]! - (y[at] ?? -1);
  };
}

interface Place {
  readonly path: string;
  readonly layer: string | undefined;
  readonly name: string;
}

/** Where a variable goes: where it was, if it is called as before; else by its name. */
function placeOf(v: WritableVariable, root: string, layers: ReadonlySet<string>, model: ModelLayers): Place {
  const { key, name } = v;
  const isKept = key !== undefined && (key.endsWith(`/${name}`) || key.endsWith(`/${name}:0`));
  const isState = v.role === "slot" || v.role === "ema" || v.role === "step" || v.optimizer !== undefined;
  if (isKept && key.startsWith(`${OPTIMIZER}/`))
    return { path: OPTIMIZER, layer: undefined, name: key.slice(OPTIMIZER.length + 1) };
  if (isState) return { path: OPTIMIZER, layer: undefined, name: /:0$/.test(key ?? "") ? `${name}:0` : name };
  const rest = root === "" ? key : key?.startsWith(`${root}/`) ? key.slice(root.length + 1) : undefined;
  const found = [...layers, TOP]
    .filter((layer) => rest?.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];
  if (isKept && found !== undefined) return { path: root, layer: found, name: rest!.slice(found.length + 1) };
  return { path: root, layer: layerOf(name, model), name: key?.endsWith(":0") ? `${name}:0` : name };
}

/** The model's layer that a variable belongs to: the first scope of its name, below that of a Sequential. */
function layerOf(name: string, model: ModelLayers): string {
  const scopes = name.split("/").slice(0, -1);
  const inside =
    scopes[0] === model.name && scopes.length > 1 && model.names.length > 0 ? scopes.slice(1) : scopes;
  return model.ownerOf(inside[0] ?? "") ?? inside[0] ?? TOP;
}

function inLayer(a: string, b: string): number {
  const rank = (name: string, words: readonly string[]): number => {
    const i = words.findIndex((w) => name === w || name.startsWith(`${w}_`));
    return i < 0 ? words.length : i;
  };
  const split = (name: string) => name.replace(/:0$/, "").split("/");
  const [x, y] = [split(a), split(b)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) {
    if (x[i] === y[i]) continue;
    const words = i === x.length - 1 && i === y.length - 1 ? WORDS : PARTS;
    return rank(x[i]!, words) - rank(y[i]!, words) || compareText(x[i]!, y[i]!);
  }
  return x.length - y.length;
}

function writeLists(
  root: H5Node,
  listed: readonly Listed[],
  written: ReadonlySet<string>,
  weights: string,
  { kerasAttributes }: Extras,
): void {
  for (const [path, texts] of kerasAttributes ?? [])
    for (const [name, text] of Object.entries(texts))
      if (path === weights && !/_(names\d*|config)$/.test(name))
        nodeAt(root, path).attributes.set(name, text);
  for (const { path, weights: all } of listed)
    setList(
      nodeAt(root, path),
      "weight_names",
      all.map((w) => w.name).filter((name) => written.has(`${path}/${name}`)),
    );
  const top = nodeAt(root, weights);
  const layers = listed.flatMap(({ layer }) => (layer === undefined || layer === TOP ? [] : [layer]));
  setList(top, "layer_names", layers);
  // Without a version Keras takes the file for one of Keras 1 and rearranges kernels.
  if (!top.attributes.has("keras_version")) top.attributes.set("keras_version", "3.0.0");
  if (!top.attributes.has("backend")) top.attributes.set("backend", "tensorflow");
  for (const name of ["keras_version", "backend"]) root.attributes.set(name, top.attributes.get(name)!);
}

const nodeAt = (root: H5Node, path: string): H5Node => h5NodeAt(root, path === "" ? [] : path.split("/"));

/** A list as Keras writes it: in parts where it is long. */
function setList(group: H5Node, name: string, list: readonly string[]): void {
  const longest = list.reduce((n, s) => Math.max(n, new TextEncoder().encode(s).length), 1);
  const parts = Math.max(1, Math.ceil((longest * list.length) / LIST_BYTES));
  if (parts === 1) {
    group.attributes.set(name, list);
    return;
  }
  // As numpy.array_split: the first parts are one longer.
  const [short, more] = [Math.floor(list.length / parts), list.length % parts];
  for (let i = 0, at = 0; i < parts; i++) {
    const size = short + (i < more ? 1 : 0);
    group.attributes.set(`${name}${i}`, list.slice(at, at + size));
    at += size;
  }
}
