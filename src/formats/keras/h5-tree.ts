/** @file The names of an HDF5 file as a tree, walked with bounds. Start at `h5Tree`. */

import { VarscopeError } from "../../base/index.ts";
import type { H5File, H5Text } from "./h5-file.ts";

/** A group. */
export interface H5Group {
  /** from the root, "" for the root itself: `/layers/dense` */
  readonly path: string;
  /** last part of the path */
  readonly name: string;
  readonly groups: readonly H5Group[];
  /** names of its datasets */
  readonly datasets: readonly string[];
}

/** Groups inside groups; models inside models take two or three each. */
const MAX_DEPTH = 64;
/** A name in a group takes this at least. @see HDF5 file format, symbol table entry */
const LINK_BYTES = 24;
/** Text that the attributes of any file may have. */
const MIN_TEXT_CHARS = 64 << 20;

/**
 * All groups and datasets of a file.
 *
 * @throws VarscopeError DATA_LOSS - groups that hold themselves; PERMISSION_DENIED - links that lead elsewhere
 */
export async function h5Tree(file: H5File): Promise<H5Group> {
  const most = Math.ceil(file.size / LINK_BYTES);
  let count = 0;
  const walk = async (path: string, name: string, depth: number): Promise<H5Group> => {
    const at = `${file.source.name}:${path.slice(1, 80)}`;
    if (depth > MAX_DEPTH)
      throw new VarscopeError("DATA_LOSS", `groups ${depth} deep; at most ${MAX_DEPTH} are read`, {
        at,
        hint: "a group may hold itself; take the file from its origin again",
      });
    const groups: H5Group[] = [];
    const datasets: string[] = [];
    for (const child of await file.names(path === "" ? "/" : path)) {
      if (child === "" || child === "." || child.includes("/"))
        throw new VarscopeError("DATA_LOSS", `${JSON.stringify(child)} is no name for a group or dataset`, {
          at,
        });
      if (++count > most)
        throw new VarscopeError("DATA_LOSS", `over ${most} names in a file of ${file.size} bytes`, {
          at,
          hint: "groups hold each other; take the file from its origin again",
        });
      const below = `${path}/${child}`;
      const kind = await file.kind(below);
      if (kind === "group") groups.push(await walk(below, child, depth + 1));
      else if (kind === "dataset") datasets.push(child);
    }
    return { path, name, groups, datasets };
  };
  return walk("", "", 0);
}

/** A group below another, by its path; undefined where there is none. */
export function groupAt(root: H5Group, ...names: readonly string[]): H5Group | undefined {
  return names.reduce<H5Group | undefined>((at, name) => at?.groups.find((g) => g.name === name), root);
}

/** Texts of all groups, by path without the first slash; the root's is "". */
export type GroupTexts = ReadonlyMap<string, Readonly<Record<string, H5Text>>>;

/** The attributes of all groups that are text. */
export async function groupTexts(file: H5File, root: H5Group): Promise<GroupTexts> {
  const texts = new Map<string, Record<string, H5Text>>();
  // The same bytes may stand behind many attributes.
  const most = Math.max(MIN_TEXT_CHARS, 4 * file.size);
  let chars = 0;
  const visit = async (group: H5Group): Promise<void> => {
    const path = group.path === "" ? "/" : group.path;
    const own: Record<string, H5Text> = Object.create(null);
    for (const name of await file.attributeNames(path)) {
      const text = await file.text(path, name);
      chars += typeof text === "string" ? text.length : (text ?? []).reduce((n, t) => n + t.length, 0);
      if (chars > most)
        throw new VarscopeError("RESOURCE_EXHAUSTED", `over ${most} characters in attributes`, {
          at: file.source.name,
        });
      if (text !== undefined) own[name] = text;
    }
    texts.set(group.path.slice(1), own);
    for (const child of group.groups) await visit(child);
  };
  await visit(root);
  return texts;
}

/** One text of a group. */
export function textOf(texts: GroupTexts, group: H5Group, name: string): string | undefined {
  const text = texts.get(group.path.slice(1))?.[name];
  return typeof text === "string" ? text : text?.[0];
}

/**
 * A list that Keras may have split: `weight_names`, or `weight_names0`, `weight_names1`, ...
 *
 * @see keras/src/legacy/saving/legacy_h5_format.py load_attributes_from_hdf5_group
 */
export function listOf(texts: GroupTexts, path: string, name: string): readonly string[] {
  const own = texts.get(path) ?? {};
  const whole = own[name];
  if (whole !== undefined) return typeof whole === "string" ? [whole] : whole;
  const all: string[] = [];
  for (let i = 0; own[`${name}${i}`] !== undefined; i++) all.push(...(own[`${name}${i}`] ?? []));
  return all;
}
