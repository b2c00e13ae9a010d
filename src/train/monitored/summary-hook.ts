/** @file SummarySaverHook: writes the values of summaries to an event file. Start at `summarySaverHook`. */

import type { Tensor } from "../../base/index.ts";
import { type FileWriter, fileWriter, SESSION_STATUS } from "../../formats/events/index.ts";
import type { Output } from "../../graph/index.ts";
import type { HookOptions, SessionRunHook } from "./hook.ts";
import { needStepRead, readStep, stepOf } from "./step-read.ts";
import { secondOrStepTimer } from "./timer.ts";

export interface SummarySaverHookOptions extends HookOptions {
  /** global steps between two writes: this or `saveSecs` */
  readonly saveSteps?: number | null;
  readonly saveSecs?: number | null;
  /** folder of the event file, where no writer is given */
  readonly outputDir?: string;
  readonly summaryWriter?: FileWriter;
  /** serialized Summaries: string scalars. A function is asked when the graph is complete */
  readonly summaryOp: Output | readonly Output[] | (() => Output | null);
}

/**
 * Fetches summaries with the first run and every so often after it.
 *
 * @throws VarscopeError INVALID_ARGUMENT - not exactly one of saveSteps and saveSecs
 * @see TensorFlow python/training/basic_session_run_hooks.py "SummarySaverHook"
 */
export function summarySaverHook(options: SummarySaverHookOptions): SessionRunHook {
  const timer = secondOrStepTimer({
    everySecs: options.saveSecs,
    everySteps: options.saveSteps,
    clock: options.clock,
  });
  let writer = options.summaryWriter;
  let step: Output;
  let nextStep: number | null = null;
  let due = false;
  const summaries = (): readonly Output[] => {
    const { summaryOp } = options;
    const found = typeof summaryOp === "function" ? summaryOp() : summaryOp;
    return found === null ? [] : [found].flat();
  };
  return {
    begin(graph) {
      if (writer === undefined && options.outputDir !== undefined)
        writer = fileWriter(options.outputDir, options);
      nextStep = null;
      step = needStepRead(graph, "SummarySaverHook");
    },
    beforeRun() {
      due = nextStep === null || timer.shouldTrigger(nextStep);
      return { fetches: { step, summaries: due ? summaries() : [] } };
    },
    async afterRun({ session }, { results }) {
      if (writer === undefined) return;
      const got = results as { step: Tensor; summaries: Tensor[] };
      const at = due ? await readStep(session, step) : stepOf(got.step) + 1;
      if (nextStep === null) writer.addSessionLog({ status: SESSION_STATUS.START }, at);
      if (due) {
        timer.trigger(at);
        for (const summary of got.summaries) writer.addSummary(summary, at);
      }
      nextStep = at + 1;
    },
    end: () => writer?.flush(),
  };
}
