/** @file The command line: one file per command, arguments and printing only; the work is in edit/ and run/. Start at program.ts. */

export { type ExitCode, runCli } from "./program.ts";
export type { Sink, Streams } from "./terminal.ts";
