/** @file A Keras model's config: its layers, and that of a `.keras` as an `.h5` holds it. Start at `modelLayers`. */

import type { Config } from "./layer-variables.ts";

const isObject = (x: unknown): x is Config => typeof x === "object" && x !== null && !Array.isArray(x);

/** A config's JSON; undefined where it is none. */
export function parsedConfig(text: string | undefined): Config | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a config is that of a .keras; that of a legacy .h5 has no module. */
export const isArchiveConfig = (config: Config | undefined): boolean => typeof config?.module === "string";

/** The layers of a model, in its order. */
export interface ModelLayers {
  readonly name: string;
  readonly names: readonly string[];
  /** the model's own layer that a layer inside belongs to */
  ownerOf(layer: string): string | undefined;
}

/** Models inside models, at most. */
const MAX_DEPTH = 32;

/** The layers that a config tells. */
export function modelLayers(config: Config | undefined): ModelLayers {
  const owners = new Map<string, string>();
  const names: string[] = [];
  for (const layer of layersOf(config)) {
    const name = nameOf(layer);
    if (name === "") continue;
    names.push(name);
    const claim = (inner: Config, depth: number): void => {
      if (!owners.has(nameOf(inner))) owners.set(nameOf(inner), name);
      if (depth < MAX_DEPTH) for (const below of layersOf(inner)) claim(below, depth + 1);
    };
    claim(layer, 0);
  }
  return { name: nameOf(config ?? {}), names, ownerOf: (layer) => owners.get(layer) };
}

const nameOf = (layer: Config): string => {
  const config = layer.config;
  const name = isObject(config) ? config.name : undefined;
  return typeof name === "string" ? name : typeof layer.name === "string" ? layer.name : "";
};

/** Layers of a model's config. */
export function layersOf(model: Config | undefined): readonly Config[] {
  const config = model?.config;
  const layers = Array.isArray(config) ? config : isObject(config) ? config.layers : undefined;
  return Array.isArray(layers) ? layers.filter(isObject) : [];
}

/** What an `.h5` holds of the config of a `.keras`. */
export function legacyConfigs(config: Config): { readonly model: string; readonly training?: string } {
  const { compile_config: compiled, ...model } = config;
  const text = JSON.stringify(model);
  if (!isObject(compiled) || !isObject(compiled.optimizer)) return { model: text };
  const { class_name, config: facts } = compiled.optimizer;
  // The losses of a .keras are objects that an .h5 takes as they are; metrics are not, and are left to the user.
  const training = {
    loss: compiled.loss ?? null,
    metrics: null,
    weighted_metrics: null,
    loss_weights: compiled.loss_weights ?? null,
    optimizer_config: { class_name, config: facts },
  };
  return { model: text, training: JSON.stringify(training) };
}
