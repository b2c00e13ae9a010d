/** @file The files that mutants are made of: goldens of every format, by what real programs wrote. Start at `readCorpus`. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { programs } from "./corpus-programs.ts";

/** Rows of the table that a run prints. */
export const KINDS = [
  "checkpoint-v1",
  "checkpoint-v1-snappy",
  "checkpoint-v2",
  "checkpoint-object",
  "state-file",
  "saved-model",
  "graph-def",
  "graph-def-text",
  "meta-graph",
  "keras-v3",
  "keras-weights",
  "keras-h5",
  "npz",
  "safetensors",
  "control-flow",
  "control-flow-run",
  "transform",
  "meta-graph-import",
  "saved-model-load",
  "events",
  "provenance",
  "iterator-state",
  "server-answer",
] as const;
export type Kind = (typeof KINDS)[number];

/** A container in memory. */
export interface Seed {
  readonly kind: Kind;
  /** what is opened */
  readonly open: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** Larger files make few mutants a second and none that smaller ones do not. */
const MOST_BYTES = 120_000;

/** All containers of the goldens that are small enough. @param goldens - the folder tests/goldens */
export function readCorpus(goldens: string): Seed[] {
  const seeds: Seed[] = [];
  const add = (kind: Kind, open: string, paths: Readonly<Record<string, string>>): void => {
    const files = new Map(
      Object.entries(paths).map(([name, path]) => [name, new Uint8Array(readFileSync(path))]),
    );
    if ([...files.values()].every((bytes) => bytes.length <= MOST_BYTES)) seeds.push({ kind, open, files });
  };
  const all = filesUnder(goldens);
  for (const path of all) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const folder = path.slice(0, -name.length - 1);
    const alone = { [name]: path };
    if (name.endsWith(".index") && !folder.endsWith("/variables")) addCheckpoint(path, add);
    else if (/^saved_model\.pb(txt)?$/.test(name)) addSavedModel(folder, add);
    else if (name.endsWith(".pb")) add("graph-def", name, alone);
    else if (name.endsWith(".pbtxt")) add("graph-def-text", name, alone);
    else if (name.endsWith(".meta")) add("meta-graph", name, alone);
    else if (name.endsWith(".keras")) add("keras-v3", name, alone);
    else if (name.endsWith(".weights.h5")) add("keras-weights", name, alone);
    else if (name.endsWith(".h5")) add("keras-h5", name, alone);
    else if (name.endsWith(".npz")) add("npz", name, alone);
    else if (name.endsWith(".safetensors")) add("safetensors", name, alone);
    else if (folder.endsWith("/checkpoint-v1") && !name.includes(".")) addV1(path, name, add);
  }
  return [...seeds, ...programs(seeds, all)];
}

type Add = (kind: Kind, open: string, paths: Readonly<Record<string, string>>) => void;

const filesUnder = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name).replaceAll("\\", "/"))
    .filter((path) => statSync(path).isFile())
    .sort();

function addCheckpoint(index: string, add: Add): void {
  const prefix = index.replace(/\.index$/, "");
  const [folder, base] = [
    prefix.slice(0, prefix.lastIndexOf("/")),
    prefix.slice(prefix.lastIndexOf("/") + 1),
  ];
  const parts = readdirSync(folder).filter(
    (name) => name === `${base}.index` || name.startsWith(`${base}.data-`),
  );
  const paths = Object.fromEntries(parts.map((name) => [name, join(folder, name)]));
  const isObject = readFileSync(index).includes("_CHECKPOINTABLE_OBJECT_GRAPH");
  add(isObject ? "checkpoint-object" : "checkpoint-v2", base, paths);
  if (!isObject && existsSync(`${prefix}.meta`)) {
    add("meta-graph", `${base}.meta`, { ...paths, [`${base}.meta`]: `${prefix}.meta` });
  }
}

function addSavedModel(folder: string, add: Add): void {
  const inside = filesUnder(folder).map((path) => [`m/${path.slice(folder.length + 1)}`, path]);
  add("saved-model", "m", Object.fromEntries(inside));
}

function addV1(path: string, name: string, add: Add): void {
  const shard = /^(.*)-(\d{5})-of-\d{5}$/.exec(name);
  if (shard === null)
    add(name === "snappy" ? "checkpoint-v1-snappy" : "checkpoint-v1", name, { [name]: path });
  if (shard?.[2] !== "00000") return;
  const folder = path.slice(0, -name.length);
  const all = readdirSync(folder).filter((other) => other.startsWith(`${shard[1]}-`));
  add("checkpoint-v1", shard[1]!, Object.fromEntries(all.map((other) => [other, `${folder}${other}`])));
}

/** Checkpoints behind a state file, which names them. */
export function withStateFiles(seeds: readonly Seed[]): Seed[] {
  const states = seeds
    .filter((s) => s.kind === "checkpoint-v2")
    .map(({ files, open }): Seed => {
      const text = `model_checkpoint_path: "${open}"\nall_model_checkpoint_paths: "older-1"\nall_model_checkpoint_paths: "${open}"\nall_model_checkpoint_timestamps: 1700000000.5\nall_model_checkpoint_timestamps: 1700000001.25\nlast_preserved_timestamp: 1700000000.0\n`;
      return {
        kind: "state-file",
        open: "checkpoint",
        files: new Map([...files, ["checkpoint", new TextEncoder().encode(text)]]),
      };
    });
  return [...seeds, ...states];
}
