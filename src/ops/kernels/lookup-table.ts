/** @file A lookup table of one session: values by key, bytes by bytes. Start at `LookupTable`. */

import {
  type DType,
  dtypeCppName,
  type Element,
  formatShape,
  getElement,
  type Tensor,
  tensor,
  toNested,
  VarscopeError,
} from "../../base/index.ts";

/** What a kernel of tables needs of them. */
export class LookupTable {
  readonly keyDtype: DType;
  readonly valueDtype: DType;
  /** filled once, then read only */
  readonly isStatic: boolean;
  isInitialized: boolean;
  private entries = new Map<string, { readonly key: Element; readonly value: Element }>();

  constructor(keyDtype: DType, valueDtype: DType, isStatic: boolean) {
    this.keyDtype = keyDtype;
    this.valueDtype = valueDtype;
    this.isStatic = isStatic;
    this.isInitialized = !isStatic;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Values of keys, the default where there are none. @throws VarscopeError FAILED_PRECONDITION, INVALID_ARGUMENT */
  find(keys: Tensor, fallback: Tensor): Tensor {
    this.checkTypes(keys.dtype, fallback.dtype);
    if (!this.isInitialized) throw new VarscopeError("FAILED_PRECONDITION", "Table not initialized.");
    if (fallback.data.length !== 1) {
      throw invalid(
        `Expected shape [] or ${formatShape(keys.shape)} for default value, got ${formatShape(fallback.shape)}`,
      );
    }
    const other = getElement(fallback, 0);
    const size = keys.shape.reduce((n, d) => n * d, 1);
    const found = Array.from({ length: size }, (_, i) => {
      return this.entries.get(idOf(getElement(keys, i)))?.value ?? other;
    });
    return tensor(found as never, this.valueDtype, keys.shape);
  }

  /** Fills a static table. As many entries once more are no error, whatever they are: TensorFlow compares the counts alone. */
  initialize(keys: readonly Element[], values: readonly Element[]): void {
    if (this.isInitialized) {
      if (keys.length === this.size) return;
      throw new VarscopeError("FAILED_PRECONDITION", "Table was already initialized with different data.");
    }
    const next: typeof this.entries = new Map();
    keys.forEach((key, i) => {
      const [id, value] = [idOf(key), values[i]!];
      const old = next.get(id);
      if (old !== undefined && idOf(old.value) !== idOf(value)) {
        throw new VarscopeError(
          "FAILED_PRECONDITION",
          `HashTable has different value for same key. Key ${shown(key)} has ${shown(old.value)} and trying to add value ${shown(value)}`,
        );
      }
      next.set(id, { key, value });
    });
    this.entries = next;
    this.isInitialized = true;
  }

  /** These entries and no others: fills a static table, as initialisers of TF2 do; replaces all of one that may change. */
  import(keys: Tensor, values: Tensor): void {
    this.checkPairs(keys, values);
    if (this.isStatic) {
      this.initialize(elementsOf(keys), elementsOf(values));
      return;
    }
    this.entries.clear();
    this.insert(keys, values);
  }

  /** Sets values of a table that may change. */
  insert(keys: Tensor, values: Tensor): void {
    this.checkChangeable("Insert");
    this.checkPairs(keys, values);
    for (let i = 0; i < keys.data.length; i++) {
      const key = getElement(keys, i);
      this.entries.set(idOf(key), { key, value: getElement(values, i) });
    }
  }

  remove(keys: Tensor): void {
    this.checkChangeable("Remove");
    for (let i = 0; i < keys.data.length; i++) this.entries.delete(idOf(getElement(keys, i)));
  }

  /**
   * Keys and values, in the order in which they came. TensorFlow's order is that of its hashes.
   *
   * @throws VarscopeError ABORTED - a static table that is not filled
   */
  export(): readonly [Tensor, Tensor] {
    if (!this.isInitialized) throw new VarscopeError("ABORTED", "HashTable is not initialized.");
    const all = [...this.entries.values()];
    const as = (items: Element[], dtype: DType): Tensor => tensor(items as never, dtype, [items.length]);
    return [
      as(
        all.map((e) => e.key),
        this.keyDtype,
      ),
      as(
        all.map((e) => e.value),
        this.valueDtype,
      ),
    ];
  }

  /** @throws VarscopeError INVALID_ARGUMENT - an op of other dtypes wants the table */
  checkHandle(key: DType, value: DType, name: string): void {
    if (key === this.keyDtype && value === this.valueDtype) return;
    const wanted = `${dtypeCppName(key)}->${dtypeCppName(value)}`;
    throw invalid(
      `Conflicting key/value dtypes ${wanted} with ${dtypeCppName(this.keyDtype)}-${dtypeCppName(this.valueDtype)} for table ${name}`,
    );
  }

  /** @throws VarscopeError INVALID_ARGUMENT - keys or values of other dtypes */
  checkTypes(key: DType, value: DType): void {
    if (key === this.keyDtype && value === this.valueDtype) return;
    const shown = (k: DType, v: DType): string => `resource, ${dtypeCppName(k)}, ${dtypeCppName(v)}->`;
    throw invalid(
      `Signature mismatch, have: ${shown(key, value)} expected: ${shown(this.keyDtype, this.valueDtype)}`,
    );
  }

  private checkPairs(keys: Tensor, values: Tensor): void {
    this.checkTypes(keys.dtype, values.dtype);
    if (keys.data.length === values.data.length) return;
    throw invalid(`Expected shape ${formatShape(keys.shape)} for value, got ${formatShape(values.shape)}`);
  }

  private checkChangeable(verb: string): void {
    if (!this.isStatic) return;
    throw new VarscopeError(
      "UNIMPLEMENTED",
      `${verb} not supported by InitializableLookupTable implementations`,
    );
  }
}

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

/** @throws VarscopeError INVALID_ARGUMENT - a key without a value */
export function checkPaired(keys: Tensor, values: Tensor): void {
  const [n, m] = [keys.data.length, values.data.length];
  if (n !== m) throw invalid(`Keys and values must have the same size ${n} vs ${m}`);
}

/** All elements of a tensor. */
export const elementsOf = (t: Tensor): Element[] => toNested({ ...t, shape: [t.data.length] }) as Element[];

const idOf = (x: Element): string =>
  x instanceof Uint8Array ? new TextDecoder("latin1").decode(x) : String(x);

const shown = (x: Element): string => (x instanceof Uint8Array ? new TextDecoder().decode(x) : String(x));
