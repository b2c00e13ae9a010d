/** @file Event files, which TensorBoard reads: their records and a writer. Knows no op and no session. Start at file-writer.ts. */

export { type EventInit, readEvents, SESSION_STATUS, writeEvent } from "./event-file.ts";
export { type FileWriter, type FileWriterOptions, fileWriter } from "./file-writer.ts";
