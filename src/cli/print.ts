/** @file `varscope print`: one tensor on the terminal, as JSON, or as .npy. Start at `printCommand`. */

import { writeFileAtomic } from "#platform";
import { formatShape, formatTensor } from "../base/index.ts";
import { openModel } from "../edit/open-model.ts";
import { writeNpy } from "../wire/index.ts";
import { refuseExisting } from "./files.ts";
import { formatJson, tensorToJson } from "./json.ts";
import { type Streams, styleFor } from "./terminal.ts";

export interface PrintFlags {
  readonly all?: boolean;
  readonly npy?: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Prints a tensor. @throws VarscopeError NOT_FOUND - no such tensor; ALREADY_EXISTS - the .npy is there; and as `openModel` */
export async function printCommand(
  path: string,
  given: string,
  flags: PrintFlags,
  { stdout, signal }: Streams,
): Promise<void> {
  if (flags.npy !== undefined) await refuseExisting([flags.npy], flags.force);
  const model = await openModel(path);
  try {
    const t = await model.read(given, signal ? { signal } : {});
    const { dtype, shape } = t;
    const { name } = model.find(given);
    if (flags.npy !== undefined) await writeFileAtomic(flags.npy, [writeNpy(t)], signal ? { signal } : {});
    if (flags.json) {
      const where = flags.npy === undefined ? { values: tensorToJson(t) } : { npy: flags.npy };
      stdout.write(`${formatJson({ name, dtype, shape, ...where })}\n`);
      return;
    }
    const header = `${styleFor(stdout).bold(name)}  ${dtype} ${formatShape(shape)}`;
    const values = formatTensor(t, flags.all ? { threshold: Number.POSITIVE_INFINITY } : {});
    stdout.write(`${header}\n${flags.npy === undefined ? values : `-> ${flags.npy}`}\n`);
  } finally {
    await model.close();
  }
}
