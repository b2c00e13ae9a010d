/** @file Save and restore ops on the checkpoint codec. */

import { dirname, isDir, makeDir, readFile } from "#platform";
import type { CheckpointFiles } from "../graph/index.ts";

const codec = () => import("../formats/checkpoint/index.ts");
const tensors = () => import("../formats/checkpoint/restore-tensors.ts");

/** Makes a folder, but none above it. @see TensorFlow core/util/tensor_bundle/tensor_bundle.cc "BundleWriter::BundleWriter" */
async function needFolder(folder: string): Promise<void> {
  if (!(await isDir(folder)) && (await isDir(dirname(folder)))) await makeDir(folder);
}

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
  readFile,
  async merge(prefixes, destination, deleteOld) {
    const { mergeCheckpoints } = await codec();
    await mergeCheckpoints(prefixes, destination, deleteOld);
  },
});
