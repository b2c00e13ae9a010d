/** @file Looks into any V2 checkpoint: the names at once, the values of one tensor when it is asked for. */
import { pathToFileURL } from "node:url";
import { formatTensor } from "varscope";
import { openCheckpoint } from "varscope/checkpoint";

/**
 * @param path - a prefix, one of its files, or a folder (then its latest checkpoint)
 * @param name - a tensor to print; by default none
 * @returns number of elements of all tensors
 */
export async function main(
  path: string,
  name?: string,
  print: (line: string) => void = console.log,
): Promise<number> {
  const checkpoint = await openCheckpoint(path); // reads the index alone
  try {
    let elements = 0;
    for (const [key, { dtype, shape, bytes }] of checkpoint.entries) {
      print(`${key}  ${dtype} [${shape.join(", ")}]  ${bytes} bytes`);
      elements += shape.reduce((a, b) => a * b, 1);
    }
    print(`${checkpoint.entries.size} tensors, ${elements} elements`);
    if (name !== undefined) print(formatTensor(await checkpoint.read(name))); // reads these bytes, and checks their CRC
    return elements;
  } finally {
    await checkpoint.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [path, name] = process.argv.slice(2);
  if (path === undefined) throw new Error("usage: inspect-checkpoint PATH [NAME]");
  await main(path, name);
}
