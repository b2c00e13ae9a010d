/** @file Writing numpy's .npz, byte for byte as numpy.savez where the arrays are not large. Start at `writeNpz`. */

import { writeFileAtomic } from "#platform";
import { DTYPES, isVarscopeError } from "../../base/index.ts";
import { npyDescr, npyValues, writeNpy, writeNpyHeader } from "../../wire/index.ts";
import {
  type CollectionWriter,
  gatherValues,
  type WritableVariable,
  type WriteCollectionOptions,
} from "../collection/index.ts";
import { writeZip, type ZipPart } from "../zip/index.ts";
import { counted, fileOptions, valueChunks } from "./values.ts";

/**
 * Writes variables as an .npz that numpy.load opens; the arrays are called as the variables. Names, values and shapes are all that an .npz holds.
 * float8 is left out, since its files do not tell the kinds of float8 apart; what numpy has no dtype for is written as another, and reported.
 */
export const writeNpz: CollectionWriter = async (path, contents, options = {}) => {
  const left: { what: string; why: string }[] = [];
  const told = counted(options);
  async function* parts(): AsyncGenerator<ZipPart> {
    for (const v of contents.variables) {
      const why = loss(v);
      if (why !== undefined)
        left.push({ what: isWritten(v) ? `dtype ${v.dtype} of ${v.name}` : v.name, why });
      if (!isWritten(v)) continue;
      const data = v.dtype === "string" ? await stringArray(v, told, left) : arrayChunks(v, told);
      if (data !== null) yield { name: `${v.name}.npy`, data };
    }
  }
  await writeFileAtomic(path, writeZip(parts(), { wide: true }), fileOptions(options));
  return { left };
};

const isWritten = ({ dtype }: WritableVariable): boolean =>
  DTYPES[dtype].kind !== "other" && !dtype.startsWith("float8");

/** What is lost of a variable; undefined: nothing. */
function loss({ dtype }: WritableVariable): string | undefined {
  if (DTYPES[dtype].kind === "other") return `${dtype} has no plain values`;
  if (dtype.startsWith("float8"))
    return `an .npz does not say which float8 it holds (here ${dtype}); cast it`;
  const same = dtype.replace(/^q/, "").replace(/int[24]$/, "int8");
  return same === dtype ? undefined : `numpy has ${same}`;
}

async function* arrayChunks(
  v: WritableVariable,
  options: WriteCollectionOptions,
): AsyncGenerator<Uint8Array> {
  yield writeNpyHeader(npyDescr(v.dtype), v.shape);
  yield* valueChunks(v, npyValues, options);
}

/** An array of strings, as wide as the longest; null where one cannot be written. */
async function stringArray(
  v: WritableVariable,
  { signal, onProgress }: WriteCollectionOptions,
  left: { what: string; why: string }[],
): Promise<Uint8Array | null> {
  try {
    const bytes = writeNpy(await gatherValues(v, signal === undefined ? {} : { signal }));
    onProgress?.(bytes.length);
    return bytes;
  } catch (e) {
    if (!isVarscopeError(e, "INVALID_ARGUMENT")) throw e;
    left.push({ what: v.name, why: e.what });
    return null;
  }
}
