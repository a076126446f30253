// A heatmap on the screen: its title and notes, the picture with zoom, pan and the cell that is looked at, the table.

import type { Signal } from "@preact/signals-core";
import { useMemo, useRef } from "preact/hooks";
import { useStage } from "../../canvas/stage.js";
import { useSignal } from "../../ui/draw.js";
import { useExporter } from "../../ui/export.js";
import type { Facts } from "../../ui/export/facts.js";
import { useViewer } from "../../ui/viewer.js";
import { drawHeat, shadesOf, type View } from "./draw.js";
import { heatExporter } from "./exporter.js";
import { type Heat, told } from "./heat.js";
import { clamp, heightFor, indexAt, isSeen, type Layout, layOut, moved, pixelOf, type Range, type Side, zoomed } from "./layout.js";
import { marksOf, marksOfFound } from "./marks.js";
import { Table } from "./table.js";

export interface Cell {
  row: number;
  column: number;
}

interface HeatmapProps {
  heat: Heat;
  title: string;
  facts: Facts;
  /** Whether these are the scores: then a row is a target, and a column a segment. */
  ofScores: boolean;
  /** Keys of its own. */
  onKey?: (key: string) => boolean;
}

const STEP = 1.5;
const HINT = "Arrow keys: from cell to cell; with shift: move the picture. + and −: zoom; 0: show all. Enter: choose the row";

export function Heatmap({ heat, title, facts, ofScores, onKey }: HeatmapProps) {
  const viewer = useViewer();
  const { loaded, state, announce } = viewer;
  const scale = state.scale.value;
  const choice = state.choice.value;
  const places = viewer.found.value;
  const shades = useMemo(() => shadesOf(heat.shown.values, scale), [heat, scale]);
  const marks = useMemo(() => marksOf(loaded, heat, choice, ofScores), [heat, choice]);
  const found = useMemo(() => marksOfFound(loaded, heat, places), [heat, places]);
  const [rows, columns] = [heat.rows.length, heat.columns.length];
  const whole = { down: { from: 0, seen: rows }, across: { from: 0, seen: columns } };
  const camera = useSignal<{ down: Range; across: Range }>(whole);
  const cell = useSignal<Cell | null>(null);
  const size = useSignal({ width: 900, height: 600 });
  const table = useSignal(false);
  const drag = useRef<{ x: number; y: number; far: number } | null>(null);

  const layout = () => layOut(heat, size.peek().width, size.peek().height, camera.peek().down, camera.peek().across);
  const view = (): View => ({ ...layout(), heat, shades, marks, found });
  const { down, across } = camera.value;
  const picture = useStage(({ pen, palette, width, height, ratio }) => {
    if (width !== size.peek().width || height !== size.peek().height) size.value = { width, height };
    drawHeat(pen, palette, view(), ratio);
  }, [shades, marks, found, camera.value]);
  useExporter(heatExporter(viewer, title, facts, view));

  const middle = (side: Side, at: number | undefined) => (at === undefined ? side.from + side.seen / 2 : at + 0.5);
  const zoom = (factor: number, row = cell.peek()?.row, column = cell.peek()?.column) => {
    const now = layout();
    camera.value = {
      down: zoomed(now.rows, factor, middle(now.rows, row)),
      across: zoomed(now.columns, factor, middle(now.columns, column)),
    };
  };
  const pan = (rowsBy: number, columnsBy: number) => {
    const now = layout();
    camera.value = { down: moved(now.rows, now.rows.from + rowsBy), across: moved(now.columns, now.columns.from + columnsBy) };
  };
  const look = (row: number, column: number) => {
    const next = { row: clamp(row, 0, rows - 1), column: clamp(column, 0, columns - 1) };
    const by = ({ from, seen }: Side, at: number) => Math.min(0, at - from) + Math.max(0, at + 1 - from - seen);
    pan(by(layout().rows, next.row), by(layout().columns, next.column));
    cell.value = next;
    const [name, other, value, rest] = told(heat, next.row, next.column);
    announce(`${name} × ${other}: ${value} ${rest}`);
  };
  const choose = ({ row, column }: Cell, ofColumn: boolean) => {
    const about = heat.about[row];
    if (ofColumn && !ofScores) return;
    if (ofColumn) state.choice.value = { kind: "segment", index: column };
    else if (ofScores) state.choice.value = { kind: "target", index: row };
    else if (about != null) state.choice.value = { kind: "stretch", start: about.start, end: about.end };
    announce(`Chosen: ${(ofColumn ? heat.columns[column] : heat.rows[row])?.label}`);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const { key, shiftKey } = event;
    const at = cell.peek();
    const jump = event.ctrlKey || event.metaKey;
    const move = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-10, 0],
      PageDown: [10, 0],
      Home: jump ? [-rows, 0] : [0, -columns],
      End: jump ? [rows, 0] : [0, columns],
    }[key];
    if (event.altKey || (jump && key !== "Home" && key !== "End")) return;
    if (move !== undefined && shiftKey) pan((move[0]! * down.seen) / 4, (move[1]! * across.seen) / 4);
    // The first key shows where one is.
    else if (move !== undefined && at === null) look(Math.floor(down.from), Math.floor(across.from));
    else if (move !== undefined && at !== null) look(at.row + move[0]!, at.column + move[1]!);
    else if (key === "+" || key === "=") zoom(STEP);
    else if (key === "-") zoom(1 / STEP);
    else if (key === "0") camera.value = whole;
    else if (key === "Enter" && at !== null) choose(at, shiftKey);
    else if (key === "Escape" && at !== null) cell.value = null;
    else if (!onKey?.(key)) return;
    event.preventDefault();
  };

  const pointOf = (event: MouseEvent) => {
    const box = picture.current!.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  /** The cell at a point; at a name, that of its row or column. */
  const cellAt = (x: number, y: number): Cell | null => {
    const now = layout();
    const [row, column] = [indexAt(now.rows, y), indexAt(now.columns, x)];
    if (!isSeen(now.rows, row) || !isSeen(now.columns, column)) return null;
    return { row: Math.floor(row), column: Math.floor(column) };
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    drag.current = { ...pointOf(event), far: 0 };
  };
  const onPointerMove = (event: PointerEvent) => {
    const { x, y } = pointOf(event);
    const before = drag.current;
    if (before === null) {
      const at = cellAt(x, y);
      if (at !== null && (at.row !== cell.peek()?.row || at.column !== cell.peek()?.column)) cell.value = at;
      return;
    }
    const now = layout();
    const far = before.far + Math.hypot(x - before.x, y - before.y);
    if (far > 4) pan(((before.y - y) * down.seen) / now.rows.length, ((before.x - x) * across.seen) / now.columns.length);
    drag.current = { x, y, far };
  };
  const onPointerUp = (event: PointerEvent) => {
    const clicked = event.type === "pointerup" && drag.current !== null && drag.current.far <= 4;
    drag.current = null;
    const { x, y } = pointOf(event);
    const { rows, columns } = layout();
    const at = cellAt(Math.max(x, columns.start), Math.max(y, rows.start));
    if (!clicked || at === null) return;
    cell.value = at;
    choose(at, y < rows.start);
  };
  const onWheel = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { x, y } = pointOf(event);
    zoom(Math.exp(-event.deltaY / 200), indexAt(layout().rows, y) - 0.5, indexAt(layout().columns, x) - 0.5);
  };

  const isWhole = down.seen === rows && across.seen === columns;
  const label = `${title}: ${rows} rows, ${columns} columns; ${heat.unit}`;
  return (
    <>
      <h2 dir="auto">{title}</h2>
      {heat.notes.map((note) => <p class="quiet">{note}</p>)}
      <div role="group" aria-label="Zoom">
        <button type="button" onClick={() => zoom(STEP)} aria-label="Zoom in">+</button>
        <button type="button" onClick={() => zoom(1 / STEP)} aria-label="Zoom out" disabled={isWhole}>−</button>
        <button type="button" onClick={() => (camera.value = whole)} disabled={isWhole}>Show all</button>
        <button type="button" aria-expanded={table.value} onClick={() => (table.value = !table.value)}>As a table</button>
        <Readout heat={heat} cell={cell} />
      </div>
      <div
        class="plot-picture"
        style={{ height: `${heightFor(rows)}px` }}
        tabIndex={0}
        role="application"
        aria-roledescription="heatmap"
        aria-label={label}
        onKeyDown={onKeyDown}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onPointerUp={onPointerUp}
        onPointerCancel={onPointerUp}
        onWheel={onWheel}
      >
        <canvas class="stage" ref={picture} aria-hidden="true" />
        <Cross cell={cell} size={size} layout={layout} />
      </div>
      <p class="quiet hint">
        {HINT}
        {ofScores ? "; with shift: the passage" : onKey && ". [ and ]: another head; { and }: another layer"}.
      </p>
      {table.value && <Table heat={heat} cell={cell} />}
    </>
  );
}

/** The lines through the cell that is looked at: elements of their own, so that the picture need not be drawn again. */
function Cross({ cell, size, layout }: { cell: Signal<Cell | null>; size: Signal<unknown>; layout: () => Layout }) {
  const at = cell.value;
  if (size.value === null || at === null) return null;
  const { rows, columns } = layout();
  const pixels = (style: Record<string, number>) => Object.fromEntries(Object.entries(style).map(([name, value]) => [name, `${value}px`]));
  const place = {
    left: pixelOf(columns, at.column) - columns.start,
    top: pixelOf(rows, at.row) - rows.start,
    width: columns.length / columns.seen,
    height: rows.length / rows.seen,
  };
  return (
    <div class="cross" style={pixels({ left: columns.start, top: rows.start, width: columns.length, height: rows.length })}>
      <i style={pixels(place)} />
    </div>
  );
}

/** The cell that is looked at, in words: what it stands for, and its exact value. */
function Readout({ heat, cell }: { heat: Heat; cell: Signal<Cell | null> }) {
  const at = cell.value;
  if (at === null) return <p class="readout quiet">Point at a cell, or use the arrow keys.</p>;
  const [row, column, value, rest] = told(heat, at.row, at.column);
  return (
    <p class="readout">
      <strong class="exact">{value}</strong> <span class="quiet">{rest}:</span> <bdi lang="">{row}</bdi> × <bdi lang="">{column}</bdi>
    </p>
  );
}
