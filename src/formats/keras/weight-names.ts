/**
 * @file Names of the weights in Keras 3's layout, where paths are class names and numbers: from the names that it keeps beside
 * them, the model's config if there is one, and what each layer is known to have. Start at `nameWeights`.
 *
 * @see keras/src/saving/saving_lib.py _save_state, _save_container_state
 */

import type { H5Group } from "./h5-tree.ts";
import { type Config, layerVariables, snakeCase, withoutNumber } from "./layer-variables.ts";
import { layersOf } from "./model-config.ts";

/** A weight with its name. */
export interface NamedWeight {
  /** of its dataset: `/layers/dense/vars/0` */
  readonly path: string;
  /** as Keras's `variable.path`: `bn1/gamma` */
  readonly name: string;
  readonly trainable: boolean;
}

/** What is known beside the tree. */
export interface NamingFacts {
  /** the attribute `name` of the group `vars`, by the path of the group above it */
  readonly labels: ReadonlyMap<string, string>;
  /** config of the model: `{ class_name, config }` */
  readonly model?: Config | undefined;
  /** written by Keras 2, which names no models and keeps no labels */
  readonly keras2: boolean;
  /** place in the file, by path of a group: the order in which layers were saved */
  readonly places: ReadonlyMap<string, number>;
}

/** Groups that hold layers by class name. */
const CONTAINERS = new Set(["layers", "_layer_checkpoint_dependencies"]);
/** Sublayers whose order among a layer's variables is not that of their names. */
const ORDER = ["forward_layer", "backward_layer", "query_dense", "key_dense", "value_dense", "output_dense"];
/** Variables that no optimizer changes. */
const FIXED =
  /(^|\/)(moving_mean|moving_variance|moving_stddev|renorm_mean|renorm_stddev|seed_generator_state|mean|variance|count)$/;
/** Groups of a model that hold no weights of it. */
const OTHERS = new Set(["optimizer", "metrics", "_loss_tracker", "compile_metrics"]);

/** The weights of a model in the order of its variables. */
export function nameWeights(root: H5Group, facts: NamingFacts): NamedWeight[] {
  const found: NamedWeight[] = [];
  visit(root, { above: "", prefix: "", config: facts.model, trainable: true, isRoot: true }, facts, found);
  const names = new Set<string>();
  return found.map((w) => {
    const name = names.has(w.name) ? w.path.slice(1) : w.name;
    names.add(name);
    return { ...w, name };
  });
}

interface Place {
  /** class of the object above, in snake case */
  readonly above: string;
  readonly prefix: string;
  /** `{ class_name, config }` of this object, where it is known */
  readonly config: Config | undefined;
  readonly trainable: boolean;
  readonly isRoot: boolean;
}

const configOf = (object: Config | undefined): Config | undefined =>
  isObject(object?.config) ? object.config : undefined;
const isObject = (x: unknown): x is Config => typeof x === "object" && x !== null && !Array.isArray(x);
const textOf = (x: unknown): string | undefined => (typeof x === "string" ? x : undefined);

/** One object: its own variables, then its layers, then its other parts. */
function visit(group: H5Group, place: Place, facts: NamingFacts, out: NamedWeight[]): void {
  const own = configOf(place.config);
  const vars = group.groups.find((g) => g.name === "vars");
  const label = facts.labels.get(group.path) ?? unlabelled(group.name, place.above, textOf(own?.name));
  const container = group.groups.find((g) => CONTAINERS.has(g.name));
  const prefix = prefixOf(group, place, { label, container, named: vars !== undefined }, facts);
  const className = textOf(place.config?.class_name);
  const above = className === undefined ? withoutNumber(group.name) : snakeCase(className);
  const trainable = place.trainable && own?.trainable !== false;
  if (vars !== undefined) nameOwn(group, vars, { ...place, prefix, trainable }, label, facts, out);
  if (container !== undefined)
    for (const [child, config] of ordered(container, layersOf(place.config), facts))
      visit(child, { above, prefix, config, trainable, isRoot: false }, facts, out);
  const parts = group.groups.filter(
    (g) => g !== vars && g !== container && !(place.isRoot && OTHERS.has(g.name)),
  );
  for (const part of parts.sort((a, b) => ORDER.indexOf(plain(a.name)) - ORDER.indexOf(plain(b.name))))
    visit(part, { above, prefix, config: partConfig(own, part.name), trainable, isRoot: false }, facts, out);
}

/** What Keras 2 calls the parts of attention. */
const ATTENTION: Readonly<Record<string, string>> = {
  query_dense: "query",
  key_dense: "key",
  value_dense: "value",
  output_dense: "attention_output",
};

/** Keras 2 keeps no labels; it calls the cell of an LSTM `lstm_cell`, and the halves of a Bidirectional by their layer. */
function unlabelled(part: string, above: string, configured: string | undefined): string {
  if (part === "forward_layer" || part === "backward_layer")
    return `${part.replace("layer", "")}${configured ?? above}`;
  if (part === "cell" && above !== "") return `${above}_cell`;
  return configured ?? ATTENTION[plain(part)] ?? part;
}

/** A private attribute's name without its mark. */
const plain = (name: string): string => name.replace(/^_/, "");

/** What the names of an object's variables begin with. Functional models add nothing: their layers are built before them. */
function prefixOf(
  group: H5Group,
  { prefix, config, isRoot }: Place,
  own: { readonly label: string; readonly container: H5Group | undefined; readonly named: boolean },
  { keras2 }: NamingFacts,
): string {
  const { label, container, named } = own;
  if (container === undefined) return named && !(isRoot && label === "") ? `${prefix}${label}/` : prefix;
  const className = textOf(config?.class_name);
  const isFunctional =
    className === undefined
      ? container.groups.some((g) => withoutNumber(g.name) === "input_layer")
      : className === "Functional" || className === "Model";
  // Keras 2 names no models; without a config its layers need them, since class names are all there is.
  if (isFunctional || (keras2 && className !== undefined) || label === "") return "";
  if (group.name === "") return `${label}/`;
  const first = layersOf(config)[0];
  return textOf(first?.class_name) === "InputLayer" ? `${label}/` : `${prefix}${label}/`;
}

function nameOwn(
  group: H5Group,
  vars: H5Group,
  { prefix, config, trainable, isRoot }: Place,
  label: string,
  { keras2 }: NamingFacts,
  out: NamedWeight[],
): void {
  const own = configOf(config);
  const count = vars.datasets.length;
  const className = textOf(config?.class_name);
  const kinds =
    className === undefined ? [plain(group.name), label].map(withoutNumber) : [snakeCase(className)];
  const known = isRoot
    ? undefined
    : kinds.map((kind) => layerVariables(kind, count, own, keras2)).find((names) => names !== undefined);
  const sorted = [...vars.datasets].sort((a, b) => Number(a) - Number(b));
  for (const dataset of sorted) {
    const index = /^\d+$/.test(dataset) ? Number(dataset) : -1;
    const word = index < 0 ? dataset : (known?.[index] ?? `vars/${dataset}`);
    const name = `${prefix}${word}`;
    out.push({ path: `${vars.path}/${dataset}`, name, trainable: trainable && !FIXED.test(name) });
  }
}

/** The layers of a container with their configs: in the config's order, or that of their places in the file. */
function ordered(
  container: H5Group,
  layers: readonly Config[],
  { labels, places }: NamingFacts,
): (readonly [H5Group, Config | undefined])[] {
  const byName = new Map(layers.map((l, i) => [textOf(configOf(l)?.name) ?? textOf(l.name), i]));
  const byPath = new Map(uniqueNames(layers).map((name, i) => [name, i]));
  const placed = container.groups.map((group) => {
    const index = byName.get(labels.get(group.path)) ?? byPath.get(group.name);
    return { group, index, place: index ?? places.get(group.path) ?? Number.MAX_SAFE_INTEGER };
  });
  placed.sort((a, b) => a.place - b.place);
  return placed.map(({ group, index }) => [group, index === undefined ? undefined : layers[index]]);
}

/** The names under which Keras saves a list of layers: class names, numbered. Input layers of a Sequential are not saved. */
function uniqueNames(layers: readonly Config[]): string[] {
  const used = new Map<string, number>();
  return layers.map((l) => {
    const kind = snakeCase(textOf(l.class_name) ?? "");
    const seen = used.get(kind) ?? 0;
    used.set(kind, seen + 1);
    return seen === 0 ? kind : `${kind}_${seen}`;
  });
}

/** Config of a layer inside a layer, by the attribute that holds it. */
function partConfig(own: Config | undefined, attribute: string): Config | undefined {
  const candidates = {
    forward_layer: [own?.layer],
    backward_layer: [own?.backward_layer, own?.layer],
  }[attribute] ?? [own?.[attribute]];
  return candidates.find((c): c is Config => isObject(c) && textOf(c.class_name) !== undefined);
}
