/** @file Output files of commands: refused where they exist, written whole or not at all. Start at `refuseExisting`. */

import { exists } from "#platform";
import { VarscopeError } from "../base/index.ts";

/** @throws VarscopeError ALREADY_EXISTS - one of `files` is there and `force` is not set */
export async function refuseExisting(files: readonly string[], force: boolean | undefined): Promise<void> {
  if (force) return;
  for (const file of files) {
    if (!(await exists(file))) continue;
    throw new VarscopeError("ALREADY_EXISTS", "the file is there already", {
      at: file,
      hint: "give another name, or --force to overwrite it",
    });
  }
}
