/**
 * @file Containers that no library reads for us: LevelDB's table, TFRecord, varints, npy. Pure functions over bytes; files are in
 * platform. Start at table.ts.
 */

export {
  NPY_HEADER_BYTES,
  type NpyHeader,
  type NpyOptions,
  npyDescr,
  npyValues,
  readNpy,
  readNpyHeader,
  refusedNpy,
  writeNpy,
  writeNpyHeader,
} from "./npy.ts";
export { readSnappy } from "./snappy.ts";
export {
  type BlockPlace,
  COMPRESSION,
  checkTrailer,
  compareBytes,
  type EntryHead,
  entriesEnd,
  FOOTER_BYTES,
  type Handle,
  readBlock,
  readBlockPlaces,
  readEntryHead,
  readFooter,
  readOrdered,
  readTable,
  type TableEntry,
  TRAILER_BYTES,
} from "./table.ts";
export { type Damage, type ScannedTable, scanTable } from "./table-scan.ts";
export {
  shortestSeparator,
  shortSuccessor,
  type TableBuilder,
  tableBuilder,
  writeTable,
} from "./table-writer.ts";
export { RECORD_FRAME_BYTES, type ReadRecordsOptions, readRecords, writeRecord } from "./tfrecord.ts";
export { pushVarint, readVarint, type Varint, varintLength } from "./varint.ts";
