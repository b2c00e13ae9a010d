/** @file Features of serialized examples, gathered into tensors. Start at `parseExamples`. @see TensorFlow core/util/example_proto_fast_parsing.cc */

import { fromBinary } from "@bufbuild/protobuf";
import {
  allocate,
  type DType,
  dtypeCppName,
  type Element,
  getElement,
  type Shape,
  setElement,
  sizeOf,
  type Tensor,
  VarscopeError,
} from "../../base/index.ts";
import { type Example, ExampleSchema, type Feature } from "../../proto/index.ts";
import { boundedSize } from "../bounds.ts";
import { longs, shownBytes, splitsOf } from "../host-facts.ts";

/** A feature that every example has in one shape. `fallback` without elements: it has to be there. */
export interface DenseFeature {
  readonly key: string;
  readonly dtype: DType;
  /** first dim null: as long as it comes, filled up with the fallback */
  readonly shape: Shape;
  readonly fallback: Tensor;
}

/** A feature of any length. */
export interface LooseFeature {
  readonly key: string;
  readonly dtype: DType;
}

/** What is asked of examples. */
export interface FeatureSpec {
  readonly dense: readonly DenseFeature[];
  readonly sparse: readonly LooseFeature[];
  readonly ragged: readonly (LooseFeature & { readonly splits: DType })[];
}

/** What they have, in the order of the spec. */
export interface ParsedFeatures {
  readonly sparseIndices: Tensor[];
  readonly sparseValues: Tensor[];
  readonly sparseShapes: Tensor[];
  readonly dense: Tensor[];
  readonly raggedValues: Tensor[];
  readonly raggedSplits: Tensor[];
}

const invalid = (what: string): VarscopeError => new VarscopeError("INVALID_ARGUMENT", what);

const KINDS: Readonly<Record<string, DType>> = {
  floatList: "float32",
  int64List: "int64",
  bytesList: "string",
};

/** Values of one feature of one example; null where it is not there. */
type Values = readonly Element[] | null;

interface Read {
  readonly features: Example[];
  readonly nameOf: (i: number) => string;
}

/** @throws VarscopeError INVALID_ARGUMENT - the feature holds another dtype */
function valuesOf({ features, nameOf }: Read, i: number, { key, dtype }: LooseFeature): Values {
  const all = features[i]!.features?.feature ?? {};
  const feature: Feature | undefined = Object.hasOwn(all, key) ? all[key] : undefined;
  if (feature === undefined || feature.kind.case === undefined) return null;
  if (KINDS[feature.kind.case] !== dtype) {
    throw invalid(
      `Name: ${nameOf(i)}, Key: ${key}, Index: ${i}.  Data types don't match. Data type: ${dtypeCppName(KINDS[feature.kind.case]!)} but expected type: ${dtypeCppName(dtype)}`,
    );
  }
  return feature.kind.value.value;
}

function tensorOf(dtype: DType, shape: readonly number[], values: readonly Element[]): Tensor {
  const out: Tensor = { dtype, shape, data: allocate(dtype, values.length) };
  for (const [i, value] of values.entries()) setElement(out, i, value);
  return out;
}

/** @param batched - a vector of examples, not one alone */
function sparseOf(
  rows: readonly Values[],
  dtype: DType,
  batched: boolean,
): readonly [Tensor, Tensor, Tensor] {
  const values = rows.flatMap((row) => [...(row ?? [])]);
  const indices = rows.flatMap((row, i) => [...(row ?? [])].flatMap((_, k) => (batched ? [i, k] : [k])));
  const width = rows.reduce((most, row) => Math.max(most, row?.length ?? 0), 0);
  const shape = batched ? [rows.length, width] : [width];
  return [
    longs([values.length, shape.length], indices),
    tensorOf(dtype, [values.length], values),
    longs([shape.length], shape),
  ];
}

function denseOf(rows: readonly Values[], spec: DenseFeature, read: Read, batched: boolean): Tensor {
  const { key, dtype, shape, fallback } = spec;
  const inner = sizeOf(shape.slice(1) as number[]);
  const isLoose = shape[0] === null;
  const width = isLoose
    ? rows.reduce((most, row) => Math.max(most, row?.length ?? 0), 0)
    : sizeOf(shape as readonly number[]);
  const dims = [
    ...(batched ? [rows.length] : []),
    ...(isLoose ? [width / inner, ...shape.slice(1)] : shape),
  ] as number[];
  boundedSize(dims, dtype);
  const out: Tensor = { dtype, shape: dims, data: allocate(dtype, sizeOf(dims)) };
  rows.forEach((row, i) => {
    if (row === null && !isLoose && fallback.data.length === 0 && width > 0) {
      throw invalid(
        `Name: ${read.nameOf(i)}, Feature: ${key} (data type: ${dtypeCppName(dtype)}) is required but could not be found.`,
      );
    }
    const count = row?.length ?? 0;
    if (row !== null && (isLoose ? count % inner !== 0 : count !== width)) {
      throw invalid(
        `Name: ${read.nameOf(i)}, Key: ${key}, Index: ${i}.  Number of ${dtypeCppName(dtype)} values != expected.  values size: ${count} but output shape: [${shape.map((d) => d ?? "?")}]`,
      );
    }
    for (let k = 0; k < width; k++) {
      const own =
        k < count ? row![k]! : fallback.data.length === 0 ? null : getElement(fallback, isLoose ? 0 : k);
      if (own !== null) setElement(out, i * width + k, own);
    }
  });
  return out;
}

/**
 * @param names - of the examples, for errors; may be empty
 * @param batched - a vector of examples, not one alone
 * @throws VarscopeError INVALID_ARGUMENT - no example, a feature that is missing, or has another dtype or length
 */
export function parseExamples(
  serialized: readonly Uint8Array[],
  names: readonly Uint8Array[],
  spec: FeatureSpec,
  batched: boolean,
): ParsedFeatures {
  const nameOf = (i: number): string => (names[i] === undefined ? "<unknown>" : shownBytes(names[i]));
  const features = serialized.map((bytes) => {
    try {
      return fromBinary(ExampleSchema, bytes);
    } catch (cause) {
      const what = `Could not parse example input, value: '${shownBytes(bytes.subarray(0, 200))}'`;
      throw new VarscopeError("INVALID_ARGUMENT", what, { cause });
    }
  });
  const read = { features, nameOf };
  const rowsOf = (f: LooseFeature): Values[] => features.map((_, i) => valuesOf(read, i, f));
  const sparse = spec.sparse.map((f) => sparseOf(rowsOf(f), f.dtype, batched));
  const dense = spec.dense.map((f) => denseOf(rowsOf(f), f, read, batched));
  const ragged = spec.ragged.map((f) => {
    const rows = rowsOf(f);
    const values = rows.flatMap((row) => [...(row ?? [])]);
    const ends = [0];
    for (const row of rows) ends.push(ends.at(-1)! + (row?.length ?? 0));
    return [
      tensorOf(f.dtype, [values.length], values),
      splitsOf(f.splits as "int32" | "int64", batched ? ends : []),
    ] as const;
  });
  return {
    sparseIndices: sparse.map(([indices]) => indices),
    sparseValues: sparse.map(([, values]) => values),
    sparseShapes: sparse.map(([, , shape]) => shape),
    dense,
    raggedValues: ragged.map(([values]) => values),
    raggedSplits: ragged.map(([, splits]) => splits),
  };
}
