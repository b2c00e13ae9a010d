/** @file Opens Keras's files: `.keras`, `.weights.h5`, `.h5`. Start at `openKerasH5File` and `openKerasArchive`. */

import type { Source } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import {
  collectionOf,
  type Extras,
  type StoredVariable,
  type VariableCollection,
} from "../collection/index.ts";
import { memberBytes, memberSource, openZip, type Zip } from "../zip/index.ts";
import { type H5File, openH5File } from "./h5-file.ts";
import { type GroupTexts, groupAt, groupTexts, type H5Group, h5Tree, listOf, textOf } from "./h5-tree.ts";
import type { Config } from "./layer-variables.ts";
import { legacyVariables } from "./legacy.ts";
import { weightVariables } from "./weights.ts";

/** Members of a `.keras`. @see keras/src/saving/saving_lib.py */
export const CONFIG_MEMBER = "config.json";
export const METADATA_MEMBER = "metadata.json";
export const WEIGHTS_MEMBER = "model.weights.h5";
export const ASSETS_FOLDER = "assets/";
/** A model's JSON, at most. */
const JSON_BYTES = 256 << 20;

/**
 * The variables of an HDF5 file of Keras: `.weights.h5` of Keras 3 (format keras-weights) or the older `.h5` (keras-h5), told
 * by what is inside. Another HDF5 file shows its datasets by path.
 *
 * @throws VarscopeError DATA_LOSS - damaged; PERMISSION_DENIED - it leads out of the file; UNIMPLEMENTED - types, filters
 */
export async function openKerasH5File(source: Source, path: string): Promise<VariableCollection> {
  return opened(source, async (file, root, texts) => {
    if (isWeights(root, texts))
      return { variables: await weightVariables(file, root, texts, {}), format: "keras-weights" };
    const config = textOf(texts, root, "model_config");
    const training = textOf(texts, root, "training_config");
    const extras = {
      ...(config === undefined ? {} : { kerasConfig: config }),
      ...(training === undefined ? {} : { kerasTraining: training }),
    };
    return { variables: await legacyVariables(file, root, texts, training), extras, format: "keras-h5" };
  }).then(({ file, variables, extras, format }) =>
    collectionOf({ path, format, variables, extras, close: file.close }),
  );
}

/**
 * The variables of a `.keras`: its weights are read where they lie in the archive. Code in the config (Lambda layers) is text
 * here, never run.
 *
 * @throws VarscopeError DATA_LOSS - damaged, or no Keras archive; and as `openKerasH5File`
 */
export async function openKerasArchive(source: Source, path: string): Promise<VariableCollection> {
  const zip = await openZip(source);
  const members = new Map(zip.members.map((m) => [m.name, m]));
  const weights = members.get(WEIGHTS_MEMBER);
  if (weights === undefined || !members.has(CONFIG_MEMBER))
    throw new VarscopeError(
      "DATA_LOSS",
      `no ${weights === undefined ? WEIGHTS_MEMBER : CONFIG_MEMBER} inside`,
      {
        at: path,
        hint: "a .keras archive has config.json, metadata.json and model.weights.h5",
      },
    );
  const kerasConfig = await jsonText(zip, CONFIG_MEMBER);
  const kerasMetadata = members.has(METADATA_MEMBER) ? await jsonText(zip, METADATA_MEMBER) : undefined;
  const model = parsed(kerasConfig, CONFIG_MEMBER, path);
  const version = kerasMetadata === undefined ? {} : parsed(kerasMetadata, METADATA_MEMBER, path);
  const keras2 = String(version.keras_version ?? "3").startsWith("2.");
  const assets = zip.members.filter((m) => m.name.startsWith(ASSETS_FOLDER) && !m.name.endsWith("/"));
  const extras: Extras = {
    kerasConfig,
    ...(kerasMetadata === undefined ? {} : { kerasMetadata }),
    ...(assets.length === 0
      ? {}
      : { kerasAssets: new Map(assets.map((m) => [m.name, () => memberBytes(zip, m)])) }),
  };
  const inner = memberSource(zip, weights);
  const {
    file,
    variables,
    extras: more,
  } = await opened(inner, async (h5, root, texts) => ({
    variables: await weightVariables(h5, root, texts, { model, keras2 }),
    format: "keras-v3",
  }));
  const close = async (): Promise<void> => {
    await file.close();
    await source.close();
  };
  return collectionOf({ path, format: "keras-v3", variables, extras: { ...extras, ...more }, close });
}

interface Read {
  readonly variables: StoredVariable[];
  readonly format: "keras-v3" | "keras-weights" | "keras-h5";
  readonly extras?: Extras;
}

async function opened(
  source: Source,
  read: (file: H5File, root: H5Group, texts: GroupTexts) => Promise<Read>,
): Promise<Read & { readonly file: H5File; readonly extras: Extras }> {
  const file = await openH5File(source);
  try {
    const tree = await h5Tree(file);
    const kerasAttributes = await groupTexts(file, tree);
    const found = await read(file, tree, kerasAttributes);
    return { ...found, extras: { ...found.extras, kerasAttributes }, file };
  } catch (e) {
    await file.close();
    throw e;
  }
}

/** Keras 3's layout: variables by number in groups called `vars`. */
function isWeights(root: H5Group, texts: GroupTexts): boolean {
  if (groupAt(root, "model_weights") !== undefined || listOf(texts, "", "layer_names").length > 0)
    return false;
  const hasVars = (group: H5Group): boolean =>
    (group.name === "vars" && group.groups.length === 0) || group.groups.some(hasVars);
  return hasVars(root);
}

async function jsonText(zip: Zip, name: string): Promise<string> {
  const member = zip.members.find((m) => m.name === name)!;
  if (member.bytes > JSON_BYTES)
    throw new VarscopeError(
      "RESOURCE_EXHAUSTED",
      `${name} has ${member.bytes} bytes; at most ${JSON_BYTES} are read`,
      {
        at: zip.source.name,
      },
    );
  return new TextDecoder().decode(await memberBytes(zip, member));
}

function parsed(text: string, name: string, at: string): Config {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Config;
  } catch (cause) {
    throw new VarscopeError("DATA_LOSS", `${name} is not JSON: ${(cause as Error).message}`, { at, cause });
  }
  throw new VarscopeError("DATA_LOSS", `${name} holds ${text.slice(0, 20)}, not an object`, { at });
}
