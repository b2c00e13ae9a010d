/**
 * @file Reads of reference variables as TensorFlow has them: `w/read` is the variable's own memory, which a write changes in place. So an op
 * that runs after a write sees the new value even through a read that came before: what an average of weights under a control dependency on
 * the train op relies on. An op that is not ordered after the write sees the old value here; in TensorFlow it may see either.
 *
 * @see TensorFlow core/kernels/identity_op.h; core/kernels/dense_update_ops.cc
 */

import { sameShape } from "../base/index.ts";
import type { Operation, Output } from "../graph/index.ts";
import type { Slot } from "./steps.ts";

interface RefWrite {
  readonly op: Operation;
  readonly slot: Slot;
}

/** Which outputs are reads of which reference variables, and who wrote these. One for each plan. */
export class RefReads {
  /** outputs that are a variable's memory, with the number of writes that came before the read */
  private readonly reads = new Map<Output, { readonly key: string; readonly seen: number }>();
  private readonly writes = new Map<string, RefWrite[]>();
  private readonly followers = new Map<Operation, ReadonlySet<Operation>>();

  /** `output` is `input`, which is the variable `key` or perhaps a read itself. */
  add(output: Output, input: Output, key: string | undefined): void {
    const read = key === undefined ? this.reads.get(input) : { key, seen: this.writesOf(key).length };
    if (read !== undefined) this.reads.set(output, read);
  }

  written(key: string, op: Operation, slot: Slot): void {
    this.writes.set(key, [...this.writesOf(key), { op, slot }]);
  }

  /** What `op` sees of the read `x`, where that is not what `x` saw: the latest write that `op` comes after. */
  after(x: Output, op: Operation, order: readonly Operation[]): Slot | null {
    const read = this.reads.get(x);
    if (read === undefined) return null;
    const later = this.writesOf(read.key).slice(read.seen);
    const seen = later.findLast((w) => this.followersOf(w.op, order).has(op));
    return seen !== undefined && sameShape(seen.slot.spec.shape, x.shape) ? seen.slot : null;
  }

  private writesOf(key: string): readonly RefWrite[] {
    return this.writes.get(key) ?? [];
  }

  /** Ops that need `op`, by data or control. */
  private followersOf(op: Operation, order: readonly Operation[]): ReadonlySet<Operation> {
    const known = this.followers.get(op);
    if (known !== undefined) return known;
    const found = new Set([op]);
    for (const other of order.slice(order.indexOf(op) + 1)) {
      if (other.inputs.some((y) => found.has(y.op)) || other.controlInputs.some((c) => found.has(c)))
        found.add(other);
    }
    this.followers.set(op, found);
    return found;
  }
}
