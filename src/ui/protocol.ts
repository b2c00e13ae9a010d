/**
 * @file What page and worker say to each other. All reading is in the worker; the page holds no values but those that it shows.
 * Start at `Request`.
 */

import type { DiffReport } from "../edit/compare/diff.ts";
import type { Diagnosis } from "../edit/doctor/index.ts";
import type { Stats } from "../edit/stats.ts";
import type { Format, VariableEntry } from "../formats/collection/index.ts";

/** The file that is looked at, or the one that it is compared with. */
export type Side = "a" | "b";

/** A file that somebody dropped or chose. */
export interface GivenFile {
  /** below the folder that was dropped: `model/variables/variables.index` */
  readonly path: string;
  readonly blob: Blob;
}

/** A file behind `varscope ui`. */
export interface ServedFile {
  readonly path: string;
  readonly url: string;
}

/** Where a container comes from. */
export type Given =
  | { readonly kind: "files"; readonly files: readonly GivenFile[] }
  | { readonly kind: "address"; readonly url: string }
  | { readonly kind: "served"; readonly files: readonly ServedFile[]; readonly open: string };

/** An open container as the page knows it. */
export interface Opened {
  /** path of the container among the given files, or its address */
  readonly path: string;
  readonly format: Format;
  readonly variables: readonly VariableEntry[];
  /** bytes of all given files; null of an address */
  readonly fileBytes: number | null;
  /** paths of all containers among the given files, this one too */
  readonly containers: readonly string[];
  /** what the reader should know, such as a file that was loaded whole */
  readonly notes: readonly string[];
}

/** Values as a picture: a line, a map, or tiles of one or three channels. */
export interface Picture {
  readonly kind: "line" | "map" | "tiles";
  /** row-major; of tiles: tile by tile, then rows, columns, channels */
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
  /** of tiles: how many side by side, and how many channels in each */
  readonly across: number;
  readonly channels: 1 | 3;
  /** what of the tensor is shown, in words */
  readonly caption: string;
}

/** What is known of one tensor once it was read. */
export interface Detail {
  readonly name: string;
  /** null for strings, and where only a part was read */
  readonly stats: Stats | null;
  /** as numpy prints it; of a large tensor its first values */
  readonly text: string;
  readonly isWhole: boolean;
  readonly picture: Picture | null;
}

/** What the page asks. */
export type Request =
  | { readonly do: "open"; readonly side: Side; readonly given: Given; readonly container?: string }
  | { readonly do: "close"; readonly side: Side }
  | { readonly do: "stats"; readonly side: Side; readonly names: readonly string[] }
  | { readonly do: "detail"; readonly side: Side; readonly name: string }
  | { readonly do: "doctor"; readonly side: Side }
  | { readonly do: "compare" };

/** What each request gives. */
export interface Replies {
  readonly open: Opened;
  readonly close: null;
  /** variables that could not be read, with their errors */
  readonly stats: readonly Unread[];
  readonly detail: Detail;
  readonly doctor: Diagnosis;
  readonly compare: DiffReport;
}

/** A variable that cannot be read. */
export interface Unread {
  readonly name: string;
  readonly error: string;
}

/** How far a request is. */
export interface Progress {
  readonly done: number;
  readonly all: number;
  /** statistics since the last message */
  readonly stats?: readonly (readonly [string, Stats | null])[];
}

/** From page to worker. */
export type ToWorker =
  | { readonly id: number; readonly request: Request }
  | { readonly id: number; readonly cancel: true }
  | { readonly hdf5: Blob | null };

/** From worker to page. */
export type FromWorker =
  | { readonly id: number; readonly result: Replies[keyof Replies] }
  | { readonly id: number; readonly error: string }
  | { readonly id: number; readonly progress: Progress }
  | { readonly need: "hdf5" };
