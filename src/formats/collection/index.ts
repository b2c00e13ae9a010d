/**
 * @file Containers of variables, whatever their format: the lazy view, the roles of variables, what writers take. No format is
 * here. Start at collection.ts; readers of formats start at `collectionOf` and `rawVariable`.
 */

export {
  type CollectionParts,
  collectionOf,
  cutBox,
  type Extras,
  type ReadOptions,
  rowBoxes,
  type StoredVariable,
  type VariableCollection,
  type VariableEntry,
} from "./collection.ts";
export { FORMATS, type Format } from "./format.ts";
export { nearestNames } from "./nearest.ts";
export { allocated, needElements, needRunning, type RawPlace, rawVariable } from "./raw.ts";
export { type Place, ROLES, type Role, roleOf, type ShapeOf } from "./roles.ts";
export {
  type CollectionWriter,
  type Contents,
  contentsOf,
  gatherValues,
  joinPieces,
  variableOf,
  type WritableVariable,
  type WriteCollectionOptions,
  type WriteReport,
} from "./writing.ts";
