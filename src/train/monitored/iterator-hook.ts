/**
 * @file The place of an input pipeline, saved beside each checkpoint, so that a training that is started again goes on with the data that
 * come next. Start at `iteratorHook`.
 *
 * @see TensorFlow python/data/experimental/ops/iterator_ops.py "CheckpointInputPipelineHook"
 */

import { exists, joinPath, listDir } from "#platform";
import { scalar, VarscopeError } from "../../base/index.ts";
import type { CursorState, DataIterator } from "../../data/index.ts";
import { openCheckpoint, saveCheckpoint } from "../../formats/checkpoint/index.ts";
import type { Output } from "../../graph/index.ts";
import type { Session } from "../../run/index.ts";
import { removeCheckpoint } from "../kept.ts";
import { defaultLog, type HookOptions, type SessionRunHook } from "./hook.ts";
import { needStepRead, readStep } from "./step-read.ts";

export interface IteratorHookOptions extends HookOptions {
  /** folder of the checkpoints of the model */
  readonly checkpointDir: string;
  /** "input.ckpt"; pipelines that are saved apart need names of their own */
  readonly checkpointBasename?: string;
}

/** Its only tensor: a string scalar of JSON. */
const KEY = "iterator_state";

/**
 * Saves where `iterator` stands as `<checkpointDir>/input.ckpt-<global step>`, before the model's checkpoint of that step is written, and
 * restores what belongs to the step that a session begins at. A checkpoint of the model without one, as TensorFlow writes it, is
 * no error: the data begin anew. States whose checkpoint is gone are deleted.
 */
export function iteratorHook<T>(iterator: DataIterator<T>, options: IteratorHookOptions): SessionRunHook {
  const { checkpointDir, checkpointBasename = "input.ckpt", log = defaultLog } = options;
  const prefix = (step: number): string => joinPath(checkpointDir, `${checkpointBasename}-${step}`);
  const beginning = iterator.state();
  let step: Output;
  let restoredFor: Session | null = null;

  /** Once a session: its first checkpoint is written before this hook's `afterCreateSession` is called. */
  const restore = async (session: Session, at: number): Promise<void> => {
    if (restoredFor === session) return;
    restoredFor = session;
    const file = prefix(at);
    const found = await exists(`${file}.index`);
    if (!found && at > 0) log(`No state of the input at step ${at}: its data begin anew.`);
    await iterator.restore(found ? await readState(file) : await beginning);
  };
  return {
    begin(graph) {
      step = needStepRead(graph, "iteratorHook");
    },
    async afterCreateSession(session) {
      await restore(session, await readStep(session, step));
    },
    async beforeSave(session, at) {
      await restore(session, at);
      const state = new TextEncoder().encode(JSON.stringify(await iterator.state()));
      await saveCheckpoint(prefix(at), [{ name: KEY, tensor: scalar(state) }]);
    },
    afterSave: () => removeOrphans(checkpointDir, checkpointBasename),
  };
}

async function readState(file: string): Promise<CursorState> {
  const checkpoint = await openCheckpoint(file);
  try {
    const { data } = await checkpoint.read(KEY);
    return JSON.parse(new TextDecoder().decode(data[0] as unknown as Uint8Array)) as CursorState;
  } catch (cause) {
    throw new VarscopeError("DATA_LOSS", "no state of an iterator", { at: file, cause });
  } finally {
    await checkpoint.close();
  }
}

/** Deletes the states of steps of which the folder has no other checkpoint. */
async function removeOrphans(folder: string, basename: string): Promise<void> {
  const numbered = (await listDir(folder)).flatMap((file) => {
    const [, name, step] = /^(.*)-(\d+)\.index$/.exec(file) ?? [];
    return name === undefined ? [] : [{ name, step: step! }];
  });
  const models = new Set(numbered.filter((f) => f.name !== basename).map((f) => f.step));
  for (const { name, step } of numbered) {
    if (name === basename && !models.has(step)) await removeCheckpoint(joinPath(folder, `${name}-${step}`));
  }
}
