/** @file Variables in another dtype, cast while they are written; what is lost is counted before. Start at `castValues`. */

import type { DType, Tensor } from "../../base/index.ts";
import type { ReadOptions, Role } from "../../formats/collection/index.ts";
import { type CastLoss, castPiece, type LossCount, needCastable } from "./cast.ts";

export interface CastSource {
  readonly entry: { readonly name: string; readonly role: Role };
  readonly dtype: DType;
  values(options: ReadOptions): AsyncIterable<Tensor>;
}

export interface CastValues {
  values(options: ReadOptions): AsyncIterable<Tensor>;
  /** null where nothing is lost */
  readonly loss: (CastLoss & { readonly refused: boolean }) | null;
}

const none = (): LossCount => ({ overflow: 0, flushed: 0, inexact: 0 });

/** The values of a variable in another dtype; reads them once, to count what is lost. @throws VarscopeError as `needCastable` */
export async function castValues(from: CastSource, to: DType, signal?: AbortSignal): Promise<CastValues> {
  const { entry, dtype, values } = from;
  needCastable(dtype, to, entry.name);
  const loss = none();
  for await (const piece of values(signal === undefined ? {} : { signal })) castPiece(piece, to, loss);
  // Small weights may become 0; a variance of 0 makes its channel 1/sqrt(epsilon) times as loud.
  const refused = loss.overflow > 0 || loss.inexact > 0 || entry.role === "moving-variance";
  const isLossy = loss.overflow + loss.flushed + loss.inexact > 0;
  return {
    loss: isLossy ? { ...loss, refused } : null,
    async *values(reading) {
      for await (const piece of values(reading)) yield castPiece(piece, to, none());
    },
  };
}
