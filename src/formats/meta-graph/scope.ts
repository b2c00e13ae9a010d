/** @file Names put into a scope and taken out of it, wherever messages have them: `w`, `w:0`, `^w`, `loc:@w`. Start at `Scoping`. */

import type { SaverDef } from "../../proto/meta-graph.gen.ts";
import type { VariableDef } from "../../proto/variable.gen.ts";

/** A name's spelling elsewhere. */
export type Respell = (name: string) => string;

export const asIs: Respell = (name) => name;

const MARKED = /^(\^|loc:@)?(.*)$/s;

/** `w` as `scope/w`. @see TensorFlow python/framework/ops.py "prepend_name_scope" */
export const intoScope = (scope: string): Respell =>
  scope === "" ? asIs : (name) => name.replace(MARKED, (_, mark = "", rest) => `${mark}${scope}/${rest}`);

/** `scope/w` as `w`; other names stay. @see TensorFlow python/framework/ops.py "strip_name_scope" */
export function outOfScope(scope: string): Respell {
  if (scope === "") return asIs;
  return (name) => {
    const [, mark = "", rest = ""] = MARKED.exec(name)!;
    return rest.startsWith(`${scope}/`) ? `${mark}${rest.slice(scope.length).replace(/^\/+/, "")}` : name;
  };
}

const ifAny = (spell: Respell, name: string): string => (name === "" ? name : spell(name));

/** A variable's entry with other names. */
export const respellVariable = (def: VariableDef, spell: Respell): VariableDef => ({
  ...def,
  variableName: spell(def.variableName),
  initializerName: ifAny(spell, def.initializerName),
  snapshotName: ifAny(spell, def.snapshotName),
  initialValueName: ifAny(spell, def.initialValueName),
  ...(def.saveSliceInfoDef && {
    saveSliceInfoDef: { ...def.saveSliceInfoDef, fullName: spell(def.saveSliceInfoDef.fullName) },
  }),
});

/** A saver's entry with other names. */
export const respellSaver = (def: SaverDef, spell: Respell): SaverDef => ({
  ...def,
  filenameTensorName: ifAny(spell, def.filenameTensorName),
  saveTensorName: ifAny(spell, def.saveTensorName),
  restoreOpName: ifAny(spell, def.restoreOpName),
});
