/**
 * @file The variables of a graph file: constants with their values, variables with those of the checkpoint beside a MetaGraph.
 * Start at `openGraphCollection`; writing is in graph-write.ts.
 */

import { diskFiles, type Files } from "#platform";
import { VarscopeError } from "../../base/index.ts";
import { openCheckpointCollection } from "../../formats/checkpoint/index.ts";
import {
  collectionOf,
  needRunning,
  type StoredVariable,
  type VariableCollection,
} from "../../formats/collection/index.ts";
import { recognise } from "../recognise.ts";
import {
  bytesOfFile,
  bytesOfShape,
  type GraphFile,
  type GraphVariable,
  graphVariables,
  readGraphFile,
} from "./open-graph.ts";

/** A graph file's variables, and its graph. */
export interface GraphCollection {
  readonly collection: VariableCollection;
  readonly file: GraphFile;
}

/**
 * Opens a GraphDef or MetaGraph, binary or text.
 *
 * @throws VarscopeError INVALID_ARGUMENT - no graph, or one that does not fit together; DATA_LOSS - damaged
 */
export async function openGraphCollection(path: string, files: Files = diskFiles): Promise<GraphCollection> {
  const bytes = await bytesOfFile(path, files);
  const file = await readGraphFile(path, path, bytes, recognise(bytes), files);
  const beside = checkpointOf(file, files);
  const variables = graphVariables(file).map((v) => storedOf(v, beside));
  const collection = collectionOf({
    path,
    format: file.format,
    variables,
    extras: { graphFile: bytes },
    close: beside.close,
  });
  return { collection, file };
}

/** The checkpoint beside a MetaGraph, opened when a value is wanted. */
interface Beside {
  open(variable: string): Promise<VariableCollection>;
  close(): Promise<void>;
}

function checkpointOf({ checkpoint }: GraphFile, files: Files): Beside {
  let opened: Promise<VariableCollection> | undefined;
  return {
    open: async (variable) => {
      if (checkpoint === null) throw noValue(variable);
      opened ??= openCheckpointCollection(checkpoint, files);
      return opened;
    },
    close: async () => {
      await (await opened?.catch(() => undefined))?.close();
    },
  };
}

const noValue = (at: string): VarscopeError =>
  new VarscopeError("FAILED_PRECONDITION", "the graph declares this variable and holds no value of it", {
    at,
    hint: "ask a checkpoint, or lay it beside the .meta under the same name",
  });

function storedOf({ name, dtype, shape, value }: GraphVariable, beside: Beside): StoredVariable {
  const facts = { name, dtype, shape, bytes: bytesOfShape(dtype, shape) };
  if (value !== null) {
    return {
      ...facts,
      read: async ({ signal }) => {
        needRunning(signal, name);
        return value;
      },
    };
  }
  return {
    ...facts,
    read: async (options) => (await beside.open(name)).read(name, options),
    readBox: async (box, options) => (await beside.open(name)).readBox(name, box, options),
    async *stream(options) {
      yield* (await beside.open(name)).stream(name, options);
    },
  };
}
