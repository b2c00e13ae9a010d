/**
 * @file FileWriter: appends events to a file in a folder that TensorBoard watches. Start at `fileWriter`.
 *
 * @see TensorFlow python/summary/writer/writer.py, event_file_writer.py
 */

import { fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { appendFile, exists, hostName, joinPath, makeDir, now } from "#platform";
import { joinBytes, type Tensor, VarscopeError } from "../../base/index.ts";
import type { Graph } from "../../graph/index.ts";
import { GraphDefSchema, type SaverDef, type SessionLogSchema, SummarySchema } from "../../proto/index.ts";
import { toMetaGraphDef, writeMetaGraph } from "../meta-graph/index.ts";
import { type EventInit, writeEvent, writeVersionEvent } from "./event-file.ts";

export interface FileWriterOptions {
  /** events that wait at most before they are written: 10 */
  readonly maxQueue?: number;
  /** seconds after which the next event takes those that wait with it: 120 */
  readonly flushSecs?: number;
  /** end of the file's name: "" */
  readonly filenameSuffix?: string;
  /** seconds since 1970; the machine's clock */
  readonly clock?: () => number;
}

type Step = number | bigint;

/**
 * Writes one event file. Adding is immediate; what waits is written by `flush`, `close`, or when there is enough of it. An error of
 * writing shows at the next `flush` or `close`.
 */
export interface FileWriter {
  readonly logdir: string;
  addEvent(event: Omit<EventInit, "$typeName">): void;
  /** A Summary: message, encoded, or the string tensor that a summary op gives. */
  addSummary(summary: MessageInitShape<typeof SummarySchema> | Uint8Array | Tensor, step?: Step): void;
  addGraph(graph: Graph, step?: Step): void;
  addMetaGraph(graph: Graph, saverDef?: SaverDef, step?: Step): void;
  addSessionLog(log: MessageInitShape<typeof SessionLogSchema>, step?: Step): void;
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** A writer into a new file of the folder `logdir`: `events.out.tfevents.<seconds>.<machine>`. */
export function fileWriter(logdir: string, options: FileWriterOptions = {}): FileWriter {
  const { maxQueue = 10, flushSecs = 120, filenameSuffix = "", clock = now } = options;
  const started = clock();
  const seenTags = new Set<string>();
  let waiting: Uint8Array[] = [writeVersionEvent(started)];
  let lastFlush = started;
  let file: Promise<string> | undefined;
  let written: Promise<void> = Promise.resolve();
  let closed = false;

  const flush = (): Promise<void> => {
    const bytes = joinBytes(waiting);
    waiting = [];
    lastFlush = clock();
    file ??= newFile(logdir, started, filenameSuffix);
    const target = file;
    if (bytes.length > 0) written = written.then(async () => appendFile(await target, bytes));
    return written;
  };
  const addEvent = (event: Omit<EventInit, "$typeName">): void => {
    if (closed) throw new VarscopeError("FAILED_PRECONDITION", "the event file is closed", { at: logdir });
    waiting.push(writeEvent({ wallTime: clock(), ...event }));
    if (waiting.length >= maxQueue || clock() - lastFlush >= flushSecs) flush().catch(() => {}); // shows at the next flush
  };
  const add = (what: EventInit["what"], step: Step | undefined): void =>
    addEvent({
      ...(step === undefined ? {} : { step: BigInt(step) }),
      ...(what === undefined ? {} : { what }),
    });

  return {
    logdir,
    addEvent,
    addSummary: (summary, step) =>
      add({ case: "summary", value: withoutSeen(toSummary(summary), seenTags) }, step),
    addGraph(graph, step) {
      const def = toMetaGraphDef({ graph }).graphDef!; // with the shapes of outputs, which TensorBoard shows
      add({ case: "graphDef", value: toBinary(GraphDefSchema, def) }, step);
    },
    addMetaGraph: (graph, saverDef, step) =>
      add({ case: "metaGraphDef", value: writeMetaGraph({ graph, saverDef }) }, step),
    addSessionLog: (log, step) => add({ case: "sessionLog", value: log }, step),
    flush,
    async close() {
      closed = true;
      await flush();
    },
  };
}

/** A name that no file of the folder has: writers of one second must not mix. */
async function newFile(logdir: string, seconds: number, suffix: string): Promise<string> {
  await makeDir(logdir);
  const time = String(Math.floor(seconds)).padStart(10, "0");
  const base = joinPath(logdir, `events.out.tfevents.${time}.${hostName()}`);
  for (let i = 0; ; i++) {
    const file = `${base}${i === 0 ? "" : `.${i}`}${suffix}`;
    if (!(await exists(file))) return file;
  }
}

type SummaryInit = MessageInitShape<typeof SummarySchema>;

function toSummary(summary: SummaryInit | Uint8Array | Tensor): SummaryInit {
  if (summary instanceof Uint8Array) return fromBinary(SummarySchema, summary);
  if ("dtype" in summary) return fromBinary(SummarySchema, summary.data[0] as unknown as Uint8Array);
  return summary;
}

/** Metadata of a tag are written once: the reader remembers them. */
function withoutSeen(summary: SummaryInit, seen: Set<string>): SummaryInit {
  const value = (summary.value ?? []).map((v) => {
    if (v.metadata === undefined || v.tag === undefined) return v;
    if (!seen.has(v.tag)) {
      seen.add(v.tag);
      return v;
    }
    const { metadata: _, ...rest } = v;
    return rest as typeof v;
  });
  return { value };
}
