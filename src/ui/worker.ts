/** @file The worker: opens containers and reads them, since no reading may hold up the page. Start at `answer`. */

import { formatTensor, isStatic, sizeOf, type Tensor, VarscopeError } from "../base/index.ts";
import { diffModels } from "../edit/compare/diff.ts";
import { diagnose } from "../edit/doctor/index.ts";
import type { Model } from "../edit/open-model.ts";
import { hasStats, type Stats, statsOf, streamStats } from "../edit/stats.ts";
import { cutBox, type VariableEntry } from "../formats/collection/index.ts";
import { openGiven } from "./given.ts";
import { pictureBox, pictureOf } from "./picture.ts";
import type { Detail, FromWorker, Progress, Replies, Request, Side, ToWorker, Unread } from "./protocol.ts";

const models = new Map<Side, Model>();
const running = new Map<number, AbortController>();

const say = (message: FromWorker): void => globalThis.postMessage(message);

addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if ("hdf5" in data) return; // the shim of h5wasm listens too
  if ("cancel" in data) running.get(data.id)?.abort();
  else void answer(data.id, data.request);
});

async function answer(id: number, request: Request): Promise<void> {
  const abort = new AbortController();
  running.set(id, abort);
  try {
    const result = await work(request, abort.signal, (progress) => say({ id, progress }));
    say({ id, result });
  } catch (e) {
    say({ id, error: e instanceof Error ? e.message : String(e) });
  } finally {
    running.delete(id);
  }
}

/** The page draws no faster. */
const REPORT_MS = 80;

type Report = (progress: Progress) => void;

async function work(request: Request, signal: AbortSignal, report: Report): Promise<Replies[keyof Replies]> {
  switch (request.do) {
    case "open": {
      await drop(request.side);
      const { model, opened } = await openGiven(request.given, request.container);
      models.set(request.side, model);
      return opened;
    }
    case "close":
      await drop(request.side);
      return null;
    case "stats":
      return statsOfAll(need(request.side), request.names, signal, report);
    case "detail":
      return detailOf(need(request.side), request.name, signal);
    case "doctor":
      return doctor(need(request.side), signal, report);
    case "compare":
      return compare(signal, report);
  }
}

/** Tells how far it is, no oftener than the page draws. */
function seldom(report: Report): (done: number, all: number) => void {
  let last = 0;
  return (done, all) => {
    if (performance.now() - last < REPORT_MS) return;
    last = performance.now();
    report({ done, all });
  };
}

async function doctor(model: Model, signal: AbortSignal, report: Report): Promise<Replies["doctor"]> {
  return diagnose(model, { graph: await model.graph(), signal, onProgress: seldom(report) });
}

function compare(signal: AbortSignal, report: Report): Promise<Replies["compare"]> {
  const [a, b] = [need("a"), need("b")];
  const all = a.variables.reduce((n, v) => n + v.bytes, 0);
  const tell = seldom(report);
  return diffModels(a, b, { signal, onProgress: (done) => tell(done, all) });
}

function need(side: Side): Model {
  const model = models.get(side);
  if (model === undefined) throw new VarscopeError("FAILED_PRECONDITION", "no file is open");
  return model;
}

async function drop(side: Side): Promise<void> {
  const model = models.get(side);
  models.delete(side);
  await model?.close();
}

/** Tensors under way at once: while one is counted, others are read. */
const READERS = 4;

async function statsOfAll(
  model: Model,
  names: readonly string[],
  signal: AbortSignal,
  report: Report,
): Promise<Unread[]> {
  const wanted = names.map((name) => model.find(name));
  const all = wanted.reduce((n, v) => n + v.bytes, 0);
  const unread: Unread[] = [];
  let fresh: (readonly [string, Stats | null])[] = [];
  let [next, done, last] = [0, 0, 0];
  const tell = (isLast: boolean): void => {
    if (!isLast && performance.now() - last < REPORT_MS) return;
    last = performance.now();
    report({ done, all, stats: fresh });
    fresh = [];
  };
  const counted = async function* (v: VariableEntry): AsyncGenerator<Tensor> {
    for await (const piece of model.stream(v.name, { signal })) {
      yield piece;
      done += (piece.data as Float32Array).byteLength;
      tell(false);
    }
  };
  const reader = async (): Promise<void> => {
    while (next < wanted.length && !signal.aborted) {
      const v = wanted[next++]!;
      try {
        const stats = hasStats(v.dtype) ? await streamStats(v.dtype, counted(v)) : null;
        fresh.push([v.name, stats]);
      } catch (e) {
        if (!signal.aborted) unread.push({ name: v.name, error: e instanceof Error ? e.message : String(e) });
      }
    }
  };
  await Promise.all(Array.from({ length: READERS }, reader));
  tell(true);
  return unread;
}

/** Tensors up to this size are read whole for their detail; of larger ones a part, and statistics are asked for. */
const WHOLE_BYTES = 8 << 20;
const FIRST_VALUES = 64;
/** The pane is narrower than a terminal. */
const PRINT = { linewidth: 50 };

async function detailOf(model: Model, name: string, signal: AbortSignal): Promise<Detail> {
  const v = model.find(name);
  if (!isStatic(v.shape))
    throw new VarscopeError("FAILED_PRECONDITION", "its shape is not known, and no values are here", {
      at: name,
    });
  const box = hasStats(v.dtype) ? pictureBox(v.shape) : null;
  if (v.bytes <= WHOLE_BYTES) {
    const t = await model.read(name, { signal });
    const picture = box === null ? null : pictureOf(cutBox(t, box), v.shape);
    return {
      name,
      stats: statsOf(t),
      text: formatTensor(t, { ...PRINT, threshold: 200 }),
      isWhole: true,
      picture,
    };
  }
  const picture = box === null ? null : pictureOf(await model.readBox(name, box, { signal }), v.shape);
  const start = v.shape.map(() => 0);
  const first = await model.readBox(name, { start, size: firstOf(v.shape) }, { signal });
  return { name, stats: null, text: formatTensor(first, PRINT), isWhole: false, picture };
}

/** A corner of a shape with few values. */
function firstOf(shape: readonly number[]): number[] {
  const size = shape.map(() => 1);
  for (let axis = shape.length - 1; axis >= 0; axis--)
    size[axis] = Math.min(shape[axis]!, Math.max(1, Math.floor(FIRST_VALUES / sizeOf(size))));
  return size;
}
