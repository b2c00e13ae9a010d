/** @file When the stages of a run on this machine ran, as TensorFlow's RunMetadata tells it of ops. Start at `Trace`. */

import { create } from "@bufbuild/protobuf";
import { type RunMetadata, RunMetadataSchema } from "../proto/master.gen.ts";
import type { CompiledStage } from "./stages.ts";

/** What stands for this machine where TensorFlow names a device. */
const DEVICES = {
  onnx: "/job:localhost/replica:0/task:0/device:CPU:0 (ONNX Runtime)",
  host: "/job:localhost/replica:0/task:0/device:CPU:0 (host kernels)",
} as const;

/** Whole microseconds since 1970. @param ms - of performance.now() */
const micros = (ms: number): bigint => BigInt(Math.round((performance.timeOrigin + ms) * 1000));

interface Ran {
  readonly stage: CompiledStage;
  readonly begin: number;
  readonly end: number;
}

/** Collects the stages of one run, those that decide conditionals too. A loop is part of its stage. */
export class Trace {
  private readonly ran: Ran[] = [];

  /** Times are of performance.now(). */
  stage(stage: CompiledStage, begin: number, end: number): void {
    this.ran.push({ stage, begin, end });
  }

  /** One entry a stage, under the name of its last op; the label names all of them. */
  metadata(): RunMetadata {
    const devStats = (["onnx", "host"] as const).map((kind) => ({
      device: DEVICES[kind],
      nodeStats: this.ran
        .filter(({ stage }) => stage.kind === kind)
        .map(({ stage, begin, end }) => ({
          nodeName: stage.ops.at(-1)!.name,
          allStartMicros: micros(begin),
          allEndRelMicros: micros(end) - micros(begin),
          opEndRelMicros: micros(end) - micros(begin),
          timelineLabel: stage.ops.map((op) => `${op.name} = ${op.type}`).join(", "),
        })),
    }));
    return create(RunMetadataSchema, { stepStats: { devStats } });
  }
}
