#!/usr/bin/env node
/** @file The `varscope` command of package.json: arguments and streams of this process. The commands are in program.ts. */

import { runCli } from "./program.ts";

const abort = new AbortController();
// The first Ctrl-C ends the work, which leaves no half-written file; a second one ends the process.
process.once("SIGINT", () => abort.abort(new Error("Ctrl-C")));
process.once("SIGTERM", () => abort.abort(new Error("SIGTERM")));
// A reader that has seen enough (`| head`) is no error.
process.stdout.on("error", (e: NodeJS.ErrnoException) => {
  if (e.code === "EPIPE") process.exit(0);
  throw e;
});

process.exitCode = await runCli(process.argv.slice(2), {
  stdout: process.stdout,
  stderr: process.stderr,
  signal: abort.signal,
});
