/**
 * @file ProfilerHook: times of runs as Chrome traces, which chrome://tracing and Perfetto show. Start at `profilerHook`.
 *
 * @see TensorFlow python/training/basic_session_run_hooks.py "ProfilerHook", python/client/timeline.py
 */

import { toBinary } from "@bufbuild/protobuf";
import { joinPath, makeDir, writeFileAtomic } from "#platform";
import { type FileWriter, fileWriter } from "../../formats/events/index.ts";
import type { Output } from "../../graph/index.ts";
import { type RunMetadata, RunMetadataSchema } from "../../proto/index.ts";
import { defaultLog, type HookOptions, type SessionRunHook } from "./hook.ts";
import { needStepRead, readStep, stepOf } from "./step-read.ts";
import { secondOrStepTimer } from "./timer.ts";

export interface ProfilerHookOptions extends HookOptions {
  /** global steps between two traces: this or `saveSecs` */
  readonly saveSteps?: number | null;
  readonly saveSecs?: number | null;
  /** folder of `timeline-<step>.json`: the working folder */
  readonly outputDir?: string;
  /** by default one of its own in the folder */
  readonly summaryWriter?: FileWriter;
}

/**
 * Writes `timeline-<step>.json` every so often, and the run's metadata to the event file. On this machine it shows stages (an ONNX model, or
 * host kernels in a row), on a cluster ops by device. Tensors and their sizes are not in it.
 *
 * @throws VarscopeError INVALID_ARGUMENT - not exactly one of saveSteps and saveSecs
 */
export function profilerHook(options: ProfilerHookOptions): SessionRunHook {
  const { outputDir = "", log = defaultLog } = options;
  const timer = secondOrStepTimer({
    everySecs: options.saveSecs,
    everySteps: options.saveSteps,
    clock: options.clock,
  });
  let writer: FileWriter;
  let step: Output;
  let nextStep: number | null = null;
  let metadata: RunMetadata | null = null;
  return {
    begin(graph) {
      writer = options.summaryWriter ?? fileWriter(outputDir === "" ? "." : outputDir, options);
      step = needStepRead(graph, "ProfilerHook");
      nextStep = null;
    },
    beforeRun() {
      metadata = null;
      const due = nextStep !== null && timer.shouldTrigger(nextStep);
      if (!due) return { fetches: step };
      return {
        fetches: step,
        onMetadata(m) {
          metadata = m;
        },
      };
    },
    async afterRun({ session }, { results }) {
      const stale = stepOf(results);
      if (nextStep === null) timer.trigger(stale);
      let at = stale + 1;
      if (metadata !== null) {
        at = await readStep(session, step);
        timer.trigger(at);
        const file = joinPath(outputDir, `timeline-${at}.json`);
        log(`Saving timeline for ${at} into '${file}'.`);
        if (outputDir !== "") await makeDir(outputDir);
        await writeFileAtomic(file, [new TextEncoder().encode(JSON.stringify(chromeTrace(metadata)))]);
        const tagged = { tag: `step_${at}`, runMetadata: toBinary(RunMetadataSchema, metadata) };
        writer.addEvent({ step: BigInt(at), what: { case: "taggedRunMetadata", value: tagged } });
      }
      nextStep = at + 1;
    },
    end: () => writer.flush(),
  };
}

/** A run in the trace event format: one process a device, one complete event an op or stage. Times are microseconds. */
function chromeTrace({ stepStats }: RunMetadata): object {
  const traceEvents = (stepStats?.devStats ?? []).flatMap(({ device, nodeStats }, pid) => [
    { name: "process_name", ph: "M", pid, args: { name: `${device} Compute` } },
    ...nodeStats.map((node) => ({
      name: node.nodeName,
      cat: "Op",
      ph: "X",
      pid,
      tid: node.threadId,
      ts: Number(node.allStartMicros),
      dur: Number(node.allEndRelMicros),
      args: { name: node.nodeName, ops: node.timelineLabel },
    })),
  ]);
  return { traceEvents };
}
