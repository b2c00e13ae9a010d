/**
 * @file Input pipelines whose place can be saved: shuffle, repeat, batch, map over tensors in memory. Knows no session. Start at
 * dataset.ts.
 */

export type { BatchOptions } from "./batch.ts";
export { type Cursor, type CursorState, END, type OpenCursor } from "./cursor.ts";
export { type DataIterator, type Dataset, dataset } from "./dataset.ts";
export type { ShuffleOptions } from "./shuffle.ts";
export { fromTensorSlices, type TensorStructure } from "./slices.ts";
