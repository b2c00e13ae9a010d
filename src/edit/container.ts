/**
 * @file Any container of variables, opened by what is in it: names, dtypes and shapes at once, values when they are asked for.
 * Start at `openContainer`.
 */

import { type DType, type Shape, type Tensor, VarscopeError } from "../base/index.ts";
import { openCheckpoint } from "../formats/checkpoint/index.ts";
import type { Format } from "../formats/collection/index.ts";
import { nearestNames } from "../formats/collection/index.ts";
import { compareBytes } from "../wire/index.ts";
import { type Located, locate } from "./locate.ts";
import type { GraphFile } from "./open-graph.ts";

/** A variable without its values. */
export interface ContainedVariable {
  readonly name: string;
  readonly dtype: DType;
  /** of a graph's variable, dims may be unknown */
  readonly shape: Shape | null;
  /** of its values; 0 where the shape is unknown */
  readonly bytes: number;
}

/** An open container. */
export interface Container {
  readonly path: string;
  readonly format: Format;
  /** sorted bytewise; a partitioned variable once, whole */
  readonly variables: readonly ContainedVariable[];
  /** the graph, where the container has one */
  readonly graph: GraphFile | null;
  /**
   * A tensor by name; `:0` may follow it.
   *
   * @throws VarscopeError NOT_FOUND - with names like it; FAILED_PRECONDITION - a graph without values
   */
  read(name: string, options?: { readonly signal?: AbortSignal }): Promise<Tensor>;
  close(): Promise<void>;
}

/**
 * Opens what `path` means: a checkpoint by prefix, one of its files, its state file or its folder; a GraphDef or MetaGraph.
 *
 * @throws VarscopeError NOT_FOUND - nothing is there; INVALID_ARGUMENT - nothing that is known; UNIMPLEMENTED - not read yet; DATA_LOSS - damaged
 */
export async function openContainer(path: string): Promise<Container> {
  const found = await locate(path);
  if (found.prefix !== null) return checkpointContainer(path, found.prefix);
  const { isGraphKind, readGraphFile } = await import("./open-graph.ts");
  if (!isGraphKind(found.kind)) throw notReadable(found);
  return graphContainer(path, await readGraphFile(path, found.file, found.bytes!, found.kind));
}

function notReadable({ file, kind }: Located): VarscopeError {
  if (kind === null) {
    return new VarscopeError("INVALID_ARGUMENT", "the file is nothing that varscope knows", {
      at: file,
      hint: "give a checkpoint, a GraphDef or a MetaGraph; it may also be damaged",
    });
  }
  return new VarscopeError("UNIMPLEMENTED", `this is ${kind}, which varscope does not read yet`, {
    at: file,
    hint: "give a V2 checkpoint, a GraphDef or a MetaGraph",
  });
}

/** Key under which object-based checkpoints keep their graph of objects. */
const OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH";

async function checkpointContainer(path: string, prefix: string): Promise<Container> {
  const checkpoint = await openCheckpoint(prefix);
  const variables = [...checkpoint.entries].map(([name, { dtype, shape, bytes }]) => ({
    name,
    dtype,
    shape,
    bytes,
  }));
  return {
    path,
    format: checkpoint.has(OBJECT_GRAPH) ? "checkpoint-object" : "checkpoint-v2",
    variables,
    graph: null,
    read: async (name, options) => checkpoint.read(resolve(name, checkpoint.names(), path), options),
    close: () => checkpoint.close(),
  };
}

async function graphContainer(path: string, file: GraphFile): Promise<Container> {
  const { bytesOfShape, graphVariables, readGraphValue } = await import("./open-graph.ts");
  const found = new Map(graphVariables(file).map((v) => [v.name, v]));
  const encoder = new TextEncoder();
  const variables = [...found.values()]
    .map(({ name, dtype, shape }) => ({ name, dtype, shape, bytes: bytesOfShape(dtype, shape) }))
    .sort((a, b) => compareBytes(encoder.encode(a.name), encoder.encode(b.name)));
  return {
    path,
    format: file.format,
    variables,
    graph: file,
    read: async (given, options = {}) => {
      const op = file.graph.findOperation(given.replace(/:0$/, ""));
      if (op?.type === "Const" && op.attrs.value !== undefined) return op.attrs.value as unknown as Tensor;
      const variable = found.get(resolve(given, found.keys(), path))!;
      return readGraphValue(file, variable, options.signal);
    },
    close: async () => {},
  };
}

/** The name as the container has it. @throws VarscopeError NOT_FOUND */
function resolve(given: string, names: Iterable<string>, path: string): string {
  const all = [...names];
  if (all.includes(given)) return given;
  const bare = given.replace(/:0$/, "");
  if (all.includes(bare)) return bare;
  const near = nearestNames(bare, all);
  throw new VarscopeError("NOT_FOUND", `no tensor ${given} among ${all.length}`, {
    at: path,
    hint: near.length > 0 ? `did you mean ${near.join(", ")}?` : "'varscope inspect' lists all names",
  });
}
