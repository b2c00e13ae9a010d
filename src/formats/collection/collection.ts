/**
 * @file Any container of variables as one lazy view: names, dtypes, shapes and roles at once, values when they are asked for.
 * A format's reader makes `StoredVariable`s; `collectionOf` does what is the same for all. Start at `VariableCollection`.
 */

import {
  allocate,
  type Box,
  compareText,
  copyRegion,
  DTYPES,
  type DType,
  formatShape,
  isStatic,
  type Shape,
  sizeOf,
  type Tensor,
  VarscopeError,
  wholeBox,
} from "../../base/index.ts";
import type { Format } from "./format.ts";
import { kerasState } from "./keras-state.ts";
import { nearestNames } from "./nearest.ts";
import { type Place, type Role, roleOf } from "./roles.ts";

export interface ReadOptions {
  /** ends the read with CANCELLED */
  readonly signal?: AbortSignal;
}

/** A variable without its values. */
export interface VariableEntry {
  /** as people know it (`dense/kernel`), once in its collection */
  readonly name: string;
  /** as the container spells it: the key of an object-based checkpoint, the path in an .h5; else the name */
  readonly key: string;
  readonly dtype: DType;
  /** of a graph's variable, dims may be unknown */
  readonly shape: Shape | null;
  /** of its values; 0 where the shape is unknown */
  readonly bytes: number;
  readonly role: Role;
  /** scope or layer, "" at the root; of slots and shadows: their variable's */
  readonly layer: string;
  /** of slots and shadows: name of the variable that they belong to */
  readonly of?: string;
  /** of slots: what they are in Keras 2's words, whatever the container's: m v vhat momentum rms mg accumulator linear accum_grad accum_var */
  readonly slot?: string;
  /** of slots and counters of an optimizer: its name (`Adam`) */
  readonly optimizer?: string;
  /** other keys under which the container has the same values */
  readonly aliases?: readonly string[];
  /** parts of a partitioned variable */
  readonly parts?: readonly Box[];
}

/** What a format's reader knows of a variable: what it leaves out is told by the name. */
export interface StoredVariable extends Partial<Omit<VariableEntry, "name" | "dtype" | "shape" | "bytes">> {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape | null;
  readonly bytes: number;
  /** all values */
  read(options: ReadOptions): Promise<Tensor>;
  /** the values of a box; by default cut from the whole */
  readBox?(box: Box, options: ReadOptions): Promise<Tensor>;
  /** all values in row-major order, in tensors of rank 1; by default boxes of rows */
  stream?(options: ReadOptions): AsyncIterable<Tensor>;
}

/** What a container holds beside its variables, for writers that can carry it. */
export interface Extras {
  /** safetensors' __metadata__ */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Keras's model as JSON: config.json of .keras, the attribute model_config of .h5 */
  readonly kerasConfig?: string;
  /** attribute training_config of .h5; metadata.json of .keras */
  readonly kerasTraining?: string;
  readonly kerasMetadata?: string;
  /** of .h5, also inside .keras: texts of its groups, by path and name, such as lists of layers and weights */
  readonly kerasAttributes?: ReadonlyMap<string, Readonly<Record<string, string | readonly string[]>>>;
  /** of .keras: files below assets/ by name, such as vocabularies */
  readonly kerasAssets?: ReadonlyMap<string, () => Promise<Uint8Array>>;
  /** folder of a SavedModel, whose graph a copy with other values takes */
  readonly savedModel?: string;
  /** TrackableObjectGraph of an object-based checkpoint */
  readonly objectGraph?: Uint8Array;
  /** GraphDef or MetaGraph, binary or text, as the file has it */
  readonly graphFile?: Uint8Array;
}

/** An open container. */
export interface VariableCollection {
  readonly path: string;
  readonly format: Format;
  /** sorted by name, bytewise; a partitioned variable once, whole */
  readonly variables: readonly VariableEntry[];
  readonly extras: Extras;
  /**
   * The variable that `name` means: its name or key; `:0` may follow.
   *
   * @throws VarscopeError NOT_FOUND - with names like it
   */
  find(name: string): VariableEntry;
  /** All values of a variable. @throws VarscopeError NOT_FOUND; DATA_LOSS - damaged; FAILED_PRECONDITION - a graph without values */
  read(name: string, options?: ReadOptions): Promise<Tensor>;
  /** The values of a box of it. @throws VarscopeError INVALID_ARGUMENT - it leaves the shape; and as `read` */
  readBox(name: string, box: Box, options?: ReadOptions): Promise<Tensor>;
  /** All values in row-major order, as tensors of rank 1 of some MiB, so that memory stays small. @throws VarscopeError as `read` */
  stream(name: string, options?: ReadOptions): AsyncIterable<Tensor>;
  close(): Promise<void>;
}

export interface CollectionParts {
  readonly path: string;
  readonly format: Format;
  readonly variables: readonly StoredVariable[];
  readonly extras?: Extras;
  close?(): Promise<void>;
}

/** The view over what a reader found. @throws VarscopeError DATA_LOSS - two variables of one name */
export function collectionOf(parts: CollectionParts): VariableCollection {
  const stored = new Map(parts.variables.map((v) => [v.name, v]));
  if (stored.size < parts.variables.length) throw twice(parts);
  const shapeOf = (name: string): Shape | null | undefined => stored.get(name)?.shape;
  const state = kerasState(parts.variables);
  const variables = parts.variables
    .map((v) => entryOf(v, shapeOf, state.get(v.name)))
    .sort((a, b) => compareText(a.name, b.name));
  const byName = new Map(variables.map((v) => [v.name, v]));
  const byKey = new Map(
    variables.flatMap((v) => [v.key, ...(v.aliases ?? [])].map((key) => [key, v] as const)),
  );
  const find = (given: string): VariableEntry => {
    const bare = given.replace(/:0$/, "");
    const found = byName.get(given) ?? byKey.get(given) ?? byName.get(bare) ?? byKey.get(bare);
    if (found === undefined) throw unknown(bare, byName, parts.path);
    return found;
  };
  const get = (name: string): StoredVariable => stored.get(find(name).name)!;
  return {
    path: parts.path,
    format: parts.format,
    variables,
    extras: parts.extras ?? {},
    find,
    read: async (name, options = {}) => get(name).read(options),
    readBox: async (name, box, options = {}) => readBox(get(name), box, options),
    stream: (name, options = {}) => streamOf(get(name), options),
    close: async () => parts.close?.(),
  };
}

function twice({ variables, path }: CollectionParts): VarscopeError {
  const seen = new Set<string>();
  const name = variables.find((v) => seen.size === seen.add(v.name).size)!.name;
  return new VarscopeError("DATA_LOSS", `two variables are called ${name}`, { at: path });
}

function unknown(name: string, names: ReadonlyMap<string, unknown>, at: string): VarscopeError {
  const near = nearestNames(name, names.keys());
  return new VarscopeError("NOT_FOUND", `no tensor ${name} among ${names.size}`, {
    at,
    hint: near.length > 0 ? `did you mean ${near.join(", ")}?` : "'varscope inspect' lists all names",
  });
}

/** What the reader says goes before what the name says. */
function entryOf(
  v: StoredVariable,
  shapeOf: (name: string) => Shape | null | undefined,
  state: Place | undefined,
): VariableEntry {
  const { read, readBox, stream, ...known } = v;
  const guess =
    v.role !== undefined && v.layer !== undefined
      ? { role: v.role, layer: v.layer }
      : (state ?? roleOf(v.name, v.shape, shapeOf));
  return { key: v.name, ...guess, ...known };
}

async function readBox(v: StoredVariable, box: Box, options: ReadOptions): Promise<Tensor> {
  const shape = needStatic(v);
  const fits =
    box.start.length === shape.length &&
    box.size.length === shape.length &&
    shape.every((n, i) => box.start[i]! >= 0 && box.size[i]! >= 0 && box.start[i]! + box.size[i]! <= n);
  if (!fits) {
    const what = `the box at ${formatShape(box.start)} of size ${formatShape(box.size)} leaves the shape ${formatShape(shape)}`;
    throw new VarscopeError("INVALID_ARGUMENT", what, { at: v.name });
  }
  if (v.readBox !== undefined) return v.readBox(box, options);
  return cutBox(await v.read(options), box);
}

function needStatic(v: StoredVariable): readonly number[] {
  if (isStatic(v.shape)) return v.shape;
  throw new VarscopeError(
    "FAILED_PRECONDITION",
    `its shape ${formatShape(v.shape)} is not known, and no values are here`,
    { at: v.name },
  );
}

/** Bytes of one piece of a stream. */
const PIECE_BYTES = 4 << 20;

/** All values in row-major order, a few MiB at a time. */
async function* streamOf(v: StoredVariable, options: ReadOptions): AsyncGenerator<Tensor> {
  if (v.stream !== undefined) {
    yield* v.stream(options);
    return;
  }
  const flat = (t: Tensor): Tensor => ({ ...t, shape: [sizeOf(t.shape)] });
  if (v.bytes <= PIECE_BYTES || v.readBox === undefined) {
    yield flat(await v.read(options));
    return;
  }
  for (const box of rowBoxes(needStatic(v), v.bytes / Math.max(1, sizeOf(needStatic(v)))))
    yield flat(await v.readBox(box, options));
}

/** Boxes that make up a shape in row-major order, each of about one piece. */
export function* rowBoxes(
  shape: readonly number[],
  elementBytes: number,
  pieceBytes = PIECE_BYTES,
): Generator<Box> {
  const most = Math.max(1, Math.floor(pieceBytes / elementBytes));
  // Axes from `axis` on are whole in a box; along the one before, some rows at a time.
  let axis = shape.length;
  let inner = 1;
  while (axis > 0 && inner * shape[axis - 1]! <= most) inner *= shape[--axis]!;
  if (axis === 0) {
    yield wholeBox(shape);
    return;
  }
  const cut = axis - 1;
  const rows = Math.max(1, Math.floor(most / inner));
  const outer = shape.slice(0, cut);
  const count = sizeOf(outer);
  for (let i = 0; i < count; i++) {
    const index: number[] = [];
    for (let a = cut - 1, rest = i; a >= 0; a--) {
      index.unshift(rest % outer[a]!);
      rest = Math.floor(rest / outer[a]!);
    }
    for (let row = 0; row < shape[cut]!; row += rows) {
      const size = [...outer.map(() => 1), Math.min(rows, shape[cut]! - row), ...shape.slice(axis)];
      yield { start: [...index, row, ...shape.slice(axis).map(() => 0)], size };
    }
  }
}

/** A box of a tensor in memory, copied. */
export function cutBox(t: Tensor, box: Box): Tensor {
  const out = { dtype: t.dtype, shape: box.size, data: allocate(t.dtype, sizeOf(box.size)) };
  if (sizeOf(box.size) > 0)
    copyRegion(t.data, wholeBox(t.shape), out.data, box, box, DTYPES[t.dtype].kind === "complex" ? 2 : 1);
  return out;
}
