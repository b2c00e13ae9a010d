/**
 * @file Protobuf text format for any message of ours, as TensorFlow's tools read and print it. Start at
 * parse.ts and format.ts.
 */

export { formatMessage } from "./format.ts";
export { parseMessage } from "./parse.ts";
