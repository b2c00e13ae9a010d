import { expect, test } from "vitest";
import { filesOfDrop } from "./drop.ts";

interface Tree {
  readonly [name: string]: Tree | string;
}

/** An entry as browsers give them: callbacks, and a folder's entries some at a time. */
function entryOf(name: string, tree: Tree | string, above = ""): FileSystemEntry {
  const fullPath = `${above}/${name}`;
  if (typeof tree === "string")
    return {
      isFile: true,
      fullPath,
      file: (done: (f: Blob) => void) => done(new Blob([tree])),
    } as unknown as FileSystemEntry;
  const left = Object.entries(tree).map(([n, t]) => entryOf(n, t, fullPath));
  const createReader = () => ({
    readEntries: (done: (e: FileSystemEntry[]) => void) => done(left.splice(0, 2)),
  });
  return { isFile: false, fullPath, createReader } as unknown as FileSystemEntry;
}

const transferOf = (tree: Tree): DataTransfer => {
  const items = Object.entries(tree).map(([n, t]) => ({ webkitGetAsEntry: () => entryOf(n, t) }));
  return { items, files: [] } as unknown as DataTransfer;
};

test("a dropped folder gives all its files with their places", async () => {
  const files = await filesOfDrop(
    transferOf({
      export: {
        "saved_model.pb": "g",
        assets: {},
        variables: { "variables.index": "i", "variables.data-00000-of-00001": "d", extra: "x" },
      },
    }),
  );
  expect(files.map((f) => f.path)).toEqual([
    "export/saved_model.pb",
    "export/variables/variables.index",
    "export/variables/variables.data-00000-of-00001",
    "export/variables/extra",
  ]);
  expect(await files[1]!.blob.text()).toBe("i");
});
