/**
 * @file Writes Keras 3's files: `.weights.h5` and `.keras`. Their layout is class names and numbers, so variables need the keys
 * of such a file. Start at `writeKerasV3`.
 */

import { writeFileAtomic } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import type {
  CollectionWriter,
  Contents,
  Extras,
  WritableVariable,
  WriteCollectionOptions,
} from "../collection/index.ts";
import { writeZip, type ZipPart } from "../zip/index.ts";
import { h5NodeAt, writeH5 } from "./h5-write.ts";
import { isArchiveConfig, parsedConfig } from "./model-config.ts";
import { ASSETS_FOLDER, CONFIG_MEMBER, METADATA_MEMBER, WEIGHTS_MEMBER } from "./open.ts";
import { type Layout, layoutOf, type Placement } from "./write-layout.ts";

/** A dataset's path in Keras 3's layout. */
const WEIGHT_PATH = /(?:^|\/)vars\/[^/]+$/;
/** Beyond this a member of an archive needs sizes of 64 bits. */
const WIDE_BYTES = 2 ** 32 - 2 ** 20;

/**
 * Writes `.weights.h5` of Keras 3.
 *
 * @throws VarscopeError FAILED_PRECONDITION - a variable without a place in that layout: a template is needed
 */
export const writeKerasWeights: CollectionWriter = async (path, contents, options = {}) => {
  const layout = await weightsLayout(path, contents, options, "--like model.weights.h5");
  await writeFileAtomic(path, writeH5(layout.root, layout.order), fileOptions(options));
  return { left: layout.left };
};

/**
 * Writes a `.keras`: the model's config is needed, and is carried as it is.
 *
 * @throws VarscopeError FAILED_PRECONDITION - no config, or as `writeKerasWeights`
 */
export const writeKerasV3: CollectionWriter = async (path, contents, options = {}) => {
  const { kerasConfig, kerasMetadata, kerasAssets } = contents.extras ?? {};
  if (kerasConfig === undefined || !isArchiveConfig(parsedConfig(kerasConfig)))
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      "a .keras needs the model's configuration, which is not here",
      {
        at: path,
        hint: "give a .keras to take it from: --like model.keras",
      },
    );
  const layout = await weightsLayout(path, contents, options, "--like model.keras");
  const bytes = layout.order.reduce((n, d) => n + d.bytes, 0);
  async function* parts(): AsyncGenerator<ZipPart> {
    const text = new TextEncoder();
    yield { name: METADATA_MEMBER, data: text.encode(kerasMetadata ?? METADATA) };
    yield { name: CONFIG_MEMBER, data: text.encode(kerasConfig) };
    yield { name: WEIGHTS_MEMBER, data: writeH5(layout.root, layout.order) };
    for (const [name, read] of kerasAssets ?? []) yield { name: assetName(name), data: await read() };
  }
  const zip = writeZip(parts(), { wide: bytes > WIDE_BYTES });
  await writeFileAtomic(path, zip, fileOptions(options));
  return { left: layout.left };
};

/** Of a model whose file said nothing: the layout is that of Keras 3. */
const METADATA = '{"keras_version": "3.0.0"}';

const assetName = (name: string): string =>
  name.startsWith(ASSETS_FOLDER) ? name : `${ASSETS_FOLDER}${name}`;

/** The options that the file system takes. */
export const fileOptions = ({ signal, sync }: WriteCollectionOptions) => ({
  ...(signal === undefined ? {} : { signal }),
  ...(sync === undefined ? {} : { sync }),
});

async function weightsLayout(
  path: string,
  { variables, extras = {} }: Contents,
  options: WriteCollectionOptions,
  template: string,
): Promise<Layout> {
  const homeless = variables.filter((v) => v.key === undefined || !WEIGHT_PATH.test(v.key));
  if (homeless.length > 0)
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      `${homeless[0]!.name}${homeless.length > 1 ? ` and ${homeless.length - 1} more` : ""} have no place in Keras's layout`,
      { at: path, hint: `give a file to take it from: ${template}` },
    );
  const layout = await layoutOf(inModelOrder(variables), options);
  labelGroups(layout, variables, extras);
  return layout;
}

/** Slots are numbered in the order of their variables: values go in that order, so that it can be seen without a config. */
function inModelOrder(variables: readonly WritableVariable[]): Placement[] {
  const number = (v: WritableVariable): number => Number(/\d+$/.exec(v.key!)?.[0] ?? 0);
  const isState = (v: WritableVariable): boolean => /^optimizer\//.test(v.key!);
  const groupOf = (v: WritableVariable): string => v.key!.replace(/\/vars\/[^/]+$/, "");
  const rankOf = new Map<string, number>();
  for (const v of variables)
    if (v.of !== undefined && isState(v))
      rankOf.set(v.of, Math.min(rankOf.get(v.of) ?? Number.MAX_SAFE_INTEGER, number(v)));
  const groups = new Map<string, number>();
  for (const v of variables) {
    const rank = rankOf.get(v.name) ?? Number.MAX_SAFE_INTEGER;
    groups.set(groupOf(v), Math.min(groups.get(groupOf(v)) ?? Number.MAX_SAFE_INTEGER, rank));
  }
  return [...variables]
    .sort(
      (a, b) =>
        Number(isState(a)) - Number(isState(b)) ||
        groups.get(groupOf(a))! - groups.get(groupOf(b))! ||
        (groupOf(a) < groupOf(b) ? -1 : groupOf(a) > groupOf(b) ? 1 : 0) ||
        number(a) - number(b),
    )
    .map((variable) => ({ variable, path: variable.key! }));
}

/** Names of layers beside their variables, as Keras 3 keeps them; of renamed layers the new ones. Keras 2 keeps none. */
function labelGroups({ root }: Layout, variables: readonly WritableVariable[], extras: Extras): void {
  const stored = extras.kerasAttributes;
  const isKeras2 =
    stored !== undefined && ![...stored].some(([path, { name }]) => /(^|\/)vars$/.test(path) && name);
  for (const [path, texts] of stored ?? []) {
    if (!/(^|\/)vars$/.test(path) || path.startsWith("optimizer/")) continue;
    const group = h5NodeAt(root, path.split("/")); // layers without variables have a name too
    for (const [name, text] of Object.entries(texts)) group.attributes.set(name, text);
  }
  if (isKeras2) {
    h5NodeAt(root, ["vars"]); // by which it is known
    return;
  }
  for (const v of variables) {
    const label = labelOf(v);
    const group = h5NodeAt(root, v.key!.split("/").slice(0, -1));
    if (label !== undefined) group.attributes.set("name", label);
  }
}

/** The layer's own name is the last part of what stands before the variable's. */
function labelOf(v: WritableVariable): string | undefined {
  const name = v.name.replace(/\/vars\/[^/]+$/, "/x");
  if (v.key!.startsWith("optimizer/")) return /^([^/]+)\/[^/]+$/.exec(name)?.[1];
  return name === v.key ? undefined : name.split("/").at(-2);
}
