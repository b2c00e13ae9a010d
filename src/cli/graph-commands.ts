/** @file Arguments of the commands that make graphs from graphs: freeze and transform. Each command's work is in its own file. */

import type { Command } from "commander";
import { assignment, each, names, positive } from "./arguments.ts";
import type { Streams } from "./terminal.ts";

/** `varscope freeze IN`. */
export function addFreeze(program: Command, streams: Streams): void {
  program
    .command("freeze")
    .description("A GraphDef whose variables are constants, shown equal to the original on random inputs.")
    .argument("<in>", "MetaGraph, GraphDef, SavedModel, or a checkpoint with its .meta beside it")
    .option("--outputs <names>", "nodes that the graph is for, separated by commas", names)
    .requiredOption("-o, --output <file>", "the frozen graph; .pbtxt writes text")
    .option("--checkpoint <path>", "values of the variables; by default the checkpoint beside the graph")
    .option("--signature <name>", "outputs are those of this signature")
    .option("--tags <names>", "of a SavedModel: tags of the MetaGraph, separated by commas", names)
    .option("--initializer-nodes <names>", "nodes to run first, for variables that no checkpoint has", names)
    .option("--allow <names>", "only these variables become constants", names)
    .option("--deny <names>", "these variables stay variables", names)
    .option("--fold", "fold batch normalization into convolutions and products; writes OUT.provenance.json")
    .option("--clone", "with --fold: compute a convolution twice where others take its result, too")
    .option("--passes <names>", "passes to run over the frozen graph; see 'varscope transform --list'", names)
    .option("--set-inference", "batch normalization takes its moving statistics, whatever it was built for")
    .option(
      "--placeholder <name=value>",
      "a placeholder becomes this constant (JSON); repeatable",
      each(assignment),
    )
    .option("--drop-updates", "do not wait for assignments, of update ops for instance")
    .option("--clear-devices", "forget device strings and colocations")
    .option("--no-proof", "do not run the graphs")
    .option("--force", "overwrite an existing file")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Example:
  varscope freeze runs/digits/model.meta --outputs probabilities --fold -o folded.pb`,
    )
    .action(async (path: string, options) =>
      (await import("./freeze.ts")).freezeCommand(path, options, streams),
    );
}

/** `varscope transform IN`. */
export function addTransform(program: Command, streams: Streams): void {
  program
    .command("transform")
    .description("A GraphDef after passes: each says what it did and left, and is shown to compute the same.")
    .argument("[in]", "frozen GraphDef, or another graph")
    .option("--passes <names>", "passes in order, separated by commas", names)
    .option("-o, --output <file>", "the new graph; .pbtxt writes text; OUT.provenance.json goes beside it")
    .option("--list", "the passes there are")
    .option("--outputs <names>", "nodes that the graph is for, separated by commas", names)
    .option("--inputs <names>", "of strip-unused: tensors that are fed; what computes them goes", names)
    .option("--placeholder <name=value>", "of placeholders-to-constants: JSON; repeatable", each(assignment))
    .option("--rename <regex=replacement>", "of rename: repeatable, in order", each(assignment))
    .option("--steps <n>", "of round-weights: values that a tensor keeps, 256 by default", positive)
    .option("--clone", "of fold-batch-norm: compute a convolution twice where others take its result, too")
    .option("--refold <provenance>", "make the constants of a transformed graph anew, from --checkpoint")
    .option("--checkpoint <path>", "values of the variables: any container")
    .option("--no-proof", "do not run the graphs")
    .option("--force", "overwrite existing files")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Examples:
  varscope transform frozen.pb -o folded.pb --outputs probabilities --passes remove-training-nodes,fold-batch-norm
  varscope transform broken.pb -o mended.pb --outputs out --passes repair,set-inference,strip-unused
  varscope transform --refold folded.pb.provenance.json --checkpoint runs/digits/model.ckpt-2000 -o folded-2000.pb`,
    )
    .action(async (path: string | undefined, options) =>
      (await import("./transform.ts")).transformCommand(path, options, streams),
    );
}
