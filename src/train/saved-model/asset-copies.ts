/** @file Asset files that go into a SavedModel: each once, names made unique. Start at `AssetCopies`. */

import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { basename, diskFiles, joinPath, makeDir, readFile, writeFileAtomic } from "#platform";
import { type Tensor, VarscopeError } from "../../base/index.ts";
import { assetsFolder } from "../../formats/saved-model/index.ts";
import type { Output } from "../../graph/index.ts";
import { AssetFileDefSchema } from "../../proto/meta-graph.gen.ts";

/** The files of one SavedModel. */
export class AssetCopies {
  private readonly folder: string;
  /** paths by the name in the SavedModel */
  private readonly sources = new Map<string, string>();

  constructor(folder: string) {
    this.folder = folder;
  }

  /**
   * Copies the files that constants name.
   *
   * @param tensors - string []: Const ops
   * @returns the items of the collection that says which file is fed to which tensor
   * @throws VarscopeError INVALID_ARGUMENT - no constant of one path; NOT_FOUND - no such file
   */
  async add(tensors: readonly Output[]): Promise<Any[]> {
    const items: Any[] = [];
    for (const tensor of tensors) {
      const path = pathOf(tensor);
      const filename = await this.nameFor(path);
      if (!this.sources.has(filename)) await this.copy(path, filename);
      this.sources.set(filename, path);
      const def = create(AssetFileDefSchema, {
        filename,
        tensorInfo: { encoding: { case: "name", value: tensor.name } },
      });
      const typeUrl = "type.googleapis.com/tensorflow.AssetFileDef";
      items.push(create(AnySchema, { typeUrl, value: toBinary(AssetFileDefSchema, def) }));
    }
    return items;
  }

  /** The file's own name; with a number where another file has it. */
  private async nameFor(path: string): Promise<string> {
    const plain = basename(path);
    for (let name = plain, i = 1; ; name = `${plain}_${i++}`) {
      const other = this.sources.get(name);
      if (other === undefined || other === path || (await isSameFile(other, path))) return name;
    }
  }

  private async copy(path: string, filename: string): Promise<void> {
    if (!(await diskFiles.exists(path))) {
      throw new VarscopeError("NOT_FOUND", "no such file; it is an asset of the SavedModel", { at: path });
    }
    await makeDir(assetsFolder(this.folder));
    await writeFileAtomic(joinPath(assetsFolder(this.folder), filename), [await readFile(path)]);
  }
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [x, y] = await Promise.all([readFile(a), readFile(b)]);
  return x.length === y.length && x.every((v, i) => v === y[i]);
}

function pathOf(tensor: Output): string {
  const { op } = tensor;
  const value = op.attrs.value as unknown as Tensor | undefined;
  const what =
    op.type !== "Const"
      ? `must be of type constant. Has type ${op.type} instead.`
      : tensor.dtype !== "string"
        ? `must be of dtype string. Has type ${tensor.dtype} instead.`
        : value?.data.length !== 1
          ? "must be a scalar."
          : null;
  if (what !== null) throw new VarscopeError("INVALID_ARGUMENT", `Asset path tensor ${tensor.name} ${what}`);
  return new TextDecoder().decode(value!.data[0] as Uint8Array);
}
