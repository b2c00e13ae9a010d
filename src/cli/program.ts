/** @file The command line: its commands and options, errors and exit codes. A command's work loads when it is asked for. Start at `runCli`. */

import { createRequire } from "node:module";
import { Command, CommanderError, Option } from "commander";
import { isVarscopeError } from "../base/index.ts";
import { names, type Outcome, pattern, positive, repeated } from "./arguments.ts";
import { addAverage, addConvert, addDiff, addEdit, addRecalibrate } from "./edit-commands.ts";
import { addFreeze, addTransform } from "./graph-commands.ts";
import type { Streams } from "./terminal.ts";

/** 0: done; 1: the work failed, or a check found something; 2: wrong usage. */
export type ExitCode = 0 | 1 | 2;

/**
 * Runs one command.
 *
 * @param argv - without node and script
 * @returns what the process should exit with; errors are on `stderr` then
 */
export async function runCli(argv: readonly string[], streams: Streams): Promise<ExitCode> {
  const outcome: Outcome = { found: false };
  const program = makeProgram(streams, outcome);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return outcome.found ? 1 : 0;
  } catch (e) {
    return report(e, streams, argv.includes("--debug"));
  }
}

function report(e: unknown, { stderr }: Streams, debug: boolean): ExitCode {
  if (e instanceof CommanderError) return e.exitCode === 0 ? 0 : 2;
  const known = isVarscopeError(e);
  stderr.write(
    `${known ? e.message : `[INTERNAL] varscope: ${messageOf(e)}; run it with --debug and report it`}\n`,
  );
  if (debug && e instanceof Error) {
    stderr.write(`${e.stack}\n`);
    for (let c = e.cause; c instanceof Error; c = c.cause) stderr.write(`caused by ${c.stack}\n`);
  }
  return 1;
}

const messageOf = (e: unknown): string => (e instanceof Error ? e.message : String(e));

function makeProgram(streams: Streams, outcome: Outcome): Command {
  const program = new Command("varscope");
  program
    .description("TensorFlow's variables and graphs on the command line, with no TensorFlow installed.")
    .version(readVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .addHelpText(
      "after",
      `
PATH is a checkpoint (its prefix, one of its files, its state file or its folder), a SavedModel's folder, a GraphDef
(.pb, .pbtxt), a MetaGraph (.meta), .keras, .weights.h5, .h5, .npz or .safetensors, or the https:// address of one. What it
is is told by its bytes. --debug adds a stack trace to an error.

Examples:
  varscope inspect runs/digits/model.meta --stats
  varscope print runs/digits/ stem_bn/moving_mean
  varscope doctor model.keras
  varscope convert model.ckpt-1000 trained.keras --like untrained.keras
  varscope freeze runs/digits/model.meta --outputs probabilities -o frozen.pb
  varscope run frozen.pb --feed x=@images.npy --fetch probabilities --out results

Exit codes: 0 done, 1 the work failed or a check found something, 2 wrong usage.`,
    );
  for (const add of [addInspect, addPrint, addFreeze, addTransform, addRun, addUi]) add(program, streams);
  for (const add of [addDoctor, addDiff, addEdit, addAverage, addRecalibrate, addConvert, addRepair])
    add(program, streams, outcome);
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: (text) => streams.stderr.write(text),
      outputError: (text, write) => write(usageError(command, text)),
    });
    if (command !== program)
      command.addOption(new Option("--debug", "add a stack trace to an error").hideHelp());
  }
  return program;
}

/** A usage error of commander in our form. */
function usageError(command: Command, text: string): string {
  const what = text
    .replace(/^error: /, "")
    .trim()
    .replace(/\.?\n\(?/g, "; ")
    .replace(/\)$/, "");
  const name = command.parent === null ? command.name() : `${command.parent.name()} ${command.name()}`;
  return `[INVALID_ARGUMENT] ${name}: ${what}; see '${name} --help'\n`;
}

const readVersion = (): string =>
  (createRequire(import.meta.url)("../../package.json") as { version: string }).version;

function addInspect(program: Command, streams: Streams): void {
  program
    .command("inspect")
    .description(
      "What is inside: format, variables by layer and role, totals; a graph's inputs, outputs, signatures, ops.",
    )
    .argument("<path>", "any container")
    .option(
      "--stats",
      "smallest, largest, mean, standard deviation (of the finite values), zeros, NaNs and infinities",
    )
    .option("--filter <regex>", "only variables whose name matches", pattern)
    .option("--slots", "a line for each optimizer slot and moving average, too")
    .addOption(
      new Option(
        "--objects",
        "the tree of objects of a TF2 checkpoint or SavedModel: children, slots, keys",
      ).conflicts(["stats", "filter", "slots"]),
    )
    .option("--json", "print one JSON document")
    .action(async (path: string, options) =>
      options.objects === true
        ? (await import("./inspect-objects.ts")).objectsCommand(path, options, streams)
        : (await import("./inspect.ts")).inspectCommand(path, options, streams),
    );
}

function addRepair(program: Command, streams: Streams, outcome: Outcome): void {
  program
    .command("repair")
    .description(
      "Every intact tensor of a damaged checkpoint, saved anew; names what is lost. Exit code 1 if anything is.",
    )
    .argument("<in>", "a checkpoint whose data, shards or index are damaged or cut")
    .argument("<out>", "prefix of the new checkpoint")
    .option("--force", "overwrite existing files")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Example:
  varscope repair run/model.ckpt-1000 rescued/model.ckpt-1000`,
    )
    .action(async (from: string, to: string, options) => {
      outcome.found = await (await import("./repair.ts")).repairCommand(from, to, options, streams);
    });
}

function addDoctor(program: Command, streams: Streams, outcome: Outcome): void {
  program
    .command("doctor")
    .description(
      "What is wrong with these variables: the number that shows it, what follows, the command that repairs it.",
    )
    .argument("<path>", "checkpoint, SavedModel, graph, .keras, .h5, .npz or .safetensors")
    .option("--graph <graph>", "a graph that they should fit: MetaGraph, GraphDef or SavedModel")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Exit code 1 where a finding is an error. Nothing is changed. The rules: docs/doctor.md.

Example:
  varscope doctor runs/digits --graph runs/digits/model.meta`,
    )
    .action(async (path: string, options) => {
      outcome.found = await (await import("./doctor.ts")).doctorCommand(path, options, streams);
    });
}

function addPrint(program: Command, streams: Streams): void {
  program
    .command("print")
    .description("One tensor: name, dtype, shape and values, as numpy prints them.")
    .argument("<path>", "any container")
    .argument("<name>", "variable or constant; ':0' may follow")
    .option("--all", "all values, not the ends alone")
    .option("--npy <file>", "write the tensor as .npy instead")
    .option("--force", "overwrite an existing file")
    .option("--json", "print one JSON document")
    .action(async (path: string, name: string, options) =>
      (await import("./print.ts")).printCommand(path, name, options, streams),
    );
}

function addRun(program: Command, streams: Streams): void {
  program
    .command("run")
    .description("Runs a graph, for inference or training. Prints one JSON line a step.")
    .argument("<model>", "MetaGraph, GraphDef, SavedModel, or a checkpoint with its .meta beside it")
    .option("--checkpoint <prefix>", "restore the variables first; a SavedModel has its own")
    .option("--init", "run the graph's initializers first")
    .option("--signature <name>", "names of feeds and fetches are this signature's inputs and outputs")
    .option("--tags <names>", "of a SavedModel: tags of the MetaGraph, separated by commas", names)
    .option("--feed <name=value>", "JSON ([[1,2]]) or @file.npy; repeatable", repeated)
    .option("--fetch <name>", "a tensor to print; repeatable", repeated)
    .option("--target <op>", "an op to run; repeatable", repeated)
    .option("--steps <n>", "run so many times", positive)
    .option("--save <prefix>", "save the variables at the end")
    .option("--out <dir>", "tensors go to DIR/NAME.npy, and only scalars are printed")
    .option("--server <address>", "run on a TensorFlow server (grpc://HOST:PORT)")
    .option("--force", "overwrite existing files")
    .option("--json", "print one JSON document in place of the lines")
    .addHelpText(
      "after",
      `
Example, training a MetaGraph of TensorFlow Python:
  varscope run model.meta --init --feed x=@x.npy --feed labels='[3,1]' --fetch loss --target train_op --steps 50 --save out/model`,
    )
    .action(async (model: string, options) => {
      const exclusive = options.checkpoint !== undefined && options.init === true;
      if (exclusive) throw wrongUsage(program, "run", "--checkpoint and --init exclude each other");
      await (await import("./run.ts")).runCommand(model, options, streams);
    });
}

function addUi(program: Command, streams: Streams): void {
  program
    .command("ui")
    .description("The inspector in a browser: serves its page and the container's files to this machine.")
    .argument("<path>", "any container of variables")
    .option("--port <n>", "port; by default any that is free", positive)
    .option("--open", "open the browser")
    .action(async (path: string, options) => (await import("./ui.ts")).uiCommand(path, options, streams));
}

/** A usage error of our own: printed as commander's are. */
function wrongUsage(program: Command, name: string, what: string): unknown {
  const command = program.commands.find((c) => c.name() === name)!;
  try {
    return command.error(`error: ${what}`);
  } catch (e) {
    return e;
  }
}
