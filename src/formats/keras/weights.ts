/** @file Keras 3's `.weights.h5`, alone or inside a `.keras`: weights, optimizer. Start at `openWeights`. */

import type { StoredVariable } from "../collection/index.ts";
import { arranged, type Placed } from "./arrange.ts";
import { h5Variable } from "./h5-dataset.ts";
import type { H5File } from "./h5-file.ts";
import { type GroupTexts, groupAt, type H5Group } from "./h5-tree.ts";
import type { Config } from "./layer-variables.ts";
import {
  type OptimizerFacts,
  type OptimizerVariable,
  optimizerClass,
  optimizerVariables,
} from "./optimizer-slots.ts";
import { nameWeights } from "./weight-names.ts";

/** What the archive's JSON says. */
export interface ModelFacts {
  /** config.json, parsed */
  readonly model?: Config | undefined;
  /** written by Keras 2 */
  readonly keras2?: boolean | undefined;
}

/** Groups of the optimizer; that of mixed precision has the real one inside. */
const OPTIMIZERS = [["optimizer"], ["optimizer", "inner_optimizer"]];

/** All variables of a weights file. */
export async function weightVariables(
  file: H5File,
  root: H5Group,
  texts: GroupTexts,
  facts: ModelFacts,
): Promise<StoredVariable[]> {
  const labels = labelsOf(texts);
  const keras2 = facts.keras2 ?? (labels.size === 0 && groupAt(root, "vars") !== undefined);
  const places =
    facts.model === undefined && groupAt(root, "optimizer", "vars")
      ? await placesOf(file, root)
      : new Map<string, number>();
  const named = nameWeights(root, { labels, model: facts.model, keras2, places });
  const weights: StoredVariable[] = [];
  for (const { path, name } of named)
    weights.push(await h5Variable(file, path, { name, key: path.slice(1) }));
  const shapes = new Map(weights.map((w) => [w.name, w.shape]));
  const trainables = named
    .filter((w) => w.trainable)
    .map(({ name, path }) => ({ name, path, shape: shapes.get(name) ?? null }));
  const state: StoredVariable[] = [];
  for (const names of OPTIMIZERS) {
    const group = groupAt(root, ...names);
    if (group !== undefined)
      state.push(
        ...(await optimizerState(file, group, labels.get(group.path), { ...facts, keras2 }, trainables)),
      );
  }
  for (const name of ["metrics", "_loss_tracker", "compile_metrics"]) {
    const group = groupAt(root, name);
    for (const path of group === undefined ? [] : datasetsOf(group))
      state.push(
        await h5Variable(file, path, { name: path.slice(1), key: path.slice(1), role: "other", layer: name }),
      );
  }
  return [...weights, ...state];
}

const datasetsOf = (group: H5Group): string[] => [
  ...group.datasets.map((name) => `${group.path}/${name}`),
  ...group.groups.flatMap(datasetsOf),
];

/** The attribute `name` of each group `vars`, by the path of the group above. */
function labelsOf(texts: GroupTexts): Map<string, string> {
  const labels = new Map<string, string>();
  for (const [path, { name }] of texts)
    if (/(^|\/)vars$/.test(path) && typeof name === "string") labels.set(`/${path}`.slice(0, -5), name);
  return labels;
}

/** The place in the file of the first value of each layer: Keras writes them in the model's order, HDF5 lists them by name. */
async function placesOf(file: H5File, root: H5Group): Promise<Map<string, number>> {
  const places = new Map<string, number>();
  const visit = async (group: H5Group): Promise<number> => {
    let least = Number.MAX_SAFE_INTEGER;
    const [first] = group.datasets;
    if (group.name === "vars" && first !== undefined) least = await placeOf(file, `${group.path}/${first}`);
    for (const child of group.groups) least = Math.min(least, await visit(child));
    places.set(group.path, least);
    return least;
  };
  for (const child of root.groups) if (child.name !== "optimizer") await visit(child);
  return places;
}

async function placeOf(file: H5File, path: string): Promise<number> {
  const { metadata } = await file.dataset(path);
  if (metadata.total_size === 0 || metadata.vlen || metadata.size > 64) return Number.MAX_SAFE_INTEGER;
  const shape = metadata.shape ?? [0];
  const read = await file.lastRead(path, metadata.size, {
    start: shape.map(() => 0),
    size: shape.map(() => 1),
  });
  return read?.offset ?? Number.MAX_SAFE_INTEGER;
}

async function optimizerState(
  file: H5File,
  group: H5Group,
  label: string | undefined,
  facts: ModelFacts & { readonly keras2: boolean },
  trainables: readonly Placed[],
): Promise<StoredVariable[]> {
  const vars = group.groups.find((g) => g.name === "vars");
  if (vars === undefined) return [];
  const paths = [...vars.datasets]
    .sort((a, b) => Number(a) - Number(b))
    .map((name) => `${vars.path}/${name}`);
  const plain: StoredVariable[] = [];
  for (const path of paths)
    plain.push(await h5Variable(file, path, { name: path.slice(1), key: path.slice(1) }));
  const said = optimizerConfig(facts.model, group.name === "inner_optimizer");
  const className = said?.className ?? optimizerClass(label ?? "optimizer");
  const name = label ?? (facts.keras2 ? className : (said?.name ?? "optimizer"));
  const config = said === undefined ? {} : { config: said.config };
  const known = slots({ className, name, ...config }, plain, trainables, facts.keras2);
  return plain.map((v, i) => ({
    ...v,
    ...(known === undefined ? unknown(v, className) : placed(known[i]!)),
  }));
}

/** What each variable of an optimizer is: by the model's order, else by the order that the shapes show. */
function slots(
  optimizer: OptimizerFacts,
  variables: readonly StoredVariable[],
  trainables: readonly Placed[],
  keras2: boolean,
): readonly OptimizerVariable[] | undefined {
  const shapes = variables.map((v) => v.shape);
  const known = optimizerVariables(optimizer, shapes, trainables, keras2);
  if (known !== undefined || optimizer.config !== undefined) return known;
  for (const counters of [2, 1]) {
    for (const each of [1, 2]) {
      const first = trainables.map((_, i) => shapes[counters + each * i] ?? null);
      const order = arranged(trainables, first);
      const found = order && optimizerVariables(optimizer, shapes, order, keras2);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

const placed = (v: OptimizerVariable): OptimizerVariable & { readonly layer: string } => ({
  ...v,
  layer: (v.of ?? v.name).replace(/\/?[^/]*$/, ""),
});

/** Of an optimizer whose order is not known: the whole scalar counts steps, what has a shape is some slot. */
function unknown({ dtype, shape }: StoredVariable, optimizer: string) {
  const isScalar = shape?.length === 0;
  const role = !isScalar ? "slot" : dtype.startsWith("int") ? "step" : "other";
  return { role, optimizer, layer: "optimizer" } as const;
}

interface SaidOptimizer {
  readonly className: string;
  readonly name: string | undefined;
  readonly config: Config;
}

/** The optimizer in a model's config. */
function optimizerConfig(model: Config | undefined, inner: boolean): SaidOptimizer | undefined {
  const compiled = model?.compile_config as Config | null | undefined;
  return optimizerSaid(compiled?.optimizer, inner);
}

/** `{ class_name, config }` of an optimizer, or only its name. */
export function optimizerSaid(said: unknown, inner = false): SaidOptimizer | undefined {
  if (typeof said === "string") return { className: optimizerClass(said), name: said, config: {} };
  const { class_name, config } = (said ?? {}) as { class_name?: unknown; config?: unknown };
  if (typeof class_name !== "string" || typeof config !== "object" || config === null) return undefined;
  const facts = config as Config;
  if (inner) return optimizerSaid(facts.inner_optimizer);
  const name = typeof facts.name === "string" ? facts.name : undefined;
  return { className: optimizerClass(class_name.replace(/^.*>/, "")), name, config: facts };
}
