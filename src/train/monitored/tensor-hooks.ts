/** @file Hooks that look at values: logging tensors, watching a loss for NaN. @see TensorFlow python/training/basic_session_run_hooks.py */

import {
  formatPyShape,
  formatTensor,
  isVarscopeError,
  type Tensor,
  toNumbers,
  VarscopeError,
} from "../../base/index.ts";
import type { Graph, Output } from "../../graph/index.ts";
import type { Session } from "../../run/index.ts";
import { defaultLog, type HookOptions, type SessionRunHook } from "./hook.ts";
import { secondOrStepTimer } from "./timer.ts";

export interface LoggingTensorHookOptions extends HookOptions {
  /** runs between two lines: this, `everyNSecs`, or `atEnd` alone */
  readonly everyNIter?: number;
  readonly everyNSecs?: number;
  /** a line at the end too: false */
  readonly atEnd?: boolean;
  /** the line, from the values by tag */
  readonly formatter?: (values: Readonly<Record<string, Tensor>>) => string;
}

/** Tensors by tag, or a list of them. A tensor may be named: "loss" or "loss:0". */
export type LoggedTensors = Readonly<Record<string, Output | string>> | readonly (Output | string)[];

/**
 * Logs values: `loss = 0.25, w = [1. 2.] (0.017 sec)`, the time since the line before from the second on. Tags are sorted; a list keeps
 * its order.
 *
 * @throws VarscopeError INVALID_ARGUMENT - not exactly one of everyNIter and everyNSecs, and not atEnd alone
 */
export function loggingTensorHook(tensors: LoggedTensors, options: LoggingTensorHookOptions): SessionRunHook {
  const { everyNIter, everyNSecs, atEnd = false, log = defaultLog } = options;
  const onlyAtEnd = atEnd && everyNIter === undefined && everyNSecs === undefined;
  if (!onlyAtEnd && (everyNIter === undefined) === (everyNSecs === undefined)) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "either at_end and/or exactly one of every_n_iter and every_n_secs must be provided.",
    );
  }
  if (everyNIter !== undefined && everyNIter <= 0) {
    throw new VarscopeError("INVALID_ARGUMENT", `invalid every_n_iter=${everyNIter}.`);
  }
  const timer = onlyAtEnd
    ? null
    : secondOrStepTimer({ everySecs: everyNSecs, everySteps: everyNIter, clock: options.clock });
  let fetched: Record<string, Output> = {};
  let iteration = 0;
  let due = false;
  const show = (values: Readonly<Record<string, Tensor>>): void => {
    const elapsed = timer?.trigger(iteration) ?? null;
    log(options.formatter?.(values) ?? lineOf(Object.keys(fetched), values, elapsed?.seconds ?? null));
  };
  return {
    begin(graph) {
      timer?.reset();
      iteration = 0;
      fetched = Object.fromEntries(tagged(tensors).map(([tag, x]) => [tag, elementOf(graph, x)]));
    },
    beforeRun() {
      due = timer?.shouldTrigger(iteration) ?? false;
      return due ? { fetches: fetched } : null;
    },
    afterRun(_, { results }) {
      if (due) show(results as Record<string, Tensor>);
      iteration++;
    },
    async end(session: Session) {
      if (atEnd) show((await session.run(fetched)) as Record<string, Tensor>);
    },
  };
}

function lineOf(
  tags: readonly string[],
  values: Readonly<Record<string, Tensor>>,
  seconds: number | null,
): string {
  const stats = tags.map((tag) => `${tag} = ${formatTensor(values[tag]!, { suppress: true })}`);
  return `${stats.join(", ")}${seconds === null ? "" : ` (${seconds.toFixed(3)} sec)`}`;
}

function tagged(tensors: LoggedTensors): [string, Output | string][] {
  if (!Array.isArray(tensors)) return Object.entries(tensors).sort(([a], [b]) => (a < b ? -1 : 1));
  return (tensors as readonly (Output | string)[]).map((x) => [typeof x === "string" ? x : pythonText(x), x]);
}

/** As Python prints a tensor. */
const pythonText = (x: Output): string =>
  `Tensor("${x.name}", shape=${formatPyShape(x.shape)}, dtype=${x.dtype}${x.isRef ? "_ref" : ""})`;

/** A tensor by "op:index", or by the name of an op that has one output. */
function elementOf(graph: Graph, x: Output | string): Output {
  if (typeof x !== "string") {
    if (x.graph === graph) return x;
    throw new VarscopeError("INVALID_ARGUMENT", `Passed ${x.name} is not of the session's graph`);
  }
  if (x.includes(":")) return graph.output(x);
  const first = graph.output(`${x}:0`);
  if (first.op.outputs.length > 1) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `Name ${x} is ambiguous, as this \`Operation\` has multiple outputs (at least 2).`,
    );
  }
  return first;
}

/** Whether `e` is the error of `nanTensorHook`. */
export const isNanLossError = (e: unknown): boolean =>
  isVarscopeError(e, "INVALID_ARGUMENT") && e.what === NAN_LOSS;

const NAN_LOSS = "NaN loss during training.";

export interface NanTensorHookOptions extends HookOptions {
  /** NaN fails the run; otherwise it stops the training: true */
  readonly failOnNanLoss?: boolean;
}

/** Watches a loss for NaN. @throws VarscopeError INVALID_ARGUMENT, from the run - "NaN loss during training." */
export function nanTensorHook(
  loss: Output,
  { failOnNanLoss = true, log = defaultLog }: NanTensorHookOptions = {},
): SessionRunHook {
  return {
    beforeRun: () => ({ fetches: loss }),
    afterRun(context, { results }) {
      if (!toNumbers(results as Tensor).some(Number.isNaN)) return;
      log("Model diverged with loss = NaN.");
      if (failOnNanLoss) throw new VarscopeError("INVALID_ARGUMENT", NAN_LOSS, { at: loss.name });
      context.requestStop();
    },
  };
}
