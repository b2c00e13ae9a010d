/**
 * @file The object behind a TensorArray's handle: elements that are written and read by index, once each by default. It changes; what is
 * done first is said by the flow values. Start at `TensorArray`.
 *
 * @see TensorFlow core/kernels/tensor_array.h, tensor_array.cc
 */

import {
  type DType,
  formatShape,
  isCompatible,
  isStatic,
  mergeShapes,
  type Shape,
  sameShape,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { addTensors } from "./sum.ts";
import { blank } from "./variant.ts";

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

export interface TensorArrayOptions {
  readonly name: string;
  readonly dtype: DType;
  readonly size: number;
  readonly shape: Shape | null;
  /** writing beyond the end makes it longer */
  readonly dynamic: boolean;
  /** an element is let go when it was read, and cannot be read again */
  readonly clearAfterRead: boolean;
  /** the first element written says the shape of all */
  readonly identicalShapes: boolean;
  /** what is written to one index adds up */
  readonly adds?: boolean;
}

interface Element {
  /** null: never written, or cleared */
  readonly tensor: Tensor | null;
  readonly shape: Shape | null;
  readonly read: boolean;
}

/** One TensorArray of one run. */
export class TensorArray {
  readonly name: string;
  readonly dtype: DType;
  size: number;
  private shape: Shape | null;
  private dynamic: boolean;
  private closed = false;
  private readonly options: TensorArrayOptions;
  private readonly elements = new Map<number, Element>();
  private readonly gradients = new Map<string, TensorArray>();

  constructor(options: TensorArrayOptions) {
    this.options = options;
    this.name = options.name;
    this.dtype = options.dtype;
    this.size = options.size;
    this.shape = options.shape;
    this.dynamic = options.dynamic;
  }

  get isDynamic(): boolean {
    return this.dynamic;
  }

  /** @throws VarscopeError INVALID_ARGUMENT - it is closed */
  checkOpen(): void {
    if (this.closed) throw invalid(`TensorArray ${this.name} has already been closed.`);
  }

  /** @throws VarscopeError INVALID_ARGUMENT - outside, of another shape, written or read before */
  write(index: number, value: Tensor): void {
    this.checkOpen();
    if (index < 0 || (!this.dynamic && index >= this.size))
      throw this.refused(
        `Tried to write to index ${index} but array is not resizeable and size is: ${this.size}`,
      );
    this.size = Math.max(this.size, index + 1);
    const old = this.elements.get(index);
    if (!isCompatible(this.shape, value.shape))
      throw this.refused(
        `Could not write to TensorArray index ${index} because the value shape is ${formatShape(value.shape)} which is incompatible with the TensorArray's inferred element shape: ${formatShape(this.shape)} (consider setting infer_shape=False).`,
      );
    if (this.options.identicalShapes) this.shape = mergeShapes(this.shape, value.shape);
    if (old?.read)
      throw this.refused(`Could not write to TensorArray index ${index} because it has already been read.`);
    const tensor = this.combined(index, old?.tensor ?? null, value);
    this.elements.set(index, { tensor, shape: value.shape, read: false });
  }

  private combined(index: number, old: Tensor | null, value: Tensor): Tensor {
    if (old === null) return value;
    if (this.options.adds !== true)
      throw this.refused(
        `Could not write to TensorArray index ${index} because it has already been written to.`,
      );
    if (!sameShape(old.shape, value.shape))
      throw this.refused(
        `Could not aggregate to TensorArray index ${index} because the existing shape is ${formatShape(old.shape)} but the new input shape is ${formatShape(value.shape)}.`,
      );
    return addTensors(old, value);
  }

  /** Element `index`; zeros where nothing was written and the shape is known. @throws VarscopeError INVALID_ARGUMENT - outside, cleared, no shape */
  read(index: number): Tensor {
    this.checkOpen();
    if (index < 0 || index >= this.size)
      throw invalid(`Tried to read from index ${index} but array size is: ${this.size}`);
    const element = this.elements.get(index);
    if (element?.read && element.tensor === null)
      throw this.refused(
        `Could not read index ${index} twice because it was cleared after a previous read (perhaps try setting clear_after_read = false?).`,
      );
    const value = element?.tensor ?? this.zeros(index, element?.shape ?? null);
    this.elements.set(index, {
      tensor: this.options.clearAfterRead ? null : value,
      shape: value.shape,
      read: true,
    });
    return value;
  }

  private zeros(index: number, known: Shape | null): Tensor {
    const shape = known ?? this.shape;
    if (isStatic(shape)) return blank(this.dtype, shape);
    throw this.refused(
      `Could not read from TensorArray index ${index}.  Furthermore, the element shape is not fully defined: ${formatShape(shape)}.  It is possible you are working with a resizeable TensorArray and stop_gradients is not allowing the gradients to be written.  If you set the full element_shape property on the forward TensorArray, the proper all-zeros tensor will be returned instead of incurring this error.`,
    );
  }

  /** What is said of all elements joins what is known. @throws VarscopeError INVALID_ARGUMENT - they contradict each other */
  learnShape(shape: Shape | null): void {
    if (!isCompatible(this.shape, shape))
      throw invalid(
        `PartialTensorShape: Incompatible shapes during merge: ${formatShape(this.shape)} vs. ${formatShape(shape)}`,
      );
    this.shape = mergeShapes(this.shape, shape);
  }

  /** The array of gradients that one call of `gradients` gathers; this array grows no more. @param prepend - dims before an element's own */
  gradient(source: string, prepend: readonly number[] = []): TensorArray {
    this.checkOpen();
    this.dynamic = false;
    const known = this.gradients.get(source);
    if (known !== undefined) return known;
    if (this.options.adds === true)
      throw invalid(
        `Unable to create a gradients TensorArray for ${this.name}.  Perhaps you used the multiple_writes_aggregate flag on a previous write?  Gradient calculation is impossible when multiple writes are performed to the same index.`,
      );
    const longer = (shape: Shape | null): Shape | null => (shape === null ? null : [...prepend, ...shape]);
    const made = new TensorArray({
      ...this.options,
      name: `${this.name}@${source}`,
      size: this.size,
      shape: longer(this.shape),
      dynamic: false,
      clearAfterRead: true,
      adds: true,
    });
    for (const [i, { shape }] of this.elements)
      made.elements.set(i, { tensor: null, shape: longer(shape), read: false });
    this.gradients.set(source, made);
    return made;
  }

  close(): void {
    this.closed = true;
    this.elements.clear();
  }

  private refused(what: string): VarscopeError {
    return invalid(`TensorArray ${this.name}: ${what}`);
  }
}
