/** @file Arguments of the commands that compare, change, average and convert containers. Each command's work is in its own file. */

import { type Command, InvalidArgumentError } from "commander";
import type { ConventionName } from "../edit/recalibrate/index.ts";
import { assignment, each, type Outcome, pattern, positive, repeated, tolerance } from "./arguments.ts";
import { addSurgery, type GivenStep } from "./surgery-options.ts";
import type { Streams } from "./terminal.ts";

const CONTAINER = "checkpoint, SavedModel, graph, .keras, .h5, .npz or .safetensors";
const FORMATS =
  "checkpoint-v1 checkpoint-v2 checkpoint-object keras-v3 keras-weights keras-h5 npz safetensors graph-def saved-model";

/** `varscope diff A B`. */
export function addDiff(program: Command, streams: Streams, outcome: Outcome): void {
  program
    .command("diff")
    .description(
      "What differs between two containers of any format: names, dtypes, shapes, values. Exit code 1 if anything does.",
    )
    .argument("<a>", CONTAINER)
    .argument("<b>", CONTAINER)
    .option("--atol <x>", "values may differ by this much: 0", tolerance)
    .option("--rtol <x>", "and by this part of B's value: 0", tolerance)
    .option("--filter <regex>", "only variables whose name matches", pattern)
    .option("--map <file>", "JSON object: name in A -> name in B")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Names that differ in spelling only (conv1/weights, sequential/conv1/kernel:0) are one variable. NaN equals NaN.

Example:
  varscope diff run/model.ckpt-1000 model.keras --atol 1e-6`,
    )
    .action(async (a: string, b: string, options) => {
      outcome.found = await (await import("./diff.ts")).diffCommand(a, b, options, streams);
    });
}

/** `varscope edit IN OUT`. */
export function addEdit(program: Command, streams: Streams, _outcome: Outcome): void {
  const steps: GivenStep[] = [];
  const command = program
    .command("edit")
    .description(
      "A copy with variables renamed, left out, cast, replaced, split, joined, rearranged. Slots and moving averages follow their variables.",
    )
    .argument("<in>", CONTAINER)
    .argument(
      "<out>",
      "the new container, of the same format unless its name says another; the input itself with --force",
    )
    .option(
      "--rename <regex=replacement>",
      "replace in names; $1 is a group; repeatable, in order",
      each(assignment),
    )
    .option("--keep <regex>", "only variables whose name matches; repeatable", each(pattern))
    .option("--drop <regex>", "not those whose name matches; repeatable", each(pattern))
    .option("--cast <regex=dtype>", "another dtype; repeatable", each(assignment))
    .option("--allow-lossy", "write also where a cast overflows or loses integers")
    .option("--drop-slots", "leave out the optimizer's state")
    .option("--ema", "moving averages take the place of their variables")
    .option("--swap-ema", "moving averages and their variables change places")
    .option(
      "--set <name=@file.npy>",
      "replace a variable's values, or add a variable; repeatable",
      each(assignment),
    );
  addSurgery(command, steps)
    .option("--shards <n>", "data files of a checkpoint", positive)
    .option("--format <format>", `instead of what OUT's name says: ${FORMATS}`)
    .option("--dry-run", "print the plan, write nothing")
    .option("--force", "overwrite existing files")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Patterns and names are those of IN. Options from --reshape to --gates are steps, taken in the order given; each sees the names that
those before it left. --rename is cut at its last '='; write \\= for one in the replacement.
With no '/' after it, OUT is a checkpoint's prefix where its name has none of the endings of the other formats.

Examples:
  varscope edit model.ckpt-1000 clean --drop-slots --rename '^resnet/=backbone/'
  varscope edit vgg16.ckpt conv.ckpt --reshape vgg_16/fc6/weights=7,7,512,4096 --dry-run
  varscope edit bert.ckpt split --split attn/qkv/kernel=attn/q/kernel,attn/k/kernel,attn/v/kernel@1`,
    )
    .action(async (from: string, to: string, options) =>
      (await import("./edit.ts")).editCommand(from, to, { ...options, steps }, streams),
    );
}

/** `varscope average OUT IN...`. */
export function addAverage(program: Command, streams: Streams, _outcome: Outcome): void {
  program
    .command("average")
    .description(
      "The mean of containers with the same variables; counters and integers are those of the last.",
    )
    .argument("<out>", "the new container, of the first input's format unless its name says another")
    .argument("<in...>", CONTAINER)
    .option("--weights <numbers>", "weight of each input, separated by commas: 1 each")
    .option("--greedy", "of the inputs only those that do not make the mean's score fall; needs --score")
    .option(
      "--score <command>",
      "run for each file, which stands where it says {}; its last line is the score",
    )
    .option("--minimize", "the lower the score, the better")
    .option("--format <format>", `instead of what OUT's name says: ${FORMATS}`)
    .option("--force", "overwrite existing files")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
--score runs the command that you give, without a shell; nothing that a file says is run.

Examples:
  varscope average averaged run/model.ckpt-800 run/model.ckpt-900 run/model.ckpt-1000
  varscope average soup a.keras b.keras c.keras --greedy --score "python evaluate.py {}"`,
    )
    .action(async (to: string, from: readonly string[], options) =>
      (await import("./average.ts")).averageCommand(to, from, options, streams),
    );
}

/** `varscope convert IN OUT`. */
export function addConvert(program: Command, streams: Streams, _outcome: Outcome): void {
  program
    .command("convert")
    .description(
      "The same variables in another container, chosen by OUT's name; says what it could not carry.",
    )
    .argument("<in>", CONTAINER)
    .argument(
      "<out>",
      ".safetensors .npz .keras .weights.h5 .h5 .pb .v1 (checkpoint V1); else the prefix of a checkpoint",
    )
    .option("--format <format>", `instead of what OUT's name says: ${FORMATS}`)
    .option("--like <template>", "OUT has TEMPLATE's names, layout and model, with IN's values")
    .option("--map <file>", "with --like: JSON object, name in IN -> name in TEMPLATE")
    .option("--rename <regex=replacement>", "replace in IN's names first; repeatable", each(assignment))
    .option("--layout <keras>", "of an object-based checkpoint, what Keras 3 or Keras 2 restores", layoutOf)
    .option("--partial", "with --like: variables that IN lacks keep TEMPLATE's values")
    .option("--shards <n>", "data files of a checkpoint", positive)
    .option("--force", "overwrite existing files")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
Examples:
  varscope convert model.keras weights.safetensors
  varscope convert tf1/model.ckpt-1000 trained.keras --like untrained.keras`,
    )
    .action(async (from: string, to: string, options) =>
      (await import("./convert.ts")).convertCommand(from, to, options, streams),
    );
}

/** `varscope recalibrate GRAPH`. */
export function addRecalibrate(program: Command, streams: Streams, _outcome: Outcome): void {
  program
    .command("recalibrate")
    .description(
      "Statistics of batch normalization, estimated exactly over data: how far the stored ones are off, and a copy with the new ones.",
    )
    .argument("<graph>", "MetaGraph, GraphDef or SavedModel, for training or for inference")
    .option("--checkpoint <path>", "values of the variables: any container; by default the graph's own")
    .requiredOption(
      "--feed <name=value>",
      "@file.npy, whose first axis is cut into batches, or JSON; repeatable",
      repeated,
    )
    .option("--signature <name>", "names of feeds are this signature's inputs")
    .option("--batch <n>", "rows of a batch: 32", positive)
    .option(
      "--passes <one|per-layer>",
      "layers see batch statistics (one), or the new ones before them",
      passesOf,
    )
    .option("--layers <regex>", "only layers whose name matches", pattern)
    .option(
      "--convention <which>",
      `whose habit the variance follows: ${CONVENTION_WORDS.join(", ")}`,
      conventionOf,
    )
    .option("-o, --output <path>", "the new container; without it nothing is written")
    .option("--format <format>", `instead of what the output's name says: ${FORMATS}`)
    .option("--force", "overwrite existing files")
    .option("--json", "print one JSON document")
    .addHelpText(
      "after",
      `
shift: distance of the means in units of the layer's output (root mean square over channels); ratio: how much wider or narrower the data are.

Example:
  varscope recalibrate model.meta --checkpoint averaged --feed x=@images.npy --feed training=false -o calibrated`,
    )
    .action(async (graph: string, options) =>
      (await import("./recalibrate.ts")).recalibrateCommand(graph, options, streams),
    );
}

/** All names of `CONVENTIONS`, by the compiler's word: the table itself loads with the command's work. */
const CONVENTION_WORDS = Object.keys({
  detect: 0,
  "as-written": 0,
  "tf1-fused": 0,
  "tf1-unfused": 0,
  keras2: 0,
  keras3: 0,
  "keras-standalone": 0,
  sample: 0,
  population: 0,
} satisfies Record<ConventionName | "detect", 0>);

/** One of some words. */
const oneOf =
  <const W extends string>(...words: W[]) =>
  (text: string): W => {
    const found = words.find((w) => w === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`${words.slice(0, -1).join(", ")} or ${words.at(-1)} is wanted.`);
  };
const passesOf = oneOf("one", "per-layer");
const conventionOf = oneOf(...CONVENTION_WORDS);
const layoutOf = oneOf("keras2", "keras3");
