/** @file GraphDef as text (`.pbtxt`), to and from Graph. The bytes are the affair of read.ts and write.ts. */

import type { Graph } from "../../graph/index.ts";
import { GraphDefSchema } from "../../proto/graph.gen.ts";
import { formatMessage, parseMessage } from "../proto-text/index.ts";
import { fromGraphDef, type ReadGraphOptions } from "./read.ts";
import { toGraphDef } from "./write.ts";

/**
 * The graph of a text GraphDef.
 *
 * @throws VarscopeError INVALID_ARGUMENT - syntax, at `file:line:column`; or as `readGraphDef`
 */
export const parseGraphDef = (pbtxt: string, options: ReadGraphOptions): Graph =>
  fromGraphDef(parseMessage(GraphDefSchema, pbtxt, options.file ?? "GraphDef"), options);

/** A graph as text GraphDef, as `tf.io.write_graph(as_text=True)` prints it. */
export const formatGraphDef = (graph: Graph): string => formatMessage(GraphDefSchema, toGraphDef(graph));
