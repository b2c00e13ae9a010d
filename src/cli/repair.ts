/** @file `varscope repair`: what edit/repair.ts saves of a damaged checkpoint. Start at `repairCommand`. */

import { type Repair, salvageCheckpoint } from "../edit/repair.ts";
import { needFree } from "../edit/write-model.ts";
import { formatJson } from "./json.ts";
import { progressOn } from "./progress.ts";
import { formatCount, type Streams } from "./terminal.ts";

export interface RepairFlags {
  readonly force?: boolean;
  readonly json?: boolean;
}

/** Saves what is intact. @returns whether something is lost. @throws VarscopeError as `salvageCheckpoint`; ALREADY_EXISTS */
export async function repairCommand(
  pathIn: string,
  pathOut: string,
  { force, json }: RepairFlags,
  { stdout, stderr, signal }: Streams,
): Promise<boolean> {
  await needFree(pathOut, { format: "checkpoint-v2", ...(force && { force }) });
  const progress = progressOn(stderr, "checking");
  let repair: Repair;
  try {
    repair = await salvageCheckpoint(pathIn, pathOut, {
      ...(signal && { signal }),
      onProgress: (done, all) => progress.report(done, all),
    });
  } finally {
    progress.end();
  }
  const lines = json ? [formatJson({ in: pathIn, out: pathOut, ...repair }, 2)] : linesOf(repair, pathOut);
  stdout.write(`${lines.join("\n")}\n`);
  return repair.lost.length + repair.damages.length > 0;
}

function linesOf({ saved, lost, damages }: Repair, out: string): string[] {
  return [
    ...damages.map((what) => `index: ${what}`),
    ...lost.map(({ name, why }) => `lost: ${name}: ${why}`),
    `${formatCount(saved.length)} tensors saved, ${formatCount(lost.length)} lost -> ${out}`,
  ];
}
