/**
 * @file Mutants of containers. Beside plain damage there are changes inside of tables, archives, messages and headers whose
 * checksums and lengths are put right again, so that what reads the inner parts meets them too. Start at `mutate`.
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { bytesSource, crc32c } from "#platform";
import { maskCrc } from "../../src/base/index.ts";
import { writeStrings } from "../../src/formats/checkpoint/strings.ts";
import { memberBytes, openZip, writeZip } from "../../src/formats/zip/index.ts";
import {
  AssetFileDefSchema,
  BundleEntryProtoSchema,
  MetaGraphDefSchema,
  SavedModelSchema,
  TensorInfoSchema,
} from "../../src/proto/index.ts";
import { readRecords, readTable, type TableEntry, writeRecord, writeTable } from "../../src/wire/index.ts";
import type { Kind, Seed } from "./corpus.ts";
import { type Change, joined, mutateBytes, mutateInPlace, mutateText } from "./mutate-bytes.ts";
import { attackGraph, mutateGraph } from "./mutate-graph.ts";
import { mutateMessage } from "./mutate-message.ts";
import type { Random } from "./random.ts";

type Files = Map<string, Uint8Array>;
/** Changes a container's files in place; false where it does not apply. */
type Attack = (files: Files, r: Random, seeds: readonly Seed[]) => boolean | Promise<boolean>;

const replace =
  (wanted: RegExp, change: Change): Attack =>
  (files, r) => {
    const names = [...files.keys()].filter((name) => wanted.test(name));
    if (names.length === 0) return false;
    const name = r.pick(names);
    files.set(name, change(files.get(name)!, r));
    return true;
  };

const damage = replace(/./, mutateBytes);

/** Parts of another container of the same kind. */
const splice: Attack = (files, r, seeds) => {
  const name = r.pick([...files.keys()]);
  const others = [...r.pick(seeds).files.values()];
  const [mine, other] = [files.get(name)!, r.pick(others)];
  const at = r.below(mine.length + 1);
  const from = r.once(2) ? Math.min(at, other.length) : r.below(other.length + 1);
  files.set(name, joined(mine.subarray(0, at), other.subarray(from)));
  return true;
};

/** A file gone, or another in its place. */
const loseFile: Attack = (files, r) => {
  if (files.size < 2) return false;
  const [a, b] = [r.pick([...files.keys()]), r.pick([...files.keys()])];
  if (r.once(2)) files.delete(a);
  else files.set(a, files.get(b)!);
  return true;
};

/** An entry of a table: key, value, or its place; blocks and checksums are written anew. */
const inTable =
  (wanted: RegExp, sort: boolean): Attack =>
  (files, r) => {
    const names = [...files.keys()].filter((name) => wanted.test(name));
    if (names.length === 0) return false;
    const name = r.pick(names);
    const entries = readTable(files.get(name)!, name).map(({ key, value }) => ({
      key: key.slice(),
      value: value.slice(),
    }));
    for (let n = 1 + r.below(2); n > 0; n--) changeEntry(entries, r);
    const order = (a: TableEntry, b: TableEntry): number => Buffer.compare(a.key, b.key);
    const unique = sort
      ? entries.sort(order).filter((e, i) => i === 0 || order(entries[i - 1]!, e) !== 0)
      : entries;
    files.set(name, writeTable(unique));
    return true;
  };

function changeEntry(entries: TableEntry[], r: Random): void {
  if (entries.length === 0) return;
  const at = r.below(entries.length);
  const { key, value } = entries[at]!;
  const how = r.below(10);
  if (how === 0) entries.splice(at, 1);
  else if (how === 1)
    entries.push({ key: key.length === 0 ? Uint8Array.of(r.below(256)) : mutateBytes(key, r), value });
  else if (how === 2 && key.length > 0) entries[at] = { key: mutateBytes(key, r), value };
  else if (how === 3) entries[at] = { key, value: r.pick(entries).value };
  else entries[at] = { key, value: mutateMessage(value, r) };
}

/** The trailers of the blocks of a table right again, after changes in place. */
const inBlocks =
  (wanted: RegExp): Attack =>
  (files, r) => {
    const names = [...files.keys()].filter((name) => wanted.test(name) && files.get(name)!.length > 60);
    if (names.length === 0) return false;
    const name = r.pick(names);
    const bytes = files.get(name)!.slice();
    const blocks = blocksOf(bytes);
    if (blocks.length === 0) return false;
    const [start, length] = r.pick(blocks);
    bytes.set(mutateInPlace(bytes.slice(start, start + length + 1), r), start); // the byte behind a block says how it is compressed
    new DataView(bytes.buffer).setUint32(
      start + length + 1,
      maskCrc(crc32c(bytes.subarray(start, start + length + 1))),
      true,
    );
    files.set(name, bytes);
    return true;
  };

/** Places of a table's blocks by trial: where a CRC fits what is before it. */
function blocksOf(bytes: Uint8Array): (readonly [number, number])[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: (readonly [number, number])[] = [];
  let start = 0;
  for (let end = 0; end + 5 <= bytes.length && found.length < 64; end++) {
    if (end - start > 70_000) break;
    if (bytes[end]! > 1 || end === start) continue;
    const crc = view.getUint32(end + 1, true);
    if (crc !== maskCrc(crc32c(bytes.subarray(start, end + 1)))) continue;
    found.push([start, end - start]);
    start = end + 5;
    end = start - 1;
  }
  return found;
}

const OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH";

/** The graph of objects, as a message; its place and checksum in the index follow. */
const inObjectGraph: Attack = (files, r) => {
  const index = [...files.keys()].find((name) => name.endsWith(".index"));
  const data = [...files.keys()].find((name) => name.includes(".data-00000-"));
  if (index === undefined || data === undefined) return false;
  const entries = readTable(files.get(index)!, index).map(({ key, value }) => ({
    key: key.slice(),
    value: value.slice(),
  }));
  const entry = entries.find(({ key }) => Buffer.from(key).toString() === OBJECT_GRAPH);
  if (entry === undefined) return false;
  const proto = fromBinary(BundleEntryProtoSchema, entry.value);
  const bytes = files.get(data)!;
  const stored = bytes.subarray(Number(proto.offset), Number(proto.offset + proto.size));
  let start = 0;
  while (stored[start]! >= 0x80) start++;
  const graph = stored.subarray(start + 5); // length, its checksum, the message
  const again = writeStrings([mutateMessage(graph, r)]);
  proto.offset = BigInt(bytes.length);
  proto.size = BigInt(again.bytes);
  proto.crc32c = maskCrc(again.crc);
  entry.value = toBinary(BundleEntryProtoSchema, proto);
  files.set(data, joined(bytes, ...again.chunks));
  files.set(index, writeTable(entries));
  return true;
};

/** A member of an archive; sizes and CRCs are written anew. */
const inArchive: Attack = async (files, r) => {
  const name = r.pick([...files.keys()]);
  const zip = await openZip(bytesSource(files.get(name)!));
  const parts = await Promise.all(
    zip.members.map(async (m) => ({ name: m.name, data: await memberBytes(zip, m) })),
  );
  const part = r.pick(parts);
  if (r.once(12))
    part.name = new TextDecoder("latin1").decode(mutateBytes(new TextEncoder().encode(part.name), r));
  else
    part.data = (part.name.endsWith(".json") ? mutateText : r.once(2) ? headOf(400) : mutateBytes)(
      part.data,
      r,
    );
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeZip(parts)) chunks.push(chunk);
  files.set(name, joined(...chunks));
  return true;
};

/** The first bytes only, where headers are. */
const headOf =
  (most: number): Change =>
  (bytes, r) => {
    const head = bytes.subarray(0, Math.min(most, bytes.length));
    return head.length === 0
      ? bytes
      : joined((r.once(3) ? mutateBytes : mutateInPlace)(head, r), bytes.subarray(head.length));
  };

const lastOf =
  (most: number): Change =>
  (bytes, r) => {
    const start = Math.max(0, bytes.length - most);
    return start === bytes.length
      ? bytes
      : joined(bytes.subarray(0, start), mutateBytes(bytes.subarray(start), r));
  };

/** A safetensors header as text, with its length. */
const inHeader: Change = (bytes, r) => {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = mutateText(bytes.slice(8, 8 + length), r);
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setUint32(0, header.length, true);
  return joined(prefix, header, bytes.subarray(8 + length));
};

const graph = replace(/./, mutateGraph);

const metaGraph = replace(/./, (bytes, r) => {
  const meta = fromBinary(MetaGraphDefSchema, bytes);
  attackGraph(meta.graphDef!, r);
  return toBinary(MetaGraphDefSchema, meta);
});

const savedModel = replace(/\.pb$/, (bytes, r) => {
  const saved = fromBinary(SavedModelSchema, bytes);
  const meta = r.pick(saved.metaGraphs);
  if (r.once(2)) attackGraph(meta.graphDef!, r);
  else {
    const asset = create(AssetFileDefSchema, {
      filename: r.pick(["words.txt", "../../x", "/x", "..\\x", "a/../../x", "\0", "C:\\x"]),
    });
    asset.tensorInfo = create(TensorInfoSchema, {
      encoding: { case: "name", value: r.pick(meta.graphDef!.node).name + r.pick([":0", ":9", ""]) },
    });
    if (meta.assetFileDef.length > 0 && r.once(2)) r.pick(meta.assetFileDef).filename = asset.filename;
    else meta.assetFileDef.push(asset);
  }
  return toBinary(SavedModelSchema, saved);
});

/** A record's bytes, its length and checksums written anew. */
const inRecord: Change = (bytes, r) => {
  const records = [...readRecords(bytes)];
  records[r.below(records.length)] = (r.once(4) ? mutateBytes : mutateMessage)(r.pick(records), r);
  return joined(...records.map(writeRecord));
};

/** The recipe in a record, or its graph with the checksum in the record. */
const inRecipe: Attack = (files, r) => {
  const record = JSON.parse(new TextDecoder().decode(files.get("record.json")!));
  const change = r.once(3) ? mutateMessage : mutateGraph;
  if (r.once(3)) {
    const bytes = change(files.get("graph.pb")!, r);
    files.set("graph.pb", bytes);
    record.crc32c = crc32c(bytes);
  } else record.recipe = Buffer.from(change(Buffer.from(record.recipe, "base64"), r)).toString("base64");
  files.set("record.json", new TextEncoder().encode(JSON.stringify(record)));
  return true;
};

const INDEX = /\.index$/;
const ANY = /./;
const tables = (wanted: RegExp): readonly Attack[] => [
  inTable(wanted, true),
  inTable(wanted, true),
  inTable(wanted, false),
  inBlocks(wanted),
  inBlocks(wanted),
  replace(wanted, mutateBytes),
  replace(wanted, lastOf(48)),
];

const ATTACKS: Readonly<Record<Kind, readonly Attack[]>> = {
  "checkpoint-v1": [...tables(ANY), damage, splice, loseFile],
  "checkpoint-v1-snappy": [inBlocks(ANY), inBlocks(ANY), inBlocks(ANY), damage, splice],
  "checkpoint-v2": [...tables(INDEX), damage, splice, loseFile],
  "checkpoint-object": [
    ...tables(INDEX),
    inObjectGraph,
    inObjectGraph,
    inObjectGraph,
    inObjectGraph,
    damage,
    splice,
  ],
  "state-file": [
    replace(/^checkpoint$/, mutateText),
    replace(/^checkpoint$/, mutateText),
    replace(/^checkpoint$/, mutateBytes),
    loseFile,
  ],
  "saved-model": [
    replace(/\.pb$/, mutateMessage),
    replace(/\.pb$/, mutateMessage),
    replace(/\.pb$/, mutateBytes),
    ...tables(INDEX),
    inObjectGraph,
    inObjectGraph,
    damage,
    splice,
    loseFile,
  ],
  "graph-def": [
    replace(ANY, mutateMessage),
    replace(ANY, mutateMessage),
    replace(ANY, mutateMessage),
    damage,
    splice,
  ],
  "graph-def-text": [replace(ANY, mutateText), replace(ANY, mutateText), damage, splice],
  "meta-graph": [
    replace(/\.meta$/, mutateMessage),
    replace(/\.meta$/, mutateMessage),
    replace(/\.meta$/, mutateMessage),
    damage,
    splice,
    loseFile,
  ],
  "keras-v3": [inArchive, inArchive, inArchive, inArchive, replace(ANY, lastOf(300)), damage, splice],
  "keras-weights": [replace(ANY, headOf(4000)), damage, damage, splice],
  "keras-h5": [replace(ANY, headOf(4000)), damage, damage, splice],
  npz: [
    inArchive,
    inArchive,
    inArchive,
    replace(ANY, lastOf(500)),
    replace(ANY, lastOf(100)),
    damage,
    splice,
  ],
  safetensors: [
    replace(ANY, inHeader),
    replace(ANY, inHeader),
    replace(ANY, inHeader),
    replace(ANY, headOf(16)),
    damage,
    splice,
  ],
  "control-flow": [graph, graph, graph, graph, replace(ANY, mutateMessage)],
  "control-flow-run": [graph],
  transform: [graph, graph, graph, replace(ANY, mutateMessage)],
  "meta-graph-import": [replace(ANY, mutateMessage), metaGraph, metaGraph],
  "saved-model-load": [
    replace(/\.pb$/, mutateMessage),
    savedModel,
    savedModel,
    ...tables(INDEX).slice(0, 2),
    inObjectGraph,
    loseFile,
  ],
  events: [replace(ANY, inRecord), replace(ANY, inRecord), damage, splice],
  provenance: [replace(/json$/, mutateText), inRecipe, inRecipe, damage],
  "iterator-state": [replace(ANY, mutateText)],
  "server-answer": [
    replace(ANY, mutateMessage),
    replace(/RunStep/, mutateMessage),
    replace(/RunStep/, mutateMessage),
    damage,
  ],
};

/** A mutant of `seed`. @param seeds - of its kind */
export async function mutate(seed: Seed, seeds: readonly Seed[], r: Random): Promise<Seed> {
  for (let tries = 0; ; tries++) {
    const files = new Map(seed.files);
    const attack = tries < 8 ? r.pick(ATTACKS[seed.kind]) : damage;
    try {
      if (await attack(files, r, seeds)) return { ...seed, files };
    } catch {
      // our own writers refuse some of it: another attack
    }
  }
}
