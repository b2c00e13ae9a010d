/**
 * @file Writes HDF5 as h5py does by default (superblock 0, groups as symbol tables, contiguous values), in one pass: all that
 * describes stands first, then the values as they come. The library would build the file in memory, at most 2 GiB, and knows
 * neither float16 nor bool. Start at `writeH5`.
 *
 * @see HDF5 File Format Specification 3.0
 */

import { compareText, type DType, VarscopeError } from "../../base/index.ts";
import type { H5Text } from "./h5-file.ts";
import {
  ascii,
  attributeMessage,
  extentBytes,
  fixedText,
  freeText,
  headerBytes,
  joined,
  MESSAGE,
  message,
  padded,
  typeBytes,
  UNDEFINED,
  u8,
  u16,
  u32,
  u64,
} from "./h5-types.ts";

/** A dataset to write. */
export interface H5Values {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** of strings: bytes of each */
  readonly stringBytes?: number;
  readonly attributes?: Readonly<Record<string, H5Text>>;
  /** all values, little-endian */
  values(): AsyncIterable<Uint8Array>;
}

/** A group to write. */
export interface H5Node {
  readonly attributes: Map<string, H5Text>;
  readonly groups: Map<string, H5Node>;
  readonly datasets: Map<string, H5Values>;
}

/** An empty group. */
export const h5Node = (): H5Node => ({ attributes: new Map(), groups: new Map(), datasets: new Map() });

/** The group of a path below `root`, made where it is missing. */
export function h5NodeAt(root: H5Node, path: readonly string[]): H5Node {
  let at = root;
  for (const name of path) {
    if (name === "" || name === "." || at.datasets.has(name))
      throw new VarscopeError("INVALID_ARGUMENT", `${JSON.stringify(path.join("/"))} is no path of a group`, {
        at: name,
      });
    let next = at.groups.get(name);
    if (next === undefined) {
      next = h5Node();
      at.groups.set(name, next);
    }
    at = next;
  }
  return at;
}

/** Names in a leaf of a group's tree: 2 K, K = 4. */
const LEAF_LINKS = 8;
/** Children of an inner node: 2 K, K = 16. */
const NODE_CHILDREN = 32;
const SUPERBLOCK_BYTES = 96;
/** A message has 16 bits for its size. */
const MESSAGE_BYTES = 65_528;
/** The library reads this much of a heap at once. @see HDF5 src/H5HGprivate.h H5HG_MINSIZE */
const HEAP_BYTES = 4096;

/** Blocks that describe, each with its place. */
interface Blocks {
  readonly parts: Uint8Array[];
  end: number;
  /** values with their places, in the order in which they are written */
  readonly values: { readonly dataset: H5Values; readonly at: number }[];
  /** where the values begin, once it is known */
  valuesAt: number;
}

/** Puts a block at the end. @returns its place */
function put(blocks: Blocks, bytes: Uint8Array): number {
  const at = blocks.end;
  blocks.parts.push(bytes);
  blocks.end += bytes.length;
  const gap = padded(blocks.end) - blocks.end;
  if (gap > 0) blocks.parts.push(new Uint8Array(gap));
  blocks.end += gap;
  return at;
}

/**
 * The bytes of an HDF5 file.
 *
 * @param order - datasets in the order of their values in the file
 * @throws VarscopeError INVALID_ARGUMENT - a name with a slash, values of another size than said; UNIMPLEMENTED - a dtype that
 * HDF5 lacks
 */
export async function* writeH5(root: H5Node, order: readonly H5Values[]): AsyncGenerator<Uint8Array> {
  // Twice: places of the values are known only when all that stands before them is.
  const places = new Map<H5Values, number>();
  let valuesAt = 0;
  for (const pass of [0, 1]) {
    const blocks: Blocks = { parts: [], end: SUPERBLOCK_BYTES, values: [], valuesAt };
    const top = putGroup(blocks, root, places);
    if (pass === 0) {
      valuesAt = blocks.end;
      let at = valuesAt;
      for (const dataset of order) {
        places.set(dataset, at);
        at += padded(dataset.bytes);
      }
      continue;
    }
    const end = order.reduce((n, d) => n + padded(d.bytes), valuesAt);
    yield superblock(top, end);
    yield* blocks.parts;
  }
  for (const dataset of order) yield* checkedValues(dataset);
}

async function* checkedValues(dataset: H5Values): AsyncGenerator<Uint8Array> {
  let written = 0;
  for await (const piece of dataset.values()) {
    written += piece.length;
    yield piece;
  }
  if (written !== dataset.bytes)
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${written} bytes of values came, ${dataset.bytes} were said`,
    );
  yield new Uint8Array(padded(written) - written);
}

interface Placed {
  readonly header: number;
  readonly tree: number;
  readonly heap: number;
}

function superblock({ header, tree, heap }: Placed, end: number): Uint8Array {
  return joined(
    u8(0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a),
    u8(0, 0, 0, 0, 0, 8, 8, 0),
    u16(LEAF_LINKS / 2, NODE_CHILDREN / 2),
    u32(0),
    u64(0, UNDEFINED, end, UNDEFINED),
    u64(0, header),
    u32(1, 0), // the root's tree and heap stand here too
    u64(tree, heap),
  );
}

/** Names above their group, so that every place is known when it is needed. */
function putGroup(blocks: Blocks, group: H5Node, places: ReadonlyMap<H5Values, number>): Placed {
  const links: Link[] = [];
  for (const [name, child] of group.groups)
    links.push({ name: ascii(name), text: name, header: putGroup(blocks, child, places).header });
  for (const [name, dataset] of group.datasets)
    links.push({
      name: ascii(name),
      text: name,
      header: putDataset(blocks, dataset, places.get(dataset) ?? 0),
    });
  links.sort((a, b) => compareText(a.text, b.text));
  const bad = links.find((l, i) => l.text.includes("/") || l.text === "" || l.text === links[i + 1]?.text);
  if (bad !== undefined)
    throw new VarscopeError(
      "INVALID_ARGUMENT",
      `${JSON.stringify(bad.text)} is no name for a group or dataset`,
    );
  const { heap, offsets } = putNames(blocks, links);
  const tree = putTree(blocks, links, offsets);
  const messages = [message(MESSAGE.symbols, u64(tree, heap)), ...attributes(blocks, group.attributes)];
  return { header: put(blocks, headerBytes(messages)), tree, heap };
}

interface Link {
  readonly name: Uint8Array;
  readonly text: string;
  readonly header: number;
}

/** The local heap: names with a zero behind each, at multiples of 8; the first is empty. */
function putNames(blocks: Blocks, links: readonly Link[]) {
  const offsets: number[] = [];
  let end = 8;
  for (const { name } of links) {
    offsets.push(end);
    end += padded(name.length + 1);
  }
  const data = new Uint8Array(end);
  for (const [i, { name }] of links.entries()) data.set(name, offsets[i]!);
  const dataAt = put(blocks, data);
  const free = 1; // no free space
  const heap = put(blocks, joined(ascii("HEAP"), u8(0, 0, 0, 0), u64(data.length, free, dataAt)));
  return { heap, offsets };
}

/** A node's place, and the name (by offset) that is its last. */
interface Child {
  readonly at: number;
  readonly last: number;
}

/** The tree over the names, from its leaves up. */
function putTree(blocks: Blocks, links: readonly Link[], offsets: readonly number[]): number {
  let nodes: Child[] = [];
  for (let i = 0; i < links.length; i += LEAF_LINKS) {
    const part = links.slice(i, i + LEAF_LINKS);
    const leaf = new Uint8Array(8 + 40 * LEAF_LINKS);
    leaf.set(joined(ascii("SNOD"), u8(1, 0), u16(part.length)));
    for (const [j, link] of part.entries()) leaf.set(u64(offsets[i + j]!, link.header), 8 + 40 * j);
    nodes.push({ at: put(blocks, leaf), last: offsets[i + part.length - 1]! });
  }
  for (let level = 0; ; level++) {
    const above: Child[] = [];
    const count = Math.max(1, Math.ceil(nodes.length / NODE_CHILDREN));
    const bytes = padded(24 + 16 * NODE_CHILDREN + 8);
    let before = 0; // offset of the name before the node's first: the empty one
    for (let i = 0; i < count; i++) {
      const part = nodes.slice(i * NODE_CHILDREN, (i + 1) * NODE_CHILDREN);
      const node = new Uint8Array(bytes);
      const place = blocks.end;
      const left = i === 0 ? UNDEFINED : place - bytes;
      const right = i === count - 1 ? UNDEFINED : place + bytes;
      const keys = part.flatMap((child) => [child.at, child.last]);
      node.set(joined(ascii("TREE"), u8(0, level), u16(part.length), u64(left, right, before, ...keys)));
      before = part.at(-1)?.last ?? 0;
      above.push({ at: put(blocks, node), last: before });
    }
    nodes = above;
    if (nodes.length === 1) return nodes[0]!.at;
  }
}

function putDataset(blocks: Blocks, dataset: H5Values, at: number): number {
  const { dtype, shape, bytes, stringBytes } = dataset;
  const type = typeBytes(dtype, stringBytes);
  if (type === undefined) throw new VarscopeError("UNIMPLEMENTED", `HDF5 has no type for ${dtype}`);
  const layout = joined(u8(3, 1), u64(bytes === 0 ? UNDEFINED : at, bytes));
  return put(
    blocks,
    headerBytes([
      message(MESSAGE.extent, extentBytes(shape)),
      message(MESSAGE.type, type),
      message(MESSAGE.fill, joined(u8(2, 2, 2, 1), u32(0))),
      message(MESSAGE.layout, layout),
      ...attributes(blocks, new Map(Object.entries(dataset.attributes ?? {}))),
    ]),
  );
}

/** One text lies in the global heap, so it may have any size; a list has elements of one size. */
function attributes(blocks: Blocks, all: ReadonlyMap<string, H5Text>): Uint8Array[] {
  return [...all].map(([name, value]) => {
    if (typeof value === "string") return textAttribute(blocks, name, value);
    const texts = value.map(ascii);
    const size = texts.reduce((n, t) => Math.max(n, t.length), 1);
    const data = new Uint8Array(size * texts.length);
    for (const [i, t] of texts.entries()) data.set(t, i * size);
    if (data.length > MESSAGE_BYTES - 1024)
      throw new VarscopeError(
        "INVALID_ARGUMENT",
        `${data.length} bytes do not fit into the attribute ${name}`,
      );
    return attributeMessage(name, fixedText(size), [texts.length], data);
  });
}

function textAttribute(blocks: Blocks, name: string, value: string): Uint8Array {
  const text = ascii(value);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is asked for
  const type = freeText(/[^\x00-\x7f]/.test(value));
  const used = 16 + 16 + padded(text.length);
  const size = Math.max(HEAP_BYTES, used + 16);
  const heap = new Uint8Array(size);
  heap.set(joined(ascii("GCOL"), u8(1, 0, 0, 0), u64(size), u16(1, 1), u32(0), u64(text.length), text));
  heap.set(u64(0, size - used), used); // object 0 is the free space
  const at = put(blocks, heap);
  return attributeMessage(name, type, [], joined(u32(text.length), u64(at), u32(1)));
}
