/** @file One variable, or one layer, looked at closely. Start at `DetailPane`. */

import { useEffect, useState } from "preact/hooks";
import { hasStats, type Stats } from "../edit/stats.ts";
import type { VariableEntry } from "../formats/collection/index.ts";
import { HistogramChart, Line, PictureChart } from "./charts.tsx";
import type { Detail, Side } from "./protocol.ts";
import { type Group, groupsOf, sizeOfEntry } from "./rows.ts";
import type { Inspector, Selection, State } from "./state.ts";
import { labelOf } from "./table.tsx";
import { bytes, count, number, shape } from "./words.ts";

interface PaneProps {
  readonly inspector: Inspector;
  readonly state: State;
  readonly selection: Selection;
}

/** What stands beside the table. */
export function DetailPane({ inspector, state, selection }: PaneProps) {
  const close = (): void => inspector.select(null);
  const title = selection.kind === "layer" ? selection.layer || "(no layer)" : selection.name;
  return (
    <aside class="detail" aria-label={`Details of ${title}`}>
      <header>
        <h2>{title}</h2>
        <Copy text={title} />
        <button type="button" class="icon" aria-label="Close details" onClick={close}>
          ✕
        </button>
      </header>
      <div class="scroll">
        {selection.kind === "layer" ? (
          <LayerDetail inspector={inspector} state={state} layer={selection.layer} />
        ) : (
          <Sides inspector={inspector} state={state} selection={selection} />
        )}
      </div>
    </aside>
  );
}

/** Copies a text; the button says that it did. */
export function Copy({ text }: { readonly text: string }) {
  const [isDone, setDone] = useState(false);
  const copy = (): void => {
    void navigator.clipboard?.writeText(text).then(() => {
      setDone(true);
      setTimeout(() => setDone(false), 1200);
    });
  };
  return (
    <button type="button" class="quiet" onClick={copy} title="Copy">
      {isDone ? "copied" : "copy"}
    </button>
  );
}

const entryOf = (state: State, side: Side, name: string): VariableEntry | undefined => {
  const { opened } = state[side];
  return opened.state === "done" ? opened.value.variables.find((v) => v.name === name) : undefined;
};

/** A variable; in a comparison its partner below. */
function Sides({
  inspector,
  state,
  selection,
}: {
  readonly inspector: Inspector;
  readonly state: State;
  readonly selection: Extract<Selection, { readonly kind: "variable" }>;
}) {
  const isCompared = state.tab === "compare";
  const nameInB = selection.nameInB ?? selection.name;
  const [a, b] = [entryOf(state, "a", selection.name), isCompared ? entryOf(state, "b", nameInB) : undefined];
  return (
    <>
      {isCompared && a !== undefined && <h3 class="side">A</h3>}
      {a !== undefined && (
        <VariableDetail
          inspector={inspector}
          state={state}
          side="a"
          entry={a}
          isBrief={isCompared}
          key={`a:${a.name}`}
        />
      )}
      {b !== undefined && <h3 class="side">B</h3>}
      {b !== undefined && (
        <VariableDetail inspector={inspector} state={state} side="b" entry={b} isBrief key={`b:${b.name}`} />
      )}
    </>
  );
}

type Asked = { readonly value: Detail } | { readonly error: string } | null;

function useDetail(inspector: Inspector, side: Side, name: string): Asked {
  const [asked, setAsked] = useState<Asked>(null);
  useEffect(() => {
    let isHere = true;
    inspector.detail(side, name).then(
      (value) => isHere && setAsked({ value }),
      (e: Error) => isHere && setAsked({ error: e.message }),
    );
    return () => {
      isHere = false;
    };
  }, [inspector, side, name]);
  return asked;
}

interface VariableProps {
  readonly inspector: Inspector;
  readonly state: State;
  readonly side: Side;
  readonly entry: VariableEntry;
  /** numbers and pictures alone */
  readonly isBrief: boolean;
}

function VariableDetail({ inspector, state, side, entry, isBrief }: VariableProps) {
  const asked = useDetail(inspector, side, entry.name);
  return (
    <section class="variable">
      {!isBrief && <Facts inspector={inspector} entry={entry} />}
      {asked === null && <p class="wait">Reading…</p>}
      {asked !== null && "error" in asked && <p class="error">{asked.error}</p>}
      {asked !== null && "value" in asked && (
        <Values detail={asked.value} known={state[side].numbers.get(entry.name)} isBrief={isBrief}>
          {!asked.value.isWhole && state[side].stats.state !== "running" && hasStats(entry.dtype) && (
            <button type="button" onClick={() => void inspector.readNumbers(side, entry.name)}>
              Statistics {bytes(entry.bytes)}
            </button>
          )}
        </Values>
      )}
    </section>
  );
}

function Facts({ inspector, entry: v }: { readonly inspector: Inspector; readonly entry: VariableEntry }) {
  const facts: [string, preact.ComponentChildren][] = [
    ["Role", v.slot === undefined ? v.role : `slot ${v.slot}`],
    ["Dtype", v.dtype],
    ["Shape", shape(v.shape)],
    ["Size", `${count(sizeOfEntry(v))} elements, ${bytes(v.bytes)}`],
  ];
  if (v.of !== undefined) {
    const owner = v.of;
    facts.push([
      "Of",
      <button
        key="of"
        type="button"
        class="link"
        onClick={() => inspector.select({ kind: "variable", name: owner })}
      >
        {owner}
      </button>,
    ]);
  }
  if (v.optimizer !== undefined) facts.push(["Optimizer", v.optimizer]);
  if (v.key !== v.name) facts.push(["Key", v.key]);
  if (v.aliases !== undefined) facts.push(["Also", v.aliases.join(", ")]);
  if (v.parts !== undefined) facts.push(["Parts", count(v.parts.length)]);
  return (
    <dl class="facts">
      {facts.map(([title, value]) => (
        <div key={title}>
          <dt>{title}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface ValuesProps {
  readonly detail: Detail;
  /** statistics that were read before */
  readonly known: Stats | null | undefined;
  readonly isBrief: boolean;
  /** stands where statistics would */
  readonly children: preact.ComponentChildren;
}

function Values({ detail, known, isBrief, children }: ValuesProps) {
  const { text, isWhole, picture } = detail;
  const stats = detail.stats ?? known ?? null;
  const hasText = !isBrief || picture === null;
  return (
    <>
      {stats === null ? children : <Statistics stats={stats} />}
      {stats?.histogram && stats.histogram.counts.length > 1 && (
        <HistogramChart histogram={stats.histogram} />
      )}
      {picture !== null && <PictureChart picture={picture} />}
      {hasText && <h3>{isWhole ? "Values" : "First values"}</h3>}
      {hasText && <pre class="values">{text}</pre>}
    </>
  );
}

function Statistics({ stats }: { readonly stats: Stats }) {
  return (
    <dl class="stats">
      {(["min", "max", "mean", "std", "zeros", "nan", "inf"] as const).map((key) => (
        <div key={key} class={(key === "nan" || key === "inf") && stats[key] > 0 ? "bad" : ""}>
          <dt>{key === "nan" ? "NaN" : key === "inf" ? "Inf" : key}</dt>
          <dd data-stat={key} title={String(stats[key])}>
            {number(stats[key])}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** Variables of a layer that are read for its detail; larger ones are read when they are chosen themselves. */
const MOST_BYTES = 8 << 20;

function LayerDetail({
  inspector,
  state,
  layer,
}: {
  readonly inspector: Inspector;
  readonly state: State;
  readonly layer: string;
}) {
  const { opened } = state.a;
  if (opened.state !== "done") return null;
  const group = groupsOf(opened.value.variables.filter((v) => v.layer === layer))[0];
  if (group === undefined) return null;
  const members = group.members.length > 0 ? group.members : group.beside;
  return (
    <>
      {members.slice(0, 24).map((v) => (
        <Member key={v.name} inspector={inspector} entry={v} group={group} />
      ))}
    </>
  );
}

function Member({
  inspector,
  entry: v,
  group,
}: {
  readonly inspector: Inspector;
  readonly entry: VariableEntry;
  readonly group: Group;
}) {
  const choose = (): void => inspector.select({ kind: "variable", name: v.name });
  const letter = labelOf(v, group);
  const name = labelOf(v, { layer: group.layer, norm: null });
  return (
    <section class="member">
      <button type="button" class="link" onClick={choose}>
        <i class={`swatch ${v.role}`} />
        {letter !== name && <b>{letter}</b>} {name}
        <span>
          {v.dtype} {shape(v.shape)}
        </span>
      </button>
      {v.bytes <= MOST_BYTES && <MemberValues inspector={inspector} entry={v} />}
    </section>
  );
}

function MemberValues({
  inspector,
  entry,
}: {
  readonly inspector: Inspector;
  readonly entry: VariableEntry;
}) {
  const asked = useDetail(inspector, "a", entry.name);
  if (asked === null) return <p class="wait">Reading…</p>;
  if ("error" in asked) return <p class="error">{asked.error}</p>;
  const { stats, picture, text } = asked.value;
  return (
    <>
      {stats === null || sizeOfEntry(entry) === 1 ? (
        <pre class="values">{text}</pre>
      ) : (
        <Statistics stats={stats} />
      )}
      {picture?.kind === "line" && <Line values={picture.values} height={56} />}
      {picture !== null &&
        picture.kind !== "line" &&
        stats?.histogram &&
        stats.histogram.counts.length > 1 && <HistogramChart histogram={stats.histogram} />}
    </>
  );
}
