/**
 * @file A graph file with other values in its constants; all else in it stays, also what is not known here. Start at
 * `writeGraphCollection`.
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { writeFileAtomic } from "#platform";
import { bytesOf, DTYPES, isVarscopeError, sameShape, type Tensor, VarscopeError } from "../../base/index.ts";
import {
  type CollectionWriter,
  gatherValues,
  type WritableVariable,
  type WriteCollectionOptions,
} from "../../formats/collection/index.ts";
import { fromGraphDef, readMessage, readTensorProto, writeAttr } from "../../formats/graph-def/index.ts";
import { fromMetaGraphDef } from "../../formats/meta-graph/index.ts";
import { formatMessage, parseMessage } from "../../formats/proto-text/index.ts";
import { CORE_OPS } from "../../ops/index.ts";
import {
  type GraphDef,
  GraphDefSchema,
  type MetaGraphDef,
  MetaGraphDefSchema,
  type NodeDef,
  NodeDefSchema,
} from "../../proto/index.ts";
import { recognise } from "../recognise.ts";
import { graphVariables } from "./open-graph.ts";

interface Left {
  readonly what: string;
  readonly why: string;
}

/** A variable to write; one that has another name in the graph says so. */
type GraphWritable = WritableVariable & { readonly from?: string | null };

/** A protobuf message of 2 GiB or more cannot be read by anybody. */
const MAX_MESSAGE_BYTES = 2 ** 31 - 1;

/** A graph file as its messages. */
interface Template {
  readonly def: GraphDef;
  /** null: the file is a GraphDef */
  readonly meta: MetaGraphDef | null;
}

/**
 * Writes the graph file that the values come from (extras' `graphFile`) with the values of its constants replaced, and renamed where a
 * variable comes `from` another name. Where there is none, a GraphDef of the variables alone, as constants. Text where the path
 * ends in .pbtxt or .txt, else binary; of a MetaGraph its graph alone where it ends in .pb or .pbtxt.
 *
 * @throws VarscopeError FAILED_PRECONDITION - the graph does not allow a dtype, shape or name; INVALID_ARGUMENT - a name is taken;
 *   RESOURCE_EXHAUSTED - 2 GiB or more
 */
export const writeGraphCollection: CollectionWriter = async (path, contents, options = {}) => {
  const bytes = contents.extras?.graphFile;
  const template = bytes === undefined ? { def: create(GraphDefSchema), meta: null } : readTemplate(bytes);
  const { def } = template;
  const left: Left[] = [];
  if (bytes === undefined) await addConstants(def, contents.variables, options, left);
  else await replaceConstants(def, contents.variables, options, left);
  needGraph(template, path);
  const { signal, sync } = options;
  await writeFileAtomic(path, [encode(template, path)], {
    ...(signal === undefined ? {} : { signal }),
    ...(sync === undefined ? {} : { sync }),
  });
  return { left };
};

/** Values one after another, with progress. */
async function* valuesOf(
  variables: readonly GraphWritable[],
  { signal, onProgress }: WriteCollectionOptions,
): AsyncGenerator<readonly [GraphWritable, Tensor]> {
  let bytes = 0;
  for (const v of variables) {
    const value = await gatherValues(v, signal === undefined ? {} : { signal });
    bytes += ArrayBuffer.isView(value.data) ? value.data.byteLength : 0;
    onProgress?.(bytes);
    yield [v, value];
  }
}

async function addConstants(
  def: GraphDef,
  variables: readonly GraphWritable[],
  options: WriteCollectionOptions,
  left: Left[],
): Promise<void> {
  const plain = variables.filter((v) => DTYPES[v.dtype].kind !== "other");
  for (const { name, dtype } of variables.filter((v) => !plain.includes(v)))
    left.push({ what: name, why: `${dtype} has no plain values` });
  for await (const [{ name }, value] of valuesOf(plain, options)) {
    const attr = { dtype: writeAttr(value.dtype, "type"), value: writeAttr(value, "tensor") };
    def.node.push(create(NodeDefSchema, { name, op: "Const", attr }));
  }
}

async function replaceConstants(
  def: GraphDef,
  variables: readonly GraphWritable[],
  options: WriteCollectionOptions,
  left: Left[],
): Promise<void> {
  const nodes = new Map(def.node.map((node) => [node.name, node]));
  const listed = listedConstants(def);
  const isConstant = (v: GraphWritable): boolean => nodes.get(v.from ?? v.name)?.op === "Const";
  for (const v of variables.filter((v) => !isConstant(v))) {
    const op = nodes.get(v.from ?? v.name)?.op;
    const why =
      op === undefined
        ? "the graph has no node of this name"
        : `the graph's ${op} holds no value: a checkpoint does`;
    left.push({ what: v.name, why });
  }
  const written = new Map<string, string>();
  for await (const [v, value] of valuesOf(variables.filter(isConstant), options)) {
    const name = v.from ?? v.name;
    replaceValue(nodes.get(name)!, value);
    written.set(name, v.name);
  }
  renameNodes(def, written);
  for (const name of listed)
    if (!written.has(name)) left.push({ what: name, why: "it stays as it was: the graph needs it" });
}

function readTemplate(bytes: Uint8Array): Template {
  const kind = recognise(bytes);
  const text = (): string => new TextDecoder().decode(bytes);
  const at = "template";
  if (kind === "graph-def") return { def: readMessage(GraphDefSchema, bytes, at), meta: null };
  if (kind === "graph-def-text") return { def: parseMessage(GraphDefSchema, text(), at), meta: null };
  const meta =
    kind === "meta-graph"
      ? readMessage(MetaGraphDefSchema, bytes, at)
      : kind === "meta-graph-text"
        ? parseMessage(MetaGraphDefSchema, text(), at)
        : null;
  if (meta?.graphDef === undefined) {
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      "the values of a graph file can only be written into a graph",
      {
        hint: "give a GraphDef or MetaGraph whose constants are to be replaced",
      },
    );
  }
  return { def: meta.graphDef, meta };
}

/** Puts a value into a constant; the same value is left as it is written. */
function replaceValue(node: NodeDef, value: Tensor): void {
  const held = node.attr.value?.value;
  const before = held?.case === "tensor" ? readTensorProto(held.value, node.name) : null;
  if (before !== null && sameTensor(before, value)) return;
  node.attr.value = writeAttr(value, "tensor");
  node.attr.dtype = writeAttr(value.dtype, "type");
  if (before === null || !sameShape(before.shape, value.shape)) delete node.attr._output_shapes;
}

function sameTensor(a: Tensor, b: Tensor): boolean {
  if (a.dtype !== b.dtype || !sameShape(a.shape, b.shape) || a.data.length !== b.data.length) return false;
  const parts = (t: Tensor): readonly Uint8Array[] =>
    t.dtype === "string" ? (t.data as readonly Uint8Array[]) : [bytesOf(t)];
  const theirs = parts(b);
  return parts(a).every(
    (part, i) => part.length === theirs[i]!.length && part.every((byte, k) => byte === theirs[i]![k]),
  );
}

/** Gives nodes other names, also where other nodes name them: inputs, control inputs, colocation. */
function renameNodes({ node: nodes }: GraphDef, names: ReadonlyMap<string, string>): void {
  const changed = new Map([...names].filter(([before, after]) => before !== after));
  if (changed.size === 0) return;
  const taken = new Set(nodes.map((node) => node.name).filter((name) => !changed.has(name)));
  for (const after of changed.values()) {
    if (taken.has(after))
      throw new VarscopeError("INVALID_ARGUMENT", "the graph has another node of this name", {
        at: after,
        hint: "choose another name",
      });
    taken.add(after);
  }
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  for (const node of nodes) {
    node.name = changed.get(node.name) ?? node.name;
    node.input = node.input.map((input) => {
      const [, control, name, output] = /^(\^?)(.*?)(:\d+)?$/s.exec(input)!;
      return `${control}${changed.get(name!) ?? name}${output ?? ""}`;
    });
    const places = node.attr._class?.value;
    if (places?.case !== "list") continue;
    places.value.s = places.value.s.map((bytes) => {
      const place = decoder.decode(bytes);
      const after = place.startsWith("loc:@") ? changed.get(place.slice(5)) : undefined;
      return after === undefined ? bytes : encoder.encode(`loc:@${after}`);
    });
  }
}

/** @throws VarscopeError FAILED_PRECONDITION - what was put in does not fit the rest of the graph */
function needGraph({ def, meta }: Template, path: string): void {
  try {
    if (meta === null) fromGraphDef(def, { registry: CORE_OPS, file: path });
    else fromMetaGraphDef(meta, { registry: CORE_OPS, file: path });
  } catch (cause) {
    if (!isVarscopeError(cause)) throw cause;
    throw new VarscopeError("FAILED_PRECONDITION", `the graph does not allow this: ${cause.what}`, {
      at: cause.at ?? path,
      hint: "keep dtype and shape as they are, or change the graph where it is made",
      cause,
    });
  }
}

/** Constants of a graph that are listed as variables. */
function listedConstants(def: GraphDef): string[] {
  const graph = fromGraphDef(def, { registry: CORE_OPS });
  const file = { path: "", format: "graph-def", graph, meta: null, checkpoint: null } as const;
  return graphVariables(file).flatMap((v) => (v.value === null ? [] : [v.name]));
}

function encode({ def, meta: whole }: Template, path: string): Uint8Array {
  const meta = /\.pb(txt)?$/.test(path) ? null : whole;
  const isText = /\.(pbtxt|txt)$/.test(path);
  const bytes = isText
    ? new TextEncoder().encode(
        meta === null ? formatMessage(GraphDefSchema, def) : formatMessage(MetaGraphDefSchema, meta),
      )
    : meta === null
      ? toBinary(GraphDefSchema, def)
      : toBinary(MetaGraphDefSchema, meta);
  if (bytes.length > MAX_MESSAGE_BYTES && !isText) {
    throw new VarscopeError(
      "RESOURCE_EXHAUSTED",
      `the graph takes ${bytes.length} bytes; protobuf reads at most ${MAX_MESSAGE_BYTES}`,
      {
        at: path,
        hint: "write a checkpoint instead",
      },
    );
  }
  return bytes;
}
