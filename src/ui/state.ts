/** @file The page's state and what changes it; what is drawn is in the .tsx files. Start at `makeInspector`. */

import type { DiffReport } from "../edit/compare/diff.ts";
import type { Diagnosis } from "../edit/doctor/index.ts";
import type { Stats } from "../edit/stats.ts";
import type { Asked, Reader } from "./client.ts";
import type { Detail, Given, Opened, Progress, Side, Unread } from "./protocol.ts";

/** Work that ends with a value or an error. */
export type Work<T> =
  | { readonly state: "idle" }
  | { readonly state: "running"; readonly progress: Progress | null; cancel(): void }
  | { readonly state: "done"; readonly value: T }
  | { readonly state: "failed"; readonly error: string };

/** One side: the file that is looked at, or the one that it is compared with. */
export interface SideState {
  readonly given: Given | null;
  readonly opened: Work<Opened>;
  readonly numbers: ReadonlyMap<string, Stats | null>;
  readonly stats: Work<readonly Unread[]>;
  readonly findings: Work<Diagnosis>;
}

export type Tab = "variables" | "findings" | "compare";

/** A row that is looked at closely. */
export type Selection =
  | {
      readonly kind: "variable";
      readonly name: string /** of a comparison: its partner */;
      readonly nameInB?: string;
    }
  | { readonly kind: "layer"; readonly layer: string };

export interface State {
  readonly a: SideState;
  readonly b: SideState;
  readonly comparison: Work<DiffReport>;
  readonly tab: Tab;
  readonly selection: Selection | null;
}

const IDLE = { state: "idle" } as const;
const NOTHING: SideState = { given: null, opened: IDLE, numbers: new Map(), stats: IDLE, findings: IDLE };

/** Containers up to this size are read and diagnosed without being asked, where no network is between. */
const EAGER_BYTES = 64 << 20;

export type Inspector = ReturnType<typeof makeInspector>;

/** The state, and functions that change it. */
export function makeInspector(reader: Reader) {
  let state: State = { a: NOTHING, b: NOTHING, comparison: IDLE, tab: "variables", selection: null };
  const listeners = new Set<() => void>();
  const details = new Map<string, Asked<Detail>>();
  /** work under way for a side, forgotten when another file is opened there */
  const epochs = { a: 0, b: 0 };

  const set = (change: Partial<State>): void => {
    state = { ...state, ...change };
    for (const listener of listeners) listener();
  };
  const setSide = (side: Side, change: Partial<SideState>): void =>
    set({ [side]: { ...state[side], ...change } });

  /** Follows work: running, then done or failed; drops what comes for a file that is gone. */
  async function follow<T>(side: Side, asked: Asked<T>, put: (work: Work<T>) => void): Promise<T | null> {
    const epoch = epochs[side];
    put({ state: "running", progress: null, cancel: asked.cancel });
    try {
      const value = await asked.result;
      if (epoch !== epochs[side]) return null;
      put({ state: "done", value });
      return value;
    } catch (e) {
      if (epoch === epochs[side]) put({ state: "failed", error: e instanceof Error ? e.message : String(e) });
      return null;
    }
  }

  async function open(side: Side, given: Given, container?: string): Promise<void> {
    epochs[side]++;
    details.clear();
    set({
      [side]: { ...NOTHING, given },
      comparison: IDLE,
      selection: null,
      tab: side === "b" ? "compare" : "variables",
    });
    const asked = reader.ask({ do: "open", side, given, ...(container === undefined ? {} : { container }) });
    const opened = await follow(side, asked, (work) => setSide(side, { opened: work }));
    if (opened === null) return;
    const bytes = opened.variables.reduce((n, v) => n + v.bytes, 0);
    const isEager = bytes <= EAGER_BYTES && given.kind !== "address";
    if (isEager && side === "a") {
      void readNumbers(side);
      void diagnose();
    }
    if (state.a.opened.state === "done" && state.b.opened.state === "done") void compare();
  }

  function close(side: Side): void {
    epochs[side]++;
    details.clear();
    void reader.ask({ do: "close", side }).result;
    set({ [side]: NOTHING, comparison: IDLE, selection: null, tab: "variables" });
  }

  /** Statistics of all variables, or of one. */
  async function readNumbers(side: Side, only?: string): Promise<void> {
    const { opened } = state[side];
    if (opened.state !== "done" || state[side].stats.state === "running") return;
    const all = only === undefined ? opened.value.variables.map((v) => v.name) : [only];
    const names = all.filter((name) => !state[side].numbers.has(name));
    const epoch = epochs[side];
    const asked = reader.ask({ do: "stats", side, names }, (progress) => {
      if (epoch !== epochs[side]) return;
      const numbers = new Map([...state[side].numbers, ...(progress.stats ?? [])]);
      setSide(side, { numbers, stats: { state: "running", progress, cancel: asked.cancel } });
    });
    await follow(side, asked, (stats) => setSide(side, { stats }));
  }

  async function diagnose(): Promise<void> {
    const epoch = epochs.a;
    const asked = reader.ask({ do: "doctor", side: "a" }, (progress) => {
      if (epoch === epochs.a)
        setSide("a", { findings: { state: "running", progress, cancel: asked.cancel } });
    });
    await follow("a", asked, (findings) => setSide("a", { findings }));
  }

  async function compare(): Promise<void> {
    const epoch = epochs.b;
    const asked = reader.ask({ do: "compare" }, (progress) => {
      if (epoch === epochs.b) set({ comparison: { state: "running", progress, cancel: asked.cancel } });
    });
    await follow("b", asked, (comparison) => set({ comparison }));
  }

  /** Values of one variable, asked once. */
  function detail(side: Side, name: string): Promise<Detail> {
    const key = `${side}:${name}`;
    const asked = details.get(key) ?? reader.ask({ do: "detail", side, name });
    details.set(key, asked);
    if (details.size > 64) details.delete(details.keys().next().value!);
    const epoch = epochs[side];
    return asked.result.then((found) => {
      if (epoch === epochs[side] && found.isWhole && !state[side].numbers.has(name))
        setSide(side, { numbers: new Map([...state[side].numbers, [name, found.stats]]) });
      return found;
    });
  }

  return {
    get state(): State {
      return state;
    },
    subscribe: (listener: () => void): (() => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    open,
    close,
    readNumbers,
    diagnose,
    compare,
    detail,
    select: (selection: Selection | null): void => set({ selection }),
    show: (tab: Tab): void => set({ tab, selection: null }),
  };
}
