/**
 * @file GraphDef: TensorFlow's graph file, binary and text, to and from Graph; tensors and attributes as
 * messages. Knows no op by name. Start at read.ts.
 */

export { readAttr, readAttrs, writeAttr } from "./attr-value.ts";
export { type ImportGraphOptions, importGraphDef } from "./import.ts";
export { fromGraphDef, importNodes, type ReadGraphOptions, readGraphDef, readMessage } from "./read.ts";
export {
  MAX_EXPANDED_BYTES,
  readShape,
  readTensorProto,
  writeShape,
  writeTensorProto,
} from "./tensor-proto.ts";
export { formatGraphDef, parseGraphDef } from "./text.ts";
export { toGraphDef, toNodeDef, writeGraphDef } from "./write.ts";
