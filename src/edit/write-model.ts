/**
 * @file Containers to write, chosen by name. The writer of a format loads when it is needed. Start at `writeModel`.
 */

import { basename, dirname, exists, listDir } from "#platform";
import { VarscopeError } from "../base/index.ts";
import type {
  CollectionWriter,
  Contents,
  Format,
  WriteCollectionOptions,
  WriteReport,
} from "../formats/collection/index.ts";

/** Formats that are written. */
export const WRITABLE = [
  "checkpoint-v1",
  "checkpoint-v2",
  "checkpoint-object",
  "keras-v3",
  "keras-weights",
  "keras-h5",
  "npz",
  "safetensors",
  "graph-def",
  "saved-model",
] as const satisfies readonly Format[];

export type WritableFormat = (typeof WRITABLE)[number];

/** Endings of names, the longest first. */
const ENDINGS: readonly (readonly [string, WritableFormat])[] = [
  [".weights.h5", "keras-weights"],
  [".safetensors", "safetensors"],
  [".keras", "keras-v3"],
  [".hdf5", "keras-h5"],
  [".h5", "keras-h5"],
  [".npz", "npz"],
  [".pb", "graph-def"],
  [".v1", "checkpoint-v1"],
];

/** The format that a name asks for by its ending; undefined where it has none of them. */
export const formatOfName = (path: string): WritableFormat | undefined =>
  ENDINGS.find(([ending]) => path.toLowerCase().endsWith(ending))?.[1];

/** A format by the name that `--format` gives. @throws VarscopeError INVALID_ARGUMENT - none that is written */
export function needWritable(format: string): WritableFormat {
  const found = WRITABLE.find((f) => f === format);
  if (found !== undefined) return found;
  throw new VarscopeError("INVALID_ARGUMENT", `${format} is no format that varscope writes`, {
    hint: `give one of ${WRITABLE.join(", ")}`,
  });
}

/**
 * The format of the output of an edit: what its name says, else that of the input. Endings of checkpoints say nothing.
 *
 * @param from - of the input; what is not written becomes a V2 checkpoint
 */
export const formatLike = (path: string, from: Format): WritableFormat =>
  formatOfName(path) ?? WRITABLE.find((f) => f === from) ?? "checkpoint-v2";

/** The writer of a format. */
export async function writerOf(format: WritableFormat): Promise<CollectionWriter> {
  switch (format) {
    case "checkpoint-v1":
      return (await import("../formats/checkpoint/index.ts")).writeV1Collection;
    case "checkpoint-v2":
      return (await import("../formats/checkpoint/index.ts")).writeV2Collection;
    case "checkpoint-object":
      return (await import("../formats/object-graph/index.ts")).writeObjectCollection;
    case "keras-v3":
      return (await import("../formats/keras/index.ts")).writeKerasV3;
    case "keras-weights":
      return (await import("../formats/keras/index.ts")).writeKerasWeights;
    case "keras-h5":
      return (await import("../formats/keras/index.ts")).writeKerasH5;
    case "npz":
      return (await import("../formats/arrays/index.ts")).writeNpz;
    case "safetensors":
      return (await import("../formats/arrays/index.ts")).writeSafetensors;
    case "saved-model":
      return (await import("./graph/saved-model.ts")).writeSavedModelCopy;
    case "graph-def":
      return (await import("./graph/graph-write.ts")).writeGraphCollection;
  }
}

/** Names of a container's files beyond its own: the index and data of V2, the shards of V1. */
const PARTS: Partial<Record<WritableFormat, RegExp>> = {
  "checkpoint-v2": /^\.(index|data-\d{5}-of-\d{5})$/,
  "checkpoint-object": /^\.(index|data-\d{5}-of-\d{5})$/,
  "checkpoint-v1": /^(|-\d{5}-of-\d{5})$/,
};

/** Files that stand where a container would be written. */
export async function filesInPlace(path: string, format: WritableFormat): Promise<string[]> {
  const parts = PARTS[format];
  if (parts === undefined) return (await exists(path)) ? [path] : [];
  const [folder, base] = [dirname(path), basename(path)];
  const names = (await exists(folder)) ? await listDir(folder) : [];
  return names
    .filter((n) => n.startsWith(base) && parts.test(n.slice(base.length)))
    .map((n) => `${path.slice(0, path.length - base.length)}${n}`);
}

export interface WriteModelOptions extends WriteCollectionOptions {
  /** what the name does not say */
  readonly format: WritableFormat;
  /** over what is there: false */
  readonly force?: boolean;
}

/**
 * Writes a container: whole or not at all.
 *
 * @throws VarscopeError ALREADY_EXISTS - and not `force`; INVALID_ARGUMENT - shards of a format that has none; and as the format's writer
 */
export async function writeModel(
  path: string,
  contents: Contents,
  options: WriteModelOptions,
): Promise<WriteReport> {
  const { format, force, ...rest } = options;
  await needFree(path, options);
  if (rest.shards !== undefined && PARTS[format] === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", `${format} has no shards`, {
      at: path,
      hint: "leave --shards out",
    });
  }
  return (await writerOf(format))(path, contents, rest);
}

/** @throws VarscopeError ALREADY_EXISTS - the container is there and `force` is not set */
export async function needFree(
  path: string,
  { format, force }: Pick<WriteModelOptions, "format" | "force">,
): Promise<void> {
  if (force) return;
  const [there] = await filesInPlace(path, format);
  if (there === undefined) return;
  throw new VarscopeError("ALREADY_EXISTS", "the file is there already", {
    at: there,
    hint: "give another name, or --force to overwrite it",
  });
}
