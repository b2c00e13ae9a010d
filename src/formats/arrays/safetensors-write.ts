/** @file Writing safetensors, byte for byte as the library. Start at `writeSafetensors`. */

import { writeFileAtomic } from "#platform";
import { bytesOf, compareText, DTYPES, sizeOf, VarscopeError } from "../../base/index.ts";
import type { CollectionWriter, Contents, WritableVariable } from "../collection/index.ts";
import { METADATA, SAFETENSORS_DTYPES } from "./safetensors.ts";
import { counted, fileOptions, valueChunks } from "./values.ts";

const NAMES = new Map(
  Object.entries(SAFETENSORS_DTYPES).map(([name, dtype], order) => [dtype, { name, order }]),
);
const ALIGN_BYTES = 8;

/**
 * Writes variables as safetensors, wide dtypes first and then by name, as the library does. Strings and dtypes that the format lacks are left out.
 *
 * @throws VarscopeError INVALID_ARGUMENT - a variable called `__metadata__`
 */
export const writeSafetensors: CollectionWriter = async (path, contents, options = {}) => {
  const variables = contents.variables.filter(({ dtype }) => NAMES.has(dtype));
  const left = contents.variables
    .filter(({ dtype }) => !NAMES.has(dtype))
    .map(({ name, dtype }) => ({ what: name, why: `safetensors have no ${dtype}` }));
  if (variables.some((v) => v.name === METADATA))
    throw new VarscopeError("INVALID_ARGUMENT", `no variable of safetensors can be called ${METADATA}`, {
      hint: "rename it",
    });
  const order = (v: WritableVariable): number => NAMES.get(v.dtype)!.order;
  const sorted = [...variables].sort((a, b) => order(b) - order(a) || compareText(a.name, b.name));
  const told = counted(options);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield headerOf(sorted, contents.extras?.metadata);
    for (const v of sorted) yield* valueChunks(v, bytesOf, told);
  }
  await writeFileAtomic(path, chunks(), fileOptions(options));
  return { left };
};

function headerOf(
  variables: readonly WritableVariable[],
  metadata: NonNullable<Contents["extras"]>["metadata"],
): Uint8Array {
  const entries = metadata === undefined ? [] : [`${JSON.stringify(METADATA)}:${JSON.stringify(metadata)}`];
  let end = 0;
  for (const { name, dtype, shape } of variables) {
    const start = end;
    end += sizeOf(shape) * DTYPES[dtype].bytes;
    entries.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype: NAMES.get(dtype)!.name, shape, data_offsets: [start, end] })}`,
    );
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const length = ALIGN_BYTES * Math.ceil(json.length / ALIGN_BYTES);
  const out = new Uint8Array(8 + length).fill(0x20, 8);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(json, 8);
  return out;
}
