/** @file New names for variables; their slots and averages follow. Start at `renameDrafts`. */

import { VarscopeError } from "../../base/index.ts";
import { collectionOf, type StoredVariable } from "../../formats/collection/index.ts";
import type { Model } from "../open-model.ts";
import type { Draft } from "./plan.ts";

/**
 * Renames `live` by patterns.
 *
 * @returns new names of renamed variables by their old ones
 * @throws VarscopeError INVALID_ARGUMENT - a name becomes empty
 */
export function renameDrafts(
  live: readonly Draft[],
  rename: readonly (readonly [RegExp, string])[],
  unused: string[],
): Map<string, string> {
  const everywhere = rename.map(([p, to]) => ({
    pattern: new RegExp(p.source, `${p.flags.replace("g", "")}g`),
    to,
    used: false,
  }));
  const apply = (name: string): string =>
    everywhere.reduce((before, rule) => {
      const after = before.replace(rule.pattern, rule.to);
      if (after !== before) rule.used = true;
      return after;
    }, name);
  const renamed = new Map<string, string>();
  const owners = live.filter((d) => d.entry.of === undefined);
  for (const d of owners) {
    const name = apply(d.name);
    if (name === d.name) continue;
    if (name === "")
      throw new VarscopeError("INVALID_ARGUMENT", "the new name is empty", { at: d.entry.name });
    renamed.set(d.entry.name, name);
    setName(d, name);
  }
  for (const d of live) {
    if (d.entry.of === undefined) continue;
    const owner = renamed.get(d.entry.of);
    const name = owner === undefined ? apply(d.name) : followed(d.name, d.entry.of, owner);
    if (name !== d.name) setName(d, name);
  }
  for (const rule of everywhere) if (!rule.used) unused.push(`--rename ${rule.pattern.source}`);
  return renamed;
}

function setName(d: Draft, name: string): void {
  d.changes.push(`renamed from ${d.entry.name}`);
  d.name = name;
}

/**
 * The name of a slot whose variable has a new name: TF 1 has `dense/kernel/Adam`, Keras 2 `Adam/dense/kernel/m`, Keras 3
 * `adam/dense_kernel_momentum`.
 */
export function followed(name: string, owner: string, renamed: string): string {
  for (const spell of [(s: string) => s, (s: string) => s.replaceAll("/", "_")]) {
    const old = spell(owner);
    for (let at = name.lastIndexOf(old); at >= 0; at = at === 0 ? -1 : name.lastIndexOf(old, at - 1)) {
      const isWhole = (at === 0 || name[at - 1] === "/") && /^([/_]|$)/.test(name.slice(at + old.length));
      if (isWhole) return `${name.slice(0, at)}${spell(renamed)}${name.slice(at + old.length)}`;
    }
  }
  return name;
}

/** A container whose variables have other names, for those who look it up by them. Slots and averages follow. */
export function renamedModel(model: Model, rules: readonly (readonly [RegExp, string])[]): Model {
  const drafts = model.variables.map(
    (entry): Draft => ({
      entry,
      from: entry.name,
      isNew: false,
      dropped: null,
      name: entry.name,
      dtype: entry.dtype,
      shape: [],
      keepsParts: true,
      values: (reading) => model.stream(entry.name, reading),
      changes: [],
    }),
  );
  const ofs = renameDrafts(drafts, rules, []);
  const variables = drafts.map(({ entry, name, values }): StoredVariable => {
    const { layer, of, key, ...facts } = entry;
    const renamed = name !== entry.name;
    return {
      ...facts,
      ...(renamed ? {} : { layer }),
      ...(renamed && key === entry.name ? {} : { key }),
      ...(of === undefined ? {} : { of: ofs.get(of) ?? of }),
      name,
      read: (options) => model.read(entry.name, options),
      readBox: (box, options) => model.readBox(entry.name, box, options),
      stream: values,
    };
  });
  const { path, format, extras } = model;
  return {
    ...collectionOf({ path, format, extras, variables, close: () => model.close() }),
    graph: model.graph,
  };
}
