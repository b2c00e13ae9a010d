/**
 * @file Keras's files: `.keras`, `.weights.h5` and the older `.h5`, over HDF5. What is not here: Keras's layers, and code that a
 * config may hold, which is never run. Start at open.ts; the HDF5 library is hdf5.ts.
 */

export { openKerasArchive, openKerasH5File } from "./open.ts";
export { writeKerasV3, writeKerasWeights } from "./write.ts";
export { writeKerasH5 } from "./write-legacy.ts";
