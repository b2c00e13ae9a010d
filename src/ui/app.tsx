/** @file The page: what is open, and the parts that show it. Start at `App`. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Compare } from "./compare.tsx";
import { DetailPane } from "./detail.tsx";
import { filesOfDrop } from "./drop.ts";
import { facetsOf } from "./facets.ts";
import { Findings } from "./findings.tsx";
import { Sidebar, Summary } from "./panels.tsx";
import type { Opened, Side } from "./protocol.ts";
import { type Row, rowsOf, type Sort, type View } from "./rows.ts";
import { Start } from "./start.tsx";
import type { Inspector, State, Tab } from "./state.ts";
import { VariableTable } from "./table.tsx";
import { toggleTheme } from "./theme.ts";
import { bytes, count } from "./words.ts";

/** The whole page. */
export function App({ inspector }: { readonly inspector: Inspector }) {
  const [, setVersion] = useState(0);
  useEffect(() => inspector.subscribe(() => setVersion((v) => v + 1)), [inspector]);
  const { state } = inspector;
  const { opened } = state.a;
  const isOver = useDrop((transfer) => {
    const side: Side = opened.state === "done" && state.tab === "compare" ? "b" : "a";
    void filesOfDrop(transfer).then((files) => {
      if (files.length > 0) void inspector.open(side, { kind: "files", files });
    });
  });
  return (
    <>
      <TopBar inspector={inspector} state={state} />
      {opened.state === "idle" && <Start error={null} onGive={(given) => void inspector.open("a", given)} />}
      {opened.state === "failed" && (
        <Start error={opened.error} onGive={(given) => void inspector.open("a", given)} />
      )}
      {opened.state === "running" && (
        <main class="start">
          <p class="wait">Opening…</p>
        </main>
      )}
      {opened.state === "done" && <Workspace inspector={inspector} state={state} opened={opened.value} />}
      {isOver && (
        <div class="over">
          <p>{opened.state === "done" && state.tab === "compare" ? "Drop to compare" : "Drop to open"}</p>
        </div>
      )}
    </>
  );
}

/** Takes drops anywhere on the page; true while something hovers. */
function useDrop(onDrop: (transfer: DataTransfer) => void): boolean {
  const [isOver, setOver] = useState(false);
  const last = useRef(onDrop);
  last.current = onDrop;
  useLayoutEffect(() => {
    const over = (e: DragEvent): void => {
      e.preventDefault();
      setOver(true);
    };
    const leave = (e: DragEvent): void => {
      if (e.relatedTarget === null) setOver(false);
    };
    const drop = (e: DragEvent): void => {
      e.preventDefault();
      setOver(false);
      if (e.dataTransfer !== null) last.current(e.dataTransfer);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
    };
  }, []);
  return isOver;
}

function TopBar({ inspector, state }: { readonly inspector: Inspector; readonly state: State }) {
  return (
    <header class="top">
      <b class="brand">
        <i aria-hidden="true" />
        varscope
      </b>
      {(["a", "b"] as const).map((side) => {
        const { opened } = state[side];
        if (opened.state !== "done") return null;
        const { path } = opened.value;
        return (
          <span class="file" key={side} title={path}>
            <b>{side.toUpperCase()}</b>
            <span>{path.slice(path.lastIndexOf("/") + 1) || path}</span>
            <button
              type="button"
              class="icon"
              aria-label={`Close ${side.toUpperCase()}`}
              onClick={() => inspector.close(side)}
            >
              ✕
            </button>
          </span>
        );
      })}
      <span class="space" />
      <button
        type="button"
        class="icon"
        aria-label="Dark or light"
        title="Dark or light"
        onClick={toggleTheme}
      >
        ◐
      </button>
    </header>
  );
}

const FIRST_VIEW = {
  grouped: true,
  roles: new Set<string>(),
  dtypes: new Set<string>(),
  scopes: new Set<string>(),
  sort: "name" as Sort,
  isDescending: false,
  open: new Set<string>(),
};

interface WorkspaceProps {
  readonly inspector: Inspector;
  readonly state: State;
  readonly opened: Opened;
}

function Workspace({ inspector, state, opened }: WorkspaceProps) {
  const [chosen, setChosen] = useState<Omit<View, "pattern">>(FIRST_VIEW);
  const [text, setText] = useState("");
  // Another file begins with no filter.
  useEffect(() => {
    setChosen(FIRST_VIEW);
    setText("");
  }, [opened]);
  const { pattern, isWrong } = useMemo(() => patternOf(text), [text]);
  const view = useMemo((): View => ({ ...chosen, pattern }), [chosen, pattern]);
  const facets = useMemo(() => facetsOf(opened.variables), [opened]);
  // Rows change with numbers only where they are sorted by them.
  const { numbers } = state.a;
  const sorted = ["min", "max", "mean", "std"].includes(view.sort) ? numbers : null;
  const rows = useMemo(() => rowsOf(opened.variables, view, numbers), [opened, view, sorted]);
  const onView = (change: Partial<View>): void => setChosen((v) => ({ ...v, ...change }));
  const shownCount = useMemo(() => countVariables(rows), [rows]);
  return (
    <main class={`workspace${state.selection === null ? "" : " with-detail"}`}>
      <Summary inspector={inspector} opened={opened} facets={facets} />
      {opened.notes.map((note) => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
      <Toolbar
        inspector={inspector}
        state={state}
        view={view}
        text={text}
        isWrong={isWrong}
        onText={setText}
        onView={onView}
        shown={shownCount}
        all={facets.tensors}
      />
      <div class="body">
        {state.tab === "variables" && <Sidebar facets={facets} view={view} onView={onView} />}
        {state.tab === "variables" && (
          <VariableTable
            rows={rows}
            grouped={view.grouped}
            numbers={numbers}
            sort={view.sort}
            isDescending={view.isDescending}
            selection={state.selection}
            about={`${view.grouped} ${text} ${view.sort}`}
            onSort={(sort) =>
              onView({ sort, isDescending: sort === view.sort ? !view.isDescending : sort !== "name" })
            }
            onSelect={(row) => inspector.select(selectionOf(row))}
            onFold={(row, isOpen) =>
              row.kind === "group" && onView({ open: withId(view.open, row.id, isOpen) })
            }
          />
        )}
        {state.tab === "findings" && <Findings inspector={inspector} findings={state.a.findings} />}
        {state.tab === "compare" && <Compare inspector={inspector} state={state} pattern={pattern} />}
        {state.selection !== null && (
          <DetailPane inspector={inspector} state={state} selection={state.selection} />
        )}
      </div>
    </main>
  );
}

const selectionOf = (row: Row) =>
  row.kind === "group"
    ? ({ kind: "layer", layer: row.group.layer } as const)
    : ({ kind: "variable", name: row.variable.name } as const);

function withId(ids: ReadonlySet<string>, id: string, isIn: boolean): ReadonlySet<string> {
  const next = new Set(ids);
  if (isIn) next.add(id);
  else next.delete(id);
  return next;
}

/** Variables that the rows stand for. */
const countVariables = (rows: readonly Row[]): number =>
  rows.reduce(
    (n, row) =>
      n +
      (row.kind === "group" ? row.group.members.length + row.group.beside.length : row.depth === 0 ? 1 : 0),
    0,
  );

function patternOf(text: string): { readonly pattern: RegExp | null; readonly isWrong: boolean } {
  if (text === "") return { pattern: null, isWrong: false };
  try {
    return { pattern: new RegExp(text, "i"), isWrong: false };
  } catch {
    return { pattern: null, isWrong: true };
  }
}

interface ToolbarProps {
  readonly inspector: Inspector;
  readonly state: State;
  readonly view: View;
  readonly text: string;
  readonly isWrong: boolean;
  readonly shown: number;
  readonly all: number;
  onText(text: string): void;
  onView(change: Partial<View>): void;
}

function Toolbar(props: ToolbarProps) {
  const { inspector, state, view, text, isWrong, onText, onView } = props;
  const search = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const onKey = (e: KeyboardEvent): void => {
      const isTyping = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
      if (e.key === "/" && !isTyping) {
        e.preventDefault();
        search.current?.focus();
      } else if (e.key === "Escape") inspector.select(null);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [inspector]);
  return (
    <div class="toolbar">
      <Tabs inspector={inspector} state={state} />
      {state.tab !== "findings" && (
        <label class={`search${isWrong ? " wrong" : ""}`}>
          <input
            ref={search}
            type="search"
            placeholder="Filter by name: text or regex  ( / )"
            aria-label="Filter by name"
            aria-invalid={isWrong}
            spellcheck={false}
            value={text}
            onInput={(e) => onText(e.currentTarget.value)}
          />
          {state.tab === "variables" && (
            <span>
              {props.shown === props.all ? count(props.all) : `${count(props.shown)} of ${count(props.all)}`}
            </span>
          )}
        </label>
      )}
      {state.tab === "variables" && (
        <fieldset class="switch" aria-label="Rows">
          <button type="button" aria-pressed={view.grouped} onClick={() => onView({ grouped: true })}>
            Layers
          </button>
          <button type="button" aria-pressed={!view.grouped} onClick={() => onView({ grouped: false })}>
            Variables
          </button>
        </fieldset>
      )}
      {state.tab === "variables" && <Statistics inspector={inspector} state={state} />}
    </div>
  );
}

function Tabs({ inspector, state }: { readonly inspector: Inspector; readonly state: State }) {
  const { findings } = state.a;
  const worst =
    findings.state === "done"
      ? (["error", "warning", "info"] as const).find((s) =>
          findings.value.findings.some((f) => f.severity === s),
        )
      : undefined;
  const tabs: readonly (readonly [Tab, preact.ComponentChildren])[] = [
    ["variables", "Variables"],
    [
      "findings",
      <>
        Findings{" "}
        {findings.state === "done" && (
          <span class={`badge ${worst ?? "good"}`}>
            {worst === undefined ? "✓" : count(findings.value.findings.length)}
          </span>
        )}
      </>,
    ],
    ["compare", "Compare"],
  ];
  return (
    <div class="tabs" role="tablist">
      {tabs.map(([tab, title]) => (
        <button
          type="button"
          role="tab"
          key={tab}
          aria-selected={state.tab === tab}
          onClick={() => inspector.show(tab)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

function Statistics({ inspector, state }: { readonly inspector: Inspector; readonly state: State }) {
  const { stats, opened, numbers } = state.a;
  if (opened.state !== "done") return null;
  if (stats.state === "running") {
    const { done, all } = stats.progress ?? { done: 0, all: 0 };
    return (
      <span class="work">
        <progress value={done} max={Math.max(1, all)} aria-label="Statistics" />
        <button type="button" onClick={stats.cancel}>
          Stop
        </button>
      </span>
    );
  }
  const missing = opened.value.variables.filter((v) => !numbers.has(v.name));
  if (missing.length === 0) return null;
  const isFailed = stats.state === "done" && stats.value.length > 0;
  return (
    <span class="work">
      {isFailed && (
        <span class="badge error" title={stats.value.map((u) => u.error).join("\n")}>
          {count(stats.value.length)} unreadable
        </span>
      )}
      {stats.state === "failed" && (
        <span class="badge error" title={stats.error}>
          failed
        </span>
      )}
      <button type="button" onClick={() => void inspector.readNumbers("a")}>
        Statistics <span>{bytes(missing.reduce((n, v) => n + v.bytes, 0))}</span>
      </button>
    </span>
  );
}
