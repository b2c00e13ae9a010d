/** @file Save and restore ops on the checkpoint codec. */

import type { CheckpointFiles } from "../graph/index.ts";

const codec = () => import("../formats/checkpoint/index.ts");
const tensors = () => import("../formats/checkpoint/restore-tensors.ts");

/** Files of this process. */
export const checkpointFiles = (): CheckpointFiles => ({
  async save(prefix, given) {
    const { saveCheckpoint } = await codec();
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
  async merge(prefixes, destination, deleteOld) {
    const { mergeCheckpoints } = await codec();
    await mergeCheckpoints(prefixes, destination, deleteOld);
  },
});
