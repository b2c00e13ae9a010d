/** @file A list that draws only the rows that are seen, and moves by keys. Start at `VirtualList`. */

import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";

export const ROW_PX = 32;
/** Rows drawn above and below those that are seen. */
const MORE = 8;

export interface ListProps {
  readonly label: string;
  readonly length: number;
  /** number of the row that keys act on; -1: none */
  readonly active: number;
  readonly header?: ComponentChildren;
  /** changes when the list holds other things, which begins at the top again */
  readonly about: string;
  row(i: number): ComponentChildren;
  onActive(i: number): void;
  /** -1: close, 1: open */
  onFold?(i: number, way: -1 | 1): void;
}

/** Rows of one height. */
export function VirtualList(props: ListProps) {
  const { length, active, header, row, about } = props;
  const box = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ top: 0, height: 800 });
  const measure = (): void => {
    const { scrollTop, clientHeight } = box.current!;
    setSeen((s) =>
      s.top === scrollTop && s.height === clientHeight ? s : { top: scrollTop, height: clientHeight },
    );
  };
  useLayoutEffect(() => {
    const watch = new ResizeObserver(measure);
    watch.observe(box.current!);
    return () => watch.disconnect();
  }, []);
  // To the top when the list is about something else.
  useEffect(() => box.current!.scrollTo(0, 0), [about]);
  const drawn = useDrawn(row);
  const first = Math.max(0, Math.floor(seen.top / ROW_PX) - MORE);
  const last = Math.min(length, Math.ceil((seen.top + seen.height) / ROW_PX) + MORE);
  const go = (i: number): void => {
    const to = Math.max(0, Math.min(length - 1, i));
    props.onActive(to);
    reveal(box.current!, to, header === undefined ? 0 : ROW_PX);
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(seen.height / ROW_PX) - 2);
    const moves: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: length - 1,
    };
    if (e.key in moves && length > 0) go(moves[e.key]!);
    else if ((e.key === "ArrowRight" || e.key === "ArrowLeft") && active >= 0)
      props.onFold?.(active, e.key === "ArrowRight" ? 1 : -1);
    else return;
    e.preventDefault();
  };
  return (
    // biome-ignore lint/a11y/useSemanticElements: a table element cannot draw a part of its rows
    <div
      class="list"
      ref={box}
      role="grid"
      aria-label={props.label}
      aria-rowcount={length}
      tabIndex={0}
      onScroll={measure}
      onKeyDown={onKeyDown}
    >
      {header}
      <div class="rows" style={{ height: `${length * ROW_PX}px` }}>
        <div style={{ transform: `translateY(${first * ROW_PX}px)` }}>
          {Array.from({ length: Math.max(0, last - first) }, (_, i) => drawn(first + i))}
        </div>
      </div>
    </div>
  );
}

/** Rows as they were drawn before: scrolling changes none of those that stay. */
function useDrawn(row: (i: number) => ComponentChildren): (i: number) => ComponentChildren {
  const last = useRef({ row, known: new Map<number, ComponentChildren>() });
  if (last.current.row !== row) last.current = { row, known: new Map() };
  const { known } = last.current;
  return (i) => {
    if (!known.has(i)) known.set(i, row(i));
    return known.get(i);
  };
}

function reveal(box: HTMLElement, i: number, headerPx: number): void {
  const top = i * ROW_PX;
  if (top < box.scrollTop) box.scrollTo(0, top);
  else if (top + ROW_PX + headerPx > box.scrollTop + box.clientHeight)
    box.scrollTo(0, top + ROW_PX + headerPx - box.clientHeight);
}

interface CellProps {
  readonly class: string;
  readonly title?: string | undefined;
  readonly role?: "columnheader" | "gridcell";
  readonly sorted?: "ascending" | "descending" | "none";
  readonly children?: ComponentChildren;
}

/** A cell of a row. */
export const Cell = ({ role = "gridcell", sorted, children, ...rest }: CellProps) => (
  <div {...rest} {...{ role, "aria-sort": sorted }}>
    {children}
  </div>
);

interface GridRowProps {
  readonly class: string;
  readonly isActive?: boolean;
  readonly children: ComponentChildren;
  onChoose?(): void;
}

/** A row. The list has the focus and moves by keys, so that a row is for the mouse alone. */
export const GridRow = ({ class: kind, isActive = false, children, onChoose }: GridRowProps) => (
  <div
    {...{ role: "row", "aria-selected": isActive, onClick: onChoose }}
    class={`row ${kind}${isActive ? " active" : ""}`}
  >
    {children}
  </div>
);
