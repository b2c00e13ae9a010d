/** @file The table of variables, by layer or alone. Start at `VariableTable`. */

import type { VariableEntry } from "../formats/collection/index.ts";
import { Spark } from "./charts.tsx";
import { type Health, healthOfGroup, healthOfVariable, type Numbers } from "./health.ts";
import { Cell, GridRow, VirtualList } from "./list.tsx";
import { type Group, type Row, type Sort, sizeOfEntry } from "./rows.ts";
import type { Selection } from "./state.ts";
import { bytes, count, number, shape } from "./words.ts";

export interface TableProps {
  readonly rows: readonly Row[];
  readonly grouped: boolean;
  readonly numbers: Numbers;
  readonly sort: Sort;
  readonly isDescending: boolean;
  readonly selection: Selection | null;
  readonly about: string;
  onSort(sort: Sort): void;
  onSelect(row: Row): void;
  onFold(row: Row, isOpen: boolean): void;
}

interface Column {
  readonly title: string;
  readonly sort?: Sort;
  readonly class: string;
}

const NAME: Column = { title: "Name", sort: "name", class: "name" };
const SIZES: readonly Column[] = [
  { title: "Parameters", sort: "parameters", class: "num" },
  { title: "Bytes", sort: "bytes", class: "num" },
];
const LAYER_COLUMNS: readonly Column[] = [
  { ...NAME, title: "Layer" },
  { title: "Variables", class: "chips" },
  ...SIZES,
];
const VARIABLE_COLUMNS: readonly Column[] = [
  NAME,
  { title: "Role", class: "role" },
  { title: "Dtype", class: "dtype" },
  { title: "Shape", class: "shape" },
  ...SIZES,
  ...(["min", "max", "mean", "std"] as const).map((sort) => ({ title: sort, sort, class: "num stat" })),
  { title: "", class: "hist" },
];

const isSelected = (row: Row, selection: Selection | null): boolean =>
  selection !== null &&
  (row.kind === "group"
    ? selection.kind === "layer" && selection.layer === row.group.layer
    : selection.kind === "variable" && selection.name === row.variable.name);

/** All variables of a container. */
export function VariableTable(props: TableProps) {
  const { rows, grouped, selection } = props;
  const active = rows.findIndex((row) => isSelected(row, selection));
  return (
    <VirtualList
      label="Variables"
      about={props.about}
      length={rows.length}
      active={active}
      header={<Header {...props} columns={grouped ? LAYER_COLUMNS : VARIABLE_COLUMNS} />}
      onActive={(i) => props.onSelect(rows[i]!)}
      onFold={(i, way) => props.onFold(rows[i]!, way > 0)}
      row={(i) => <TableRow key={rows[i]!.id} row={rows[i]!} isActive={i === active} table={props} />}
    />
  );
}

function Header({
  columns,
  grouped,
  sort,
  isDescending,
  onSort,
}: TableProps & { readonly columns: readonly Column[] }) {
  return (
    <GridRow class={`head ${grouped ? "by-layer" : "by-variable"}`}>
      {columns.map((c) => (
        <Cell
          role="columnheader"
          key={c.title}
          class={c.class}
          sorted={c.sort === sort ? (isDescending ? "descending" : "ascending") : "none"}
        >
          {c.sort === undefined ? (
            c.title
          ) : (
            <button type="button" tabIndex={-1} onClick={() => onSort(c.sort!)}>
              {c.title}
              {c.sort === sort && <span aria-hidden="true">{isDescending ? " ↓" : " ↑"}</span>}
            </button>
          )}
        </Cell>
      ))}
    </GridRow>
  );
}

interface RowProps {
  readonly row: Row;
  readonly isActive: boolean;
  readonly table: TableProps;
}

function TableRow({ row, isActive, table }: RowProps) {
  const { grouped, numbers, onSelect } = table;
  return (
    <GridRow class={grouped ? "by-layer" : "by-variable"} isActive={isActive} onChoose={() => onSelect(row)}>
      {row.kind === "group" ? (
        <GroupCells row={row} table={table} />
      ) : grouped ? (
        <InLayerCells variable={row.variable} depth={row.depth} numbers={numbers} />
      ) : (
        <VariableCells variable={row.variable} numbers={numbers} />
      )}
    </GridRow>
  );
}

/** A point in the colour of health. */
export function Dot({ health }: { readonly health: Health }) {
  return <span class={`dot ${health.state}`} role="img" aria-label={health.words} title={health.words} />;
}

function GroupCells({
  row,
  table,
}: {
  readonly row: Extract<Row, { readonly kind: "group" }>;
  readonly table: TableProps;
}) {
  const { group, isOpen } = row;
  const { layer, norm, members, beside } = group;
  const fold = (e: Event): void => {
    e.stopPropagation();
    table.onFold(row, !isOpen);
  };
  const shown = members.length > 0 ? members : beside;
  return (
    <>
      <Cell class="name" title={layer}>
        <button
          type="button"
          tabIndex={-1}
          class={`fold${isOpen ? " open" : ""}`}
          aria-label={isOpen ? "Close" : "Open"}
          aria-expanded={isOpen}
          onClick={fold}
        />
        <Dot health={healthOfGroup(shown, norm, table.numbers)} />
        <Path text={layer === "" ? "(no layer)" : layer} />
        {norm !== null && <span class="tag">batch norm</span>}
      </Cell>
      <Cell class="chips">
        {shown.slice(0, 8).map((v) => (
          <Chip key={v.name} variable={v} label={labelOf(v, group)} numbers={table.numbers} />
        ))}
        {shown.length > 8 && <span class="more">+{count(shown.length - 8)}</span>}
        {members.length > 0 && beside.length > 0 && <span class="more">{besideWords(beside)}</span>}
      </Cell>
      <Cell class="num">{count(group.parameters)}</Cell>
      <Cell class="num">{bytes(group.bytes)}</Cell>
    </>
  );
}

function besideWords(beside: readonly VariableEntry[]): string {
  const slots = beside.filter((v) => v.role === "slot").length;
  const ema = beside.length - slots;
  return [slots > 0 ? `${slots} slot${slots > 1 ? "s" : ""}` : "", ema > 0 ? `${ema} ema` : ""]
    .filter((t) => t !== "")
    .join(", ");
}

/** Greek letters, as in the paper. @see Ioffe and Szegedy 2015 */
const LETTERS: Readonly<Record<string, string>> = {
  gamma: "γ",
  beta: "β",
  "moving-mean": "μ",
  "moving-variance": "σ²",
};

/** A variable's name without its layer's; of a batch normalization its letter. */
export function labelOf(v: VariableEntry, { layer, norm }: Pick<Group, "layer" | "norm">): string {
  if (norm !== null && v.role in LETTERS) return LETTERS[v.role]!;
  return layer !== "" && v.name.startsWith(`${layer}/`) ? v.name.slice(layer.length + 1) : v.name;
}

function Chip({
  variable,
  label,
  numbers,
}: {
  readonly variable: VariableEntry;
  readonly label: string;
  readonly numbers: Numbers;
}) {
  const health = healthOfVariable(variable, numbers);
  return (
    <span
      class={`chip ${health.state}`}
      title={`${variable.name}\n${variable.role}, ${variable.dtype}, ${health.words}`}
    >
      <i class={`swatch ${variable.role}`} />
      <b>{label}</b>
      <span>{shape(variable.shape)}</span>
      <Spark histogram={numbers.get(variable.name)?.histogram} />
    </span>
  );
}

/** A path whose last part stands out. */
export function Path({ text }: { readonly text: string }) {
  const cut = text.lastIndexOf("/") + 1;
  return (
    <span class="path">
      <span>{text.slice(0, cut)}</span>
      <b>{text.slice(cut)}</b>
    </span>
  );
}

interface CellsProps {
  readonly variable: VariableEntry;
  readonly numbers: Numbers;
}

function InLayerCells({ variable: v, depth, numbers }: CellsProps & { readonly depth: number }) {
  const s = numbers.get(v.name);
  const label = depth === 0 ? v.name : labelOf(v, { layer: v.layer, norm: null });
  return (
    <>
      <Cell class={`name depth-${depth}`} title={v.name}>
        <Dot health={healthOfVariable(v, numbers)} />
        <Path text={label} />
      </Cell>
      <Cell class="inside">
        <span>
          <i class={`swatch ${v.role}`} />
          {v.slot ?? v.role}
        </span>
        <span>{v.dtype}</span>
        <b>{shape(v.shape)}</b>
        <span class="hist">
          <Spark histogram={s?.histogram} />
        </span>
        {s !== undefined && s !== null && (
          <>
            <span class="range">
              {s.min === s.max ? number(s.min) : `${number(s.min)} … ${number(s.max)}`}
            </span>
            <span>{s.min === s.max ? "" : `mean ${number(s.mean)}, std ${number(s.std)}`}</span>
          </>
        )}
      </Cell>
      <Cell class="num">{count(sizeOfEntry(v))}</Cell>
      <Cell class="num">{bytes(v.bytes)}</Cell>
    </>
  );
}

function VariableCells({ variable: v, numbers }: CellsProps) {
  const s = numbers.get(v.name);
  return (
    <>
      <Cell class="name" title={v.name}>
        <Dot health={healthOfVariable(v, numbers)} />
        <Path text={v.name} />
      </Cell>
      <Cell class="role">
        <i class={`swatch ${v.role}`} />
        {v.slot === undefined ? v.role : `slot ${v.slot}`}
      </Cell>
      <Cell class="dtype">{v.dtype}</Cell>
      <Cell class="shape">{shape(v.shape)}</Cell>
      <Cell class="num">{count(sizeOfEntry(v))}</Cell>
      <Cell class="num">{bytes(v.bytes)}</Cell>
      {(["min", "max", "mean", "std"] as const).map((key) => (
        <Cell key={key} class="num stat">
          {s === undefined || s === null ? "" : number(s[key])}
        </Cell>
      ))}
      <Cell class="hist">
        <Spark histogram={s?.histogram} />
      </Cell>
    </>
  );
}
