/**
 * @file The record of a transformation: what was done, and how each constant is made from the variables, so that it can be made again from
 * other values. The recipe in it is a GraphDef: TensorFlow runs it, too. Start at `provenanceOf` and `refoldGraph`.
 */

import { crc32c, formatShape, sameShape, type Tensor, VarscopeError } from "../../base/index.ts";
import { parseGraphDef, readGraphDef, writeAttr, writeGraphDef } from "../../formats/graph-def/index.ts";
import type { Graph, Operation } from "../../graph/index.ts";
import { Session } from "../../run/index.ts";
import { isFrozenVariable } from "../graph/open-graph.ts";
import { recognise } from "../recognise.ts";
import { changeNode, draftOf, graphOf } from "./draft.ts";
import type { Origins, PlaceOf, VariablePlace } from "./origins.ts";
import type { PassReport } from "./pass.ts";
import { stripUnused } from "./residue.ts";

/** What stands in `OUT.provenance.json`. */
export interface Provenance {
  readonly version: 1;
  /** the graph that was transformed, and the values it had; as the caller names them */
  readonly source: { readonly graph: string; readonly checkpoint: string | null };
  /** CRC-32C of the file that came of it: the record is of no other */
  readonly crc32c: number;
  readonly outputs: readonly string[];
  readonly passes: readonly PassReport[];
  /** variables by the name of their placeholder in the recipe */
  readonly variables: Readonly<Record<string, VariablePlace>>;
  /** constants of the graph that come from variables */
  readonly constants: Readonly<Record<string, ConstantRecord>>;
  /** GraphDef, base64: from placeholders for the variables to the constants */
  readonly recipe: string;
}

export interface ConstantRecord {
  /** tensor of the recipe */
  readonly recipe: string;
  /** keys of the variables that it depends on */
  readonly from: readonly string[];
}

/** A constant that looks like a weight stands under its own name in checkpoints. */
export const namedPlace: PlaceOf = (constant) =>
  isFrozenVariable(constant) ? { key: constant.name, slice: "", name: constant.name } : null;

export interface ProvenanceFacts {
  readonly source: Provenance["source"];
  readonly outputs: readonly string[];
  readonly passes: readonly PassReport[];
  /** the file of the graph */
  readonly bytes: Uint8Array;
}

/** The record of a graph. */
export function provenanceOf(graph: Graph, origins: Origins, facts: ProvenanceFacts): Provenance {
  const constants: Record<string, ConstantRecord> = {};
  const used = new Set<string>();
  const roots: string[] = [];
  for (const op of graph.operations) {
    if (op.type !== "Const" || !origins.isFromVariable(op)) continue;
    const recipe = origins.of(op);
    const leaves = leavesOf(recipe.op, origins);
    for (const leaf of leaves) used.add(leaf);
    roots.push(recipe.op.name);
    constants[op.name] = {
      recipe: recipe.name,
      from: leaves.map((leaf) => origins.variables.get(leaf)!.key),
    };
  }
  const recipe = stripUnused(origins.recipe, { outputs: [...new Set(roots)] }).graph;
  const { bytes, ...rest } = facts;
  return {
    version: 1,
    ...rest,
    passes: facts.passes.map(({ pass, done, left }) => ({ pass, done, left })),
    crc32c: crc32c(bytes),
    variables: Object.fromEntries([...origins.variables].filter(([name]) => used.has(name))),
    constants,
    recipe: roots.length === 0 ? "" : toBase64(writeGraphDef(recipe)),
  };
}

/** Placeholders that a recipe takes. */
function leavesOf(start: Operation, origins: Origins): string[] {
  const found = new Set<Operation>();
  const stack = [start];
  for (let op = stack.pop(); op !== undefined; op = stack.pop()) {
    if (found.has(op)) continue;
    found.add(op);
    for (const x of op.inputs) stack.push(x.op);
  }
  return [...found].map((op) => op.name).filter((name) => origins.variables.has(name));
}

/** Gives the value of a variable. @throws VarscopeError NOT_FOUND - it is not there */
export type ReadVariable = (place: VariablePlace) => Promise<Tensor>;

/**
 * The graph with constants made anew from other values of the variables: folding again, without folding again.
 *
 * @param bytes - the file that the record belongs to
 * @throws VarscopeError FAILED_PRECONDITION - the record is of another file; INVALID_ARGUMENT - a variable has another dtype or shape; and as `read`
 */
export async function refoldGraph(
  bytes: Uint8Array,
  record: Provenance,
  registry: Graph["registry"],
  read: ReadVariable,
): Promise<Graph> {
  if (crc32c(bytes) !== record.crc32c) {
    throw new VarscopeError(
      "FAILED_PRECONDITION",
      "the record belongs to another graph file, or to this one before it was changed",
      {
        hint: "transform again, and keep OUT and OUT.provenance.json together",
      },
    );
  }
  const isText = recognise(bytes) === "graph-def-text";
  const graph = isText
    ? parseGraphDef(new TextDecoder().decode(bytes), { registry })
    : readGraphDef(bytes, { registry });
  const names = Object.keys(record.constants);
  if (names.length === 0) return graph;
  const values = await runRecipe(record, registry, read);
  const draft = draftOf(graph);
  for (const [i, name] of names.entries()) {
    const op = graph.operation(name);
    const value = values[i]!;
    if (op.type !== "Const")
      throw new VarscopeError("DATA_LOSS", `the record takes a ${op.type} for a constant`, { at: name });
    const now = op.attrs.value as unknown as Tensor;
    if (now.dtype !== value.dtype || !sameShape(now.shape, value.shape)) {
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `the new value is ${value.dtype} ${formatShape(value.shape)}, the graph has ${now.dtype} ${formatShape(now.shape)}`,
        { at: name, hint: "take a checkpoint of the same model" },
      );
    }
    changeNode(draft, name, { attr: { ...draft.nodes.get(name)!.attr, value: writeAttr(value, "tensor") } });
  }
  return graphOf(draft);
}

/** A recipe computes; it has no effects, and no loops that might not end. */
function checkRecipe(recipe: Graph): void {
  const bad = recipe.operations.find(
    ({ def, type }) =>
      def === undefined ||
      def.control !== undefined ||
      (def.stateful === true && !type.startsWith("Placeholder")),
  );
  if (bad === undefined) return;
  throw new VarscopeError("INVALID_ARGUMENT", `a recipe has no ${bad.type}`, { at: `recipe, ${bad.name}` });
}

async function runRecipe(
  record: Provenance,
  registry: Graph["registry"],
  read: ReadVariable,
): Promise<Tensor[]> {
  const recipe = readGraphDef(fromBase64(record.recipe), { registry, file: "recipe" });
  checkRecipe(recipe);
  const session = new Session(recipe);
  try {
    const feeds = new Map<string, Tensor>();
    for (const [name, place] of Object.entries(record.variables)) {
      const value = await read(place);
      const x = recipe.operation(name).output(0);
      if (value.dtype !== x.dtype || !sameShape(value.shape, x.shape)) {
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          `it is ${value.dtype} ${formatShape(value.shape)}, the graph was made with ${x.dtype} ${formatShape(x.shape)}`,
          { at: place.key, hint: "take a checkpoint of the same model" },
        );
      }
      feeds.set(`${name}:0`, value);
    }
    const wanted = Object.values(record.constants).map((c) => c.recipe);
    return (await session.run(wanted, { feeds })) as Tensor[];
  } finally {
    await session.close();
  }
}

/** @throws VarscopeError DATA_LOSS - not such a record; UNIMPLEMENTED - of a later version */
export function readProvenance(text: string, at = "provenance"): Provenance {
  let record: Partial<Provenance> | null;
  try {
    record = JSON.parse(text) as Partial<Provenance> | null;
  } catch (cause) {
    throw new VarscopeError("DATA_LOSS", "no JSON", { at, cause });
  }
  const isRecord = (x: unknown, fields: readonly string[]): boolean =>
    typeof x === "object" &&
    x !== null &&
    Object.values(x).every((item) =>
      fields.every((f) => typeof (item as Record<string, unknown> | null)?.[f] === "string"),
    );
  const sound =
    isRecord(record?.variables, ["key", "slice", "name"]) &&
    isRecord(record?.constants, ["recipe"]) &&
    typeof record?.recipe === "string";
  if (!sound) throw new VarscopeError("DATA_LOSS", "no record of a transformation", { at });
  if (record!.version !== 1)
    throw new VarscopeError("UNIMPLEMENTED", `version ${record!.version}, only 1 is known`, { at });
  return record as Provenance;
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (const b of bytes) text += String.fromCharCode(b);
  return btoa(text);
}

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch (cause) {
    throw new VarscopeError("DATA_LOSS", "the recipe is no base64", { at: "recipe", cause });
  }
}
