/** @file The numbers of all tensors of a container, in one pass each, for all rules. Start at `examine`. */

import { crc32c } from "#platform";
import { bytesOf, isStatic, isVarscopeError, sizeOf, type Tensor, VarscopeError } from "../../base/index.ts";
import type { VariableCollection, VariableEntry } from "../../formats/collection/index.ts";
import { eachOf } from "../compare/lockstep.ts";
import { hasStats, numbersOf, type Stats, streamStats } from "../stats.ts";

/** What is known of a tensor's values. */
export interface Numbers {
  readonly stats: Stats;
  readonly count: number;
  /** place of the first value that is NaN or infinite, -1 where all are finite */
  readonly firstBad: number;
  /** CRC-32C of the bytes: equal tensors have the same */
  readonly crc: number;
  /** all values, where they are few: vectors of a layer's channels */
  readonly values: readonly number[] | null;
  /** largest absolute value of each output channel, of weights */
  readonly channels: Float64Array | null;
}

/** A tensor that could not be read. */
export interface Unreadable {
  readonly variable: VariableEntry;
  readonly error: VarscopeError;
}

export interface Examination {
  readonly numbers: ReadonlyMap<string, Numbers>;
  readonly unreadable: readonly Unreadable[];
}

export interface ExamineOptions {
  readonly signal?: AbortSignal;
  /** told of the bytes of values read so far, and of those to read in all */
  onProgress?(done: number, all: number): void;
}

/** Tensors under way at once: while one is counted, others are read. */
const AT_ONCE = 4;
/** Channels that a layer may have for its vectors to be kept; the largest nets have some ten thousand. */
const MOST_CHANNELS = 1 << 16;

/** Reads every tensor once. One that cannot be read does not keep the others from it. @throws VarscopeError CANCELLED */
export async function examine(
  from: VariableCollection,
  { signal, onProgress }: ExamineOptions,
): Promise<Examination> {
  const all = from.variables.reduce((n, v) => n + v.bytes, 0);
  const numbers = new Map<string, Numbers>();
  const unreadable: Unreadable[] = [];
  let done = 0;
  const isListing = from.format === "meta-graph" || from.format === "graph-def";
  await eachOf(from.variables, AT_ONCE, async (variable) => {
    try {
      const found = await examined(from, variable, signal, (bytes) => {
        done += bytes;
        onProgress?.(done, all);
      });
      if (found !== null) numbers.set(variable.name, found);
    } catch (error) {
      if (!isVarscopeError(error) || error.code === "CANCELLED") throw error;
      // A graph's variables without values are no damage.
      if (!(isListing && error.code === "FAILED_PRECONDITION")) unreadable.push({ variable, error });
    }
  });
  unreadable.sort((a, b) => (a.variable.name < b.variable.name ? -1 : 1));
  return { numbers, unreadable };
}

async function examined(
  from: VariableCollection,
  v: VariableEntry,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Numbers | null> {
  const options = signal === undefined ? {} : { signal };
  const count = isStatic(v.shape) ? sizeOf(v.shape) : 0;
  const channels = channelsOf(v, from.format === "safetensors");
  const kept: number[] | null = count <= MOST_CHANNELS && (v.shape?.length ?? 0) <= 1 ? [] : null;
  let [crc, at] = [0, 0];
  const watched = async function* (): AsyncGenerator<Tensor> {
    for await (const piece of from.stream(v.name, options)) {
      if (signal?.aborted) throw new VarscopeError("CANCELLED", "the diagnosis was aborted", { at: v.name });
      yield piece;
      if (!hasStats(v.dtype)) continue;
      const bytes = bytesOf(piece);
      crc = crc32c(bytes, crc);
      onBytes(bytes.length);
      if (channels === null && kept === null) continue;
      const { values, count: n } = numbersOf(piece);
      channels?.take(values, at);
      for (let i = 0; kept !== null && i < n; i++) kept.push(values[i]!);
      at += n;
    }
  };
  const stats = await streamStats(v.dtype, watched());
  if (stats === null) {
    for await (const _ of from.stream(v.name, options)); // strings: read, so that damage shows
    return null;
  }
  const isClean = stats.nan + stats.inf === 0;
  return {
    stats,
    count,
    firstBad: isClean ? -1 : await badPlace(from.stream(v.name, options)),
    crc,
    values: kept,
    channels: channels?.largest ?? null,
  };
}

/** Place of the first value that is no finite number. */
async function badPlace(pieces: AsyncIterable<Tensor>): Promise<number> {
  let at = 0;
  for await (const piece of pieces) {
    const { values, count } = numbersOf(piece);
    for (let i = 0; i < count; i++) if (values[i]! - values[i]! !== 0) return at + i;
    at += count;
  }
  return -1;
}

/** Largest absolute values by output channel, under way. */
interface Channels {
  readonly largest: Float64Array;
  /** values that begin at element `at` of the tensor */
  take(values: ArrayLike<number>, at: number): void;
}

/**
 * Output channels of a weight: its last axis, in PyTorch's order its first. Of a depthwise kernel the last two make the channel.
 *
 * @see TensorFlow python/ops/nn_ops.py "conv2d" (HWIO), "depthwise_conv2d" (HWCM); PyTorch nn/modules/conv.py (OIHW)
 */
function channelsOf(v: VariableEntry, isFirst: boolean): Channels | null {
  const shape = v.shape;
  if (v.role !== "weight" || !isStatic(shape) || shape.length < 2 || sizeOf(shape) === 0) return null;
  if (/embedding/i.test(v.name)) return null; // rows that no word has used are zero, and right
  const isDepthwise = /depthwise/i.test(v.name) && shape.length === 4;
  const count = isFirst ? shape[0]! : isDepthwise ? shape[2]! * shape[3]! : shape.at(-1)!;
  if (count > MOST_CHANNELS || count < 2) return null;
  const largest = new Float64Array(count);
  const rest = sizeOf(shape) / count;
  const take = (values: ArrayLike<number>, at: number): void =>
    isFirst ? takeRows(largest, rest, values, at) : takeColumns(largest, values, at);
  return { largest, take };
}

/** Channels along the last axis: each value is of the next channel. */
function takeColumns(largest: Float64Array, values: ArrayLike<number>, at: number): void {
  const count = largest.length;
  for (let i = 0, channel = at % count; i < values.length; i++) {
    const x = Math.abs(values[i]!);
    if (x > largest[channel]!) largest[channel] = x;
    if (++channel === count) channel = 0;
  }
}

/** Channels along the first axis: `rest` values in a row are of one. */
function takeRows(largest: Float64Array, rest: number, values: ArrayLike<number>, at: number): void {
  for (let i = 0; i < values.length; ) {
    const channel = Math.floor((at + i) / rest);
    const end = Math.min(values.length, (channel + 1) * rest - at);
    let most = largest[channel]!;
    for (; i < end; i++) most = Math.max(most, Math.abs(values[i]!));
    largest[channel] = most;
  }
}
