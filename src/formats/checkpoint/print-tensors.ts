/**
 * @file TensorFlow's inspect_checkpoint, its output to the letter. Start at `printTensorsInCheckpointFile`.
 *
 * @see TensorFlow python/tools/inspect_checkpoint.py
 */

import { diskFiles, type Files } from "#platform";
import { compareText, formatTensor, isVarscopeError, sizeOf, VarscopeError } from "../../base/index.ts";
import { type CheckpointReader, newCheckpointReader } from "./reader.ts";

export interface PrintTensorsOptions {
  /** a tensor to print with its values */
  readonly tensorName?: string;
  /** prints all tensors with their values: false */
  readonly allTensors?: boolean;
  /** prints all names, dtypes and shapes: false */
  readonly allTensorNames?: boolean;
  /** regular expression; tensors whose name it finds are not counted */
  readonly countExcludePattern?: string;
  /** where the files are looked up: the disk */
  readonly files?: Files;
}

/**
 * What `print_tensors_in_checkpoint_file` of TensorFlow prints: by default `debugString`; then the number of parameters. Errors are
 * text too, as there.
 *
 * Slices and dtypes of V1 that TensorFlow's reader refuses are printed; V1 lists are sorted.
 */
export async function printTensorsInCheckpointFile(
  file: string,
  options: PrintTensorsOptions = {},
): Promise<string> {
  const lines: string[] = [];
  try {
    const reader = await newCheckpointReader(file, options.files ?? diskFiles);
    try {
      for await (const line of linesOf(reader, options)) lines.push(line);
    } finally {
      await reader.close();
    }
  } catch (e) {
    if (!isVarscopeError(e)) throw e;
    lines.push(...errorLines(e, file));
  }
  return `${lines.join("\n")}\n`;
}

async function* linesOf(reader: CheckpointReader, options: PrintTensorsOptions): AsyncGenerator<string> {
  const { tensorName = "", allTensors = false, allTensorNames = false, countExcludePattern = "" } = options;
  const shapes = reader.getVariableToShapeMap();
  const dtypes = reader.getVariableToDtypeMap();
  const head = (name: string): string =>
    `tensor: ${name} (${dtypes.get(name)}) [${shapes.get(name)!.join(", ")}]`;
  if (allTensors || allTensorNames) {
    for (const name of [...shapes.keys()].sort(compareText)) {
      yield head(name);
      if (allTensors) yield formatTensor(await reader.getTensor(name));
    }
  } else if (tensorName === "") yield reader.debugString();
  else if (!reader.hasTensor(tensorName)) {
    yield `Tensor ${tensorName} not found in checkpoint`;
    return;
  } else {
    yield head(tensorName);
    yield formatTensor(await reader.getTensor(tensorName));
  }
  yield* countLines(shapes, countExcludePattern);
}

function* countLines(shapes: ReadonlyMap<string, readonly number[]>, exclude: string): Generator<string> {
  const matches = exclude === "" ? () => false : finder(exclude);
  const [counted, excluded]: string[][] = [[], []];
  for (const name of shapes.keys()) (matches(name) ? excluded! : counted!).push(name);
  const total = (names: readonly string[]): bigint =>
    names.reduce((n, name) => n + BigInt(sizeOf(shapes.get(name)!)), 0n);
  if (exclude !== "")
    yield `# Excluding ${excluded!.length} tensors (${total(excluded!)} params) that match ${exclude} when counting.`;
  yield `# Total number of params: ${total(counted!)}`;
}

function finder(pattern: string): (name: string) => boolean {
  try {
    const found = new RegExp(pattern, "u");
    return (name) => found.test(name);
  } catch (cause) {
    throw new VarscopeError("INVALID_ARGUMENT", `"${pattern}" is no regular expression`, { cause });
  }
}

const PREFIX_HINT = `
It's likely that this is a V2 checkpoint and you need to provide the filename
*prefix*.  Try removing the '.' and extension.  Try:
inspect checkpoint --file_name = `;

function errorLines(e: VarscopeError, file: string): string[] {
  // A file that is not there is said in TensorFlow's words, damage in ours, which tell the byte.
  const lines = [e.code === "DATA_LOSS" ? e.message : e.what];
  if (e.what.includes("corrupted compressed block contents"))
    lines.push("It's likely that your checkpoint file has been compressed with SNAPPY.");
  if (e.code === "DATA_LOSS" && [".index", ".meta", ".data"].some((ending) => file.includes(ending)))
    lines.push(PREFIX_HINT + file.split(".").slice(0, -1).join("."));
  return lines;
}
