/** @file What a mutant may do: give values or a typed error, in bounded time and memory, and ask for no file but its own. Start at `probe`. */

import { bytesSource, type Files, heldFiles } from "#platform";
import { isVarscopeError, type Tensor } from "../../src/base/index.ts";
import { inspectModel } from "../../src/edit/inspect.ts";
import { type Model, openModel } from "../../src/edit/open-model.ts";
import { probePrograms } from "./check-programs.ts";
import type { Seed } from "./corpus.ts";

/** `whole`: all values read; `partly`: opened, some tensors refused; `refused`: not opened */
export type Outcome = "whole" | "partly" | "refused";

/** Tensors that claim more are not read. */
const MOST_TENSOR_BYTES = 8 << 20;
/** All that is read of one mutant. */
const MOST_BYTES = 64 << 20;

/** Opens a container, looks into it and reads it. @throws what is no typed error, or an error that says INTERNAL */
export async function probe(seed: Seed): Promise<Outcome> {
  const program = await probePrograms(seed);
  if (program !== null) return program;
  const { kind, files, open } = seed;
  let model: Model;
  try {
    model = await openModel(open, { files: guarded(files, kind === "state-file") });
  } catch (e) {
    needTyped(e);
    return "refused";
  }
  let refused = await tries(() => inspectModel(model));
  let bytes = 0;
  for (const v of model.variables) {
    if (v.bytes > MOST_TENSOR_BYTES || bytes > MOST_BYTES) continue;
    bytes += v.bytes;
    refused = (await tries(() => model.read(v.name))) || refused;
    refused = (await tries(() => drain(model.stream(v.name)))) || refused;
    if (v.shape === null || v.shape.length === 0 || v.shape.some((n) => n === null || n === 0)) continue;
    const last = (v.shape as readonly number[]).map((n) => n - 1);
    refused = (await tries(() => model.readBox(v.name, { start: last, size: last.map(() => 1) }))) || refused;
  }
  await model.close();
  return refused ? "partly" : "whole";
}

async function tries(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (e) {
    needTyped(e);
    return true;
  }
}

async function drain(pieces: AsyncIterable<Tensor>): Promise<void> {
  for await (const _ of pieces);
}

function needTyped(e: unknown): void {
  if (!isVarscopeError(e) || e.code === "INTERNAL") throw e;
}

/** Files in memory that tell of every name that leaves them. @param roams - a state file may name a checkpoint anywhere, as TensorFlow's do */
function guarded(files: ReadonlyMap<string, Uint8Array>, roams: boolean): Files {
  const held = heldFiles(new Map([...files].map(([name, bytes]) => [name, bytesSource(bytes, name)])));
  const need = (path: string): string => {
    if (!roams && (path.startsWith("/") || path.split("/").includes("..")))
      throw new Error(`a file outside was asked for: ${path.slice(0, 200)}`);
    return path;
  };
  return {
    source: (path) => held.source(need(path)),
    exists: async (path) => held.exists(need(path)),
    isDir: async (path) => held.isDir(need(path)),
    list: async (path) => held.list(need(path)),
  };
}
