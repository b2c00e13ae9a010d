/** @file Save and restore ops on the checkpoint codec. */

import type { CheckpointFiles } from "../graph/index.ts";

const codec = () => import("../formats/checkpoint/index.ts");

/** Files of this process. */
export const checkpointFiles = (): CheckpointFiles => ({
  async save(prefix, tensors) {
    const { saveCheckpoint } = await codec();
    await saveCheckpoint(prefix, tensors);
  },
  async restore(prefix, wanted) {
    const { openCheckpoint } = await codec();
    const checkpoint = await openCheckpoint(prefix);
    try {
      return await Promise.all(
        wanted.map((w) => (w.slice === "" ? checkpoint.read(w.name) : checkpoint.readSlice(w.name, w.slice))),
      );
    } finally {
      await checkpoint.close();
    }
  },
  async merge(prefixes, destination, deleteOld) {
    const { mergeCheckpoints } = await codec();
    await mergeCheckpoints(prefixes, destination, deleteOld);
  },
});
