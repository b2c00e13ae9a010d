/** @file What is intact of a damaged checkpoint, saved anew. Start at `salvageCheckpoint`. */

import { diskFiles, type Files } from "#platform";
import { VarscopeError } from "../base/index.ts";
import { graphBytes, storedVariable } from "../formats/checkpoint/collection.ts";
import { locateCheckpoint, writeV2Collection } from "../formats/checkpoint/index.ts";
import { type LostTensor, type Salvaged, salvageBundle } from "../formats/checkpoint/salvage.ts";
import type {
  Contents,
  StoredVariable,
  WritableVariable,
  WriteCollectionOptions,
} from "../formats/collection/index.ts";
import { OBJECT_GRAPH_KEY, objectContents, objectVariables } from "../formats/object-graph/index.ts";

export interface RepairOptions extends Omit<WriteCollectionOptions, "onProgress"> {
  /** where the damaged files are looked up */
  readonly files?: Files;
  /** told of the bytes checked so far, and of all */
  onProgress?(bytes: number, all: number): void;
}

/** What came of a repair. */
export interface Repair {
  /** names in the new checkpoint, as its keys are */
  readonly saved: readonly string[];
  readonly lost: readonly LostTensor[];
  /** what was damaged in the index, a sentence each; tensors may be lost whose names are lost too */
  readonly damages: readonly string[];
}

/**
 * Saves every intact tensor of a damaged V2 checkpoint under a new prefix, in the order of its data. Intact is what has its checksum; of
 * a partitioned variable all parts must have theirs. A lost or cut index is rebuilt as far as its blocks are whole. From the object graph of
 * an object-based checkpoint goes what is lost.
 *
 * @throws VarscopeError NOT_FOUND - no checkpoint; DATA_LOSS - nothing is intact; CANCELLED - aborted
 */
export async function salvageCheckpoint(
  path: string,
  out: string,
  options: RepairOptions = {},
): Promise<Repair> {
  const { files = diskFiles, onProgress, ...writing } = options;
  const { signal } = options;
  const salvaged = await salvageBundle(await locateCheckpoint(path, files), files, {
    ...(signal !== undefined && { signal }),
    ...(onProgress !== undefined && { onProgress }),
  });
  const { lost, damages } = salvaged;
  try {
    const contents = await contentsLeft(salvaged, path);
    if (contents.variables.length === 0)
      throw new VarscopeError("DATA_LOSS", `none of ${lost.length} tensors is intact`, {
        at: path,
        hint: "look for another copy",
      });
    await writeV2Collection(out, contents, writing);
    return { saved: contents.variables.map((v) => v.name).sort(), lost, damages };
  } finally {
    await salvaged.close();
  }
}

async function contentsLeft(salvaged: Salvaged, at: string): Promise<Contents> {
  const entries = [...salvaged.index.entries].sort((a, b) => a.shard - b.shard || a.offset - b.offset);
  const stored = entries.map((entry) => storedVariable(entry, salvaged));
  const graphEntry = entries.find((entry) => entry.name === OBJECT_GRAPH_KEY);
  const objectGraph = graphEntry && (await graphBytes(graphEntry, salvaged));
  if (!objectGraph || salvaged.lost.length + salvaged.damages.length === 0)
    return { variables: stored.map(writable) };
  const variables = objectVariables(stored, objectGraph, at).map(writable);
  return objectContents({ variables, extras: { objectGraph } }, at).contents;
}

const writable = (v: StoredVariable): WritableVariable => ({
  ...v,
  shape: v.shape as readonly number[],
  values: (options) => v.stream!(options),
});
