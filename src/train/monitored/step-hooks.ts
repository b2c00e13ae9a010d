/** @file Hooks that go by the global step: stopping at one, waiting for one, and counting them. @see TensorFlow python/training/basic_session_run_hooks.py */

import { VarscopeError } from "../../base/index.ts";
import { type FileWriter, fileWriter } from "../../formats/events/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import { getGlobalStep } from "../../variables/index.ts";
import { defaultLog, type HookOptions, type SessionRunHook } from "./hook.ts";
import { needStepRead, readStep, stepOf } from "./step-read.ts";
import { secondOrStepTimer } from "./timer.ts";

export interface StopAtStepHookOptions {
  /** steps after the one that the training begins or goes on at */
  readonly numSteps?: number;
  /** the global step to stop at */
  readonly lastStep?: number;
}

/**
 * Asks to stop at a global step. It looks after each run only: a training that is started again at its last step runs once more, as in
 * TensorFlow.
 *
 * @throws VarscopeError INVALID_ARGUMENT - not exactly one of numSteps and lastStep
 */
export function stopAtStepHook({ numSteps, lastStep }: StopAtStepHookOptions): SessionRunHook {
  if (numSteps === undefined && lastStep === undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "One of num_steps or last_step must be specified.");
  }
  if (numSteps !== undefined && lastStep !== undefined) {
    throw new VarscopeError("INVALID_ARGUMENT", "Only one of num_steps or last_step can be specified.");
  }
  let step: Output;
  let last = lastStep;
  return {
    begin(graph) {
      step = needStepRead(graph, "StopAtStepHook");
    },
    async afterCreateSession(session) {
      last ??= (await readStep(session, step)) + numSteps!;
    },
    beforeRun: () => ({ fetches: step }),
    async afterRun(context, { results }) {
      if (stepOf(results) + 1 < last!) return;
      if ((await readStep(context.session, step)) >= last!) context.requestStop();
    },
  };
}

export interface GlobalStepWaiterHookOptions extends HookOptions {
  /** waits so many milliseconds between two looks: 500 */
  readonly pollMs?: number;
}

/** Delays the first run until the global step, which another worker counts, has reached `waitUntilStep`. */
export function globalStepWaiterHook(
  waitUntilStep: number,
  { log = defaultLog, pollMs = 500 }: GlobalStepWaiterHookOptions = {},
): SessionRunHook {
  let step: Output;
  let started = waitUntilStep <= 0;
  return {
    begin(graph) {
      step = needStepRead(graph, "_GlobalStepWaiterHook");
    },
    async beforeRun({ session }) {
      if (started) return null;
      log(`Waiting for global step ${waitUntilStep} before starting training.`);
      for (let logged = 0; ; ) {
        const current = await readStep(session, step);
        if (current >= waitUntilStep) break;
        if (current - logged > 1000) {
          log(
            `Waiting for global step ${waitUntilStep} before starting training. Current step is ${current}.`,
          );
          logged = current;
        }
        await new Promise((resolve) => setTimeout(resolve, pollMs));
      }
      started = true;
      return null;
    },
  };
}

export interface StepCounterHookOptions extends HookOptions {
  /** 100, unless there is everyNSecs */
  readonly everyNSteps?: number | null;
  readonly everyNSecs?: number;
  /** folder of the event file; without one and without a writer, the speed is only logged */
  readonly outputDir?: string;
  readonly summaryWriter?: FileWriter;
}

/** Logs `global_step/sec: <number>` and writes it as a scalar summary. */
export function stepCounterHook(options: StepCounterHookOptions = {}): SessionRunHook {
  const { everyNSecs, log = defaultLog } = options;
  const everyNSteps = options.everyNSteps === undefined ? 100 : options.everyNSteps;
  if ((everyNSteps === null) === (everyNSecs === undefined)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "exactly one of every_n_steps and every_n_secs should be provided.",
    );
  }
  const timer = secondOrStepTimer({ everySecs: everyNSecs, everySteps: everyNSteps, clock: options.clock });
  let writer = options.summaryWriter;
  let step: Output;
  let tag = "";
  let stale: number | null = null;
  let warnings = 5;
  return {
    begin(graph: Graph) {
      if (writer === undefined && options.outputDir !== undefined)
        writer = fileWriter(options.outputDir, options);
      step = needStepRead(graph, "StepCounterHook");
      tag = `${getGlobalStep(graph)!.op.name}/sec`;
    },
    beforeRun: () => ({ fetches: step }),
    async afterRun({ session }, { results }) {
      const before = stepOf(results);
      if (timer.shouldTrigger(before + 1)) {
        const at = await readStep(session, step);
        const elapsed = timer.shouldTrigger(at) ? timer.trigger(at) : null;
        if (elapsed !== null) {
          const perSecond = elapsed.steps / elapsed.seconds;
          writer?.addSummary({ value: [{ tag, value: { case: "simpleValue", value: perSecond } }] }, at);
          log(`${tag}: ${sixDigits(perSecond)}`);
        }
      }
      if (before === stale && warnings-- > 0) {
        log(
          `It seems that global step (tf.train.get_global_step) has not been increased. Current value (could be stable): ${before} vs previous value: ${stale}. You could increase the global step by passing tf.train.get_global_step() to Optimizer.apply_gradients or Optimizer.minimize.`,
        );
      }
      stale = before;
    },
    end: () => writer?.flush(),
  };
}

/** A number as C's "%g" prints it. */
export function sixDigits(x: number): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x < 0 ? "-inf" : "inf";
  const [digits, exponent] = x.toExponential(5).split("e") as [string, string];
  const power = Number(exponent);
  const bare = (s: string): string => (s.includes(".") ? s.replace(/\.?0+$/, "") : s);
  if (power < -4 || power >= 6) {
    return `${bare(digits)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return bare(x.toFixed(5 - power));
}
