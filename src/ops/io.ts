/** @file `io`: ops that read strings as something else, under the names that `tf.io` has. */

export { type DecodeCsvOptions, decodeCsv } from "./parse.ts";
export { decodeBase64, decodeRaw, encodeBase64 } from "./string-code.ts";
