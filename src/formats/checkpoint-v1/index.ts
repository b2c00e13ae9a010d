/**
 * @file Checkpoints of format V1, which TensorFlow wrote before 2016: tables of slices, one for each shard. Opening is in open.ts, writing in
 * save.ts; TensorFlow's reader over V1 and V2 is in ../checkpoint/reader.ts.
 */

export { openV1Collection } from "./open.ts";
export { writeV1Collection } from "./save.ts";
