/** @file What stands around the table: totals above, filters at the side. Start at `Summary`. */

import type { Facets, FacetValue } from "./facets.ts";
import type { Opened } from "./protocol.ts";
import type { View } from "./rows.ts";
import type { Inspector } from "./state.ts";
import { bytes, count, short } from "./words.ts";

interface SummaryProps {
  readonly inspector: Inspector;
  readonly opened: Opened;
  readonly facets: Facets;
}

/** What the container is, and its totals. */
export function Summary({ inspector, opened, facets }: SummaryProps) {
  const { format, containers, path, fileBytes } = opened;
  const given = inspector.state.a.given;
  return (
    <section class="summary" aria-label="Summary">
      <div class="what">
        <span class="format">{format}</span>
        {containers.length > 1 && given !== null ? (
          <select
            aria-label="Container"
            value={path}
            onChange={(e) => void inspector.open("a", given, e.currentTarget.value)}
          >
            {containers.map((c) => (
              <option key={c} value={c}>
                {c}
              </option>
            ))}
          </select>
        ) : (
          <span class="file" title={path}>
            {path}
          </span>
        )}
      </div>
      <dl>
        <Figure title="tensors" value={count(facets.tensors)} />
        <Figure
          title="parameters"
          value={count(facets.parameters)}
          note="of the model, without slots, averages and counters"
        />
        <Figure title="elements" value={count(facets.elements)} note="of all tensors" />
        <Figure title="values" value={bytes(facets.bytes)} note={`${count(facets.bytes)} bytes`} />
        {fileBytes !== null && (
          <Figure
            title="on disk"
            value={bytes(fileBytes)}
            note={`${count(fileBytes)} bytes in the files that you gave`}
          />
        )}
      </dl>
    </section>
  );
}

function Figure({
  title,
  value,
  note,
}: {
  readonly title: string;
  readonly value: string;
  readonly note?: string;
}) {
  return (
    <div title={note}>
      <dd>{value}</dd>
      <dt>{title}</dt>
    </div>
  );
}

interface SidebarProps {
  readonly facets: Facets;
  readonly view: View;
  onView(change: Partial<View>): void;
}

type FacetName = "roles" | "dtypes" | "scopes";

/** Totals by role, dtype and scope; each filters the table. */
export function Sidebar({ facets, view, onView }: SidebarProps) {
  const toggle = (facet: FacetName, value: string): void => {
    const next = new Set(view[facet]);
    if (!next.delete(value)) next.add(value);
    onView({ [facet]: next });
  };
  const props = { view, total: facets.elements, toggle };
  return (
    <nav class="sidebar" aria-label="Filters">
      <FacetList title="Role" facet="roles" values={facets.roles} {...props} />
      <FacetList title="Dtype" facet="dtypes" values={facets.dtypes} {...props} />
      <FacetList title="Scope" facet="scopes" values={facets.scopes} {...props} />
    </nav>
  );
}

/** Facets with more values than this show the largest. */
const MOST_VALUES = 40;

interface FacetProps {
  readonly title: string;
  readonly facet: FacetName;
  readonly values: readonly FacetValue[];
  readonly view: View;
  readonly total: number;
  toggle(facet: FacetName, value: string): void;
}

function FacetList({ title, facet, values, view, total, toggle }: FacetProps) {
  const chosen = view[facet];
  return (
    <fieldset class="facet">
      <legend>{title}</legend>
      {values.slice(0, MOST_VALUES).map(({ value, tensors, elements }) => (
        <button
          type="button"
          key={value}
          aria-pressed={chosen.has(value)}
          class={chosen.size > 0 && !chosen.has(value) ? "off" : ""}
          title={`${count(tensors)} tensors, ${count(elements)} elements`}
          onClick={() => toggle(facet, value)}
        >
          <span class="label">
            {facet === "roles" && <i class={`swatch ${value}`} />}
            {value === "" ? "(root)" : value}
          </span>
          <span class="n">{short(elements)}</span>
          <meter aria-hidden="true" value={total === 0 ? 0 : elements / total} />
        </button>
      ))}
      {values.length > MOST_VALUES && (
        <p class="more">and {count(values.length - MOST_VALUES)} more; search finds them</p>
      )}
    </fieldset>
  );
}
