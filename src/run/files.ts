/** @file Save and restore ops on the checkpoint codec. */

import { dirname, diskFiles, isDir, makeDir } from "#platform";
import { VarscopeError } from "../base/index.ts";
import type { CheckpointFiles } from "../graph/index.ts";

const codec = () => import("../formats/checkpoint/index.ts");
const tensors = () => import("../formats/checkpoint/restore-tensors.ts");

/** Makes a folder, but none above it. @see TensorFlow core/util/tensor_bundle/tensor_bundle.cc "BundleWriter::BundleWriter" */
async function needFolder(folder: string): Promise<void> {
  if (!(await isDir(folder)) && (await isDir(dirname(folder)))) await makeDir(folder);
}

/** Of a file that a graph names, which is read whole: far beyond any vocabulary. */
const MOST_BYTES = 2 ** 31;

/** Files of this process. */
export const checkpointFiles = (): CheckpointFiles => ({
  async save(prefix, given) {
    const { saveCheckpoint } = await codec();
    await needFolder(dirname(prefix));
    await saveCheckpoint(prefix, given);
  },
  async saveV1(file, given) {
    const { saveV1Tensors } = await tensors();
    await saveV1Tensors(file, given);
  },
  async restore(prefix, wanted) {
    const { restoreTensors } = await tensors();
    return restoreTensors(prefix, wanted);
  },
  async readFile(file) {
    const source = diskFiles.source(file);
    try {
      const size = await source.size();
      if (size <= MOST_BYTES) return await source.read(0, size);
      throw new VarscopeError(
        "RESOURCE_EXHAUSTED",
        `a file of ${size} bytes; at most ${MOST_BYTES} are read`,
        {
          at: file,
        },
      );
    } finally {
      await source.close();
    }
  },
  async merge(prefixes, destination, deleteOld) {
    const { mergeCheckpoints } = await codec();
    await mergeCheckpoints(prefixes, destination, deleteOld);
  },
});
