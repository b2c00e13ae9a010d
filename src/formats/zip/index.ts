/**
 * @file Zip archives: read by random access with every claim checked, written as a stream. Compressed members are inflated by
 * fflate. Start at `openZip`.
 */

export { aheadSource } from "./ahead.ts";
export {
  MAX_INFLATED_BYTES,
  memberBytes,
  memberPieces,
  memberSource,
} from "./member.ts";
export { openZip, type Zip, type ZipLimits, type ZipMember } from "./zip.ts";
export { writeZip, type ZipOptions, type ZipPart } from "./zip-write.ts";
