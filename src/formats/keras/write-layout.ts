/** @file Where variables go in an HDF5 file of Keras: groups, datasets and the lists beside them. Start at `layoutOf`. */

import { bytesOf, DTYPES, type DType, sizeOf, VarscopeError } from "../../base/index.ts";
import {
  needRunning,
  type WritableVariable,
  type WriteCollectionOptions,
  type WriteReport,
} from "../collection/index.ts";
import { typeBytes } from "./h5-types.ts";
import { type H5Node, type H5Values, h5Node, h5NodeAt } from "./h5-write.ts";

type Left = WriteReport["left"][number];

/** A file to write. */
export interface Layout {
  readonly root: H5Node;
  /** datasets in the order of their values */
  readonly order: readonly H5Values[];
  readonly left: readonly Left[];
  /** paths that are written */
  readonly paths: ReadonlySet<string>;
}

/** A variable and the path of its dataset. */
export interface Placement {
  readonly variable: WritableVariable;
  readonly path: string;
}

/** Groups and datasets of the placements, in their order. */
export async function layoutOf(
  placements: readonly Placement[],
  options: WriteCollectionOptions,
): Promise<Layout> {
  const root = h5Node();
  const order: H5Values[] = [];
  const left: Left[] = [];
  const paths = new Set<string>();
  const progress = { bytes: 0 };
  for (const { variable, path } of placements) {
    const { name, dtype } = variable;
    if (typeBytes(dtype) === undefined) {
      left.push({ what: name, why: `HDF5 has no ${dtype}` });
      continue;
    }
    const kept = dtypeRead(dtype);
    if (kept !== dtype) left.push({ what: `dtype ${dtype} of ${name}`, why: `HDF5 has ${kept}` });
    const dataset = await valuesOf(variable, options, progress);
    const parts = path.split("/");
    const group = h5NodeAt(root, parts.slice(0, -1));
    const last = parts.at(-1)!;
    if (last === "" || group.datasets.has(last) || group.groups.has(last))
      throw new VarscopeError("INVALID_ARGUMENT", `another variable or group has the path ${path}`, {
        at: name,
        hint: "rename one of them",
      });
    group.datasets.set(last, dataset);
    order.push(dataset);
    paths.add(path);
  }
  return { root, order, left, paths };
}

/** As which dtype HDF5 gives it back. */
const dtypeRead = (dtype: DType): DType => (/^q(u?int)/.test(dtype) ? (dtype.slice(1) as DType) : dtype);

async function valuesOf(
  v: WritableVariable,
  options: WriteCollectionOptions,
  progress: { bytes: number },
): Promise<H5Values> {
  const reading = options.signal === undefined ? {} : { signal: options.signal };
  const told = (bytes: number): void => {
    progress.bytes += bytes;
    options.onProgress?.(progress.bytes);
  };
  if (v.dtype === "string") return stringsOf(v, reading, told);
  return {
    dtype: v.dtype,
    shape: v.shape,
    bytes: sizeOf(v.shape) * DTYPES[v.dtype].bytes,
    // Keras knows bfloat16 by this. @see keras/src/saving/saving_lib.py H5IOStore
    ...(v.dtype === "bfloat16" ? { attributes: { dtype: "bfloat16" } } : {}),
    async *values() {
      for await (const t of v.values(reading)) {
        needRunning(options.signal, v.name);
        const bytes = bytesOf(t);
        told(bytes.length);
        yield bytes;
      }
    },
  };
}

/** Text is stored with the size of the longest, which is therefore read first. */
async function stringsOf(
  v: WritableVariable,
  reading: { readonly signal?: AbortSignal },
  told: (bytes: number) => void,
): Promise<H5Values> {
  let longest = 1;
  for await (const t of v.values(reading))
    for (const s of t.data as readonly Uint8Array[]) {
      if (s.at(-1) === 0)
        throw new VarscopeError(
          "INVALID_ARGUMENT",
          "a string ends with a zero byte, which HDF5 cannot tell from filling",
          {
            at: v.name,
            hint: "drop it (--drop)",
          },
        );
      longest = Math.max(longest, s.length);
    }
  return {
    dtype: "string",
    shape: v.shape,
    bytes: sizeOf(v.shape) * longest,
    stringBytes: longest,
    async *values() {
      for await (const t of v.values(reading)) {
        const all = t.data as readonly Uint8Array[];
        const out = new Uint8Array(all.length * longest);
        for (const [i, s] of all.entries()) out.set(s, i * longest);
        told(out.length);
        yield out;
      }
    },
  };
}
