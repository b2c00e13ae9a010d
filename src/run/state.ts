/** @file Variables of a session: current values, versions, buffers to reuse. Start at `VariableStore`. */

import { type Tensor, VarscopeError, zeros } from "../base/index.ts";
import type { HandleSpec, Operation } from "../graph/index.ts";

interface Cell {
  value: Tensor;
  /** grows with every commit */
  version: number;
  /** buffers that this session allocated and no value uses now */
  spare: Tensor | null;
  /** whether `value` was allocated by this session */
  owned: boolean;
}

/** Values by variable key. A run reads and computes; only `commit` changes anything, after all of it succeeded. */
export class VariableStore {
  private readonly cells = new Map<string, Cell>();
  private committed = 0;

  /** How often any variable was set: grows with every change. */
  get commits(): number {
    return this.committed;
  }

  has(key: string): boolean {
    return this.cells.has(key);
  }

  get(key: string): Tensor | null {
    return this.cells.get(key)?.value ?? null;
  }

  /** @throws VarscopeError FAILED_PRECONDITION - as TensorFlow says it */
  need(key: string, isRef: boolean): Tensor {
    const value = this.get(key);
    if (value !== null) return value;
    throw uninitialized(key, isRef);
  }

  version(key: string): number {
    return this.cells.get(key)?.version ?? 0;
  }

  /** A buffer for the next value of a variable of static shape. */
  target(key: string, spec: HandleSpec & { readonly shape: readonly number[] }): Tensor {
    const cell = this.cells.get(key);
    const spare = cell?.spare;
    if (spare != null && spare.dtype === spec.dtype && spare.shape.join() === spec.shape.join()) {
      cell!.spare = null;
      return spare;
    }
    return zeros(spec.dtype, spec.shape);
  }

  /** Puts back a buffer that a failed run did not use. */
  recycle(key: string, buffer: Tensor): void {
    const cell = this.cells.get(key);
    if (cell !== undefined) cell.spare = buffer;
  }

  /** @param owned - the tensor is this store's own: nobody else holds its data */
  commit(key: string, value: Tensor, owned: boolean): void {
    this.committed++;
    const old = this.cells.get(key);
    this.cells.set(key, {
      value,
      version: (old?.version ?? 0) + 1,
      spare: old?.owned ? old.value : null,
      owned,
    });
  }

  clear(): void {
    this.cells.clear();
  }
}

/** TensorFlow's two sentences. */
export function uninitialized(key: string, isRef: boolean): VarscopeError {
  const what = isRef
    ? `Attempting to use uninitialized value ${key}`
    : `Could not find variable ${key}. This could mean that the variable has been deleted. In TF1, it can also mean the variable is uninitialized.`;
  return new VarscopeError("FAILED_PRECONDITION", what, {
    at: key,
    hint: "run the initializer or restore a checkpoint first",
  });
}

/** TF's rule: a container's shared name, or the op's own name. */
export function variableKey(op: Operation): string {
  const { container, shared_name: shared } = op.attrs as { container?: string; shared_name?: string };
  const name = shared === undefined || shared === "" ? op.name : shared;
  return container === undefined || container === "" ? name : `${container}/${name}`;
}
