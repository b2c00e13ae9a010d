/**
 * @file Counting the memory that arrays ask for, so that a mutant that makes a reader take gigabytes is found even where the pages are
 * never touched. Installed before anything else loads. Start at `countArrays`.
 */

export interface Taken {
  /** bytes of the largest array since `reset` */
  largest: number;
  /** of all of them */
  total: number;
}

const NAMES = [
  "ArrayBuffer",
  "Uint8Array",
  "Int8Array",
  "Uint16Array",
  "Int16Array",
  "Uint32Array",
  "Int32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
] as const;

/** Replaces the constructors of arrays by ones that count. */
export function countArrays(): Taken {
  const taken: Taken = { largest: 0, total: 0 };
  for (const name of NAMES) {
    const original = globalThis[name] as unknown as {
      new (...args: unknown[]): object;
      BYTES_PER_ELEMENT?: number;
    };
    const width = original.BYTES_PER_ELEMENT ?? 1;
    const counting: typeof original = new Proxy(original, {
      construct(target, args, caller) {
        if (typeof args[0] === "number") {
          taken.total += args[0] * width;
          taken.largest = Math.max(taken.largest, args[0] * width);
        }
        return Reflect.construct(target, args, caller === counting ? target : caller);
      },
    });
    Object.defineProperty(globalThis, name, { value: counting, configurable: true, writable: true });
  }
  return taken;
}
