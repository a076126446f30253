// A heatmap on the screen: its title and notes, the picture with zoom, pan and the cell that is looked at, the table.

import { useMemo, useRef } from "preact/hooks";
import { useStage } from "../../canvas/stage.js";
import { choose } from "../../ui/chosen.js";
import { useSignal } from "../../ui/draw.js";
import { useExporter } from "../../ui/export.js";
import type { Facts } from "../../ui/export/facts.js";
import { useViewer } from "../../ui/viewer.js";
import { drawHeat, shadesOf, type View } from "./draw.js";
import { heatExporter, partSaid } from "./exporter.js";
import { type Heat, told } from "./heat.js";
import { type Both, both, clamp, indexAt, isSeen, layOut, moved, pixelOf, type Range, type Side, zoomed } from "./layout.js";
import { marksOf, marksOfFound } from "./marks.js";
import { Table } from "./table.js";

interface HeatmapProps {
  heat: Heat;
  title: string;
  facts?: Facts;
  /** Whether these are the scores: then a row is a target, and a column a segment. */
  ofScores: boolean;
  /** Keys of its own. */
  onKey?: (key: string) => boolean;
}

const STEP = 1.5;

export function Heatmap({ heat, title, facts, ofScores, onKey }: HeatmapProps) {
  const viewer = useViewer();
  const { loaded, state, announce } = viewer;
  const scale = state.scale.value;
  const choice = state.choice.value;
  const places = viewer.found.value;
  const shades = useMemo(() => shadesOf(heat.shown.values, scale), [heat, scale]);
  const marks = useMemo(() => marksOf(loaded, heat, choice, ofScores), [heat, choice]);
  const found = useMemo(() => marksOfFound(heat, places), [heat, places]);
  const whole = both((which) => ({ from: 0, seen: heat[which].length }));
  const camera = useSignal<Both<Range>>(whole);
  const width = useSignal(900);
  /** The cell that is looked at: its row and its column. */
  const cell = useSignal<Both<number> | null>(null);
  const table = useSignal(false);
  /** Where a button was pressed: the point, what lies there, and how far the pointer has been from it since. */
  const grip = useRef({ x: 0, y: 0, far: 0, at: { rows: 0, columns: 0 } });

  const layout = () => layOut(heat, width.value, camera.value);
  const view = (): View => ({ ...layout(), heat, shades, marks, found });
  const picture = useStage(({ pen, palette, width: now, ratio }) => {
    width.value = now;
    drawHeat(pen, palette, view(), ratio);
  }, [shades, marks, found, camera.value]);
  useExporter(heatExporter(viewer, title, facts, view));

  const aim = (range: (side: Side, which: keyof Both<Side>) => Range) => {
    const now = layout();
    camera.value = both((which) => range(now[which], which));
    announce(partSaid(layout()));
  };
  const showAll = () => aim((_, which) => whole[which]);
  const zoom = (factor: number, at = cell.value) =>
    aim((side, which) => zoomed(side, factor, at?.[which] ?? side.from + side.seen / 2));
  const pan = (by: Both<number>) => aim((side, which) => moved(side, side.from + by[which]));
  const look = (at: Both<number>) => {
    const next = both((which) => clamp(at[which], 0, heat[which].length - 1));
    aim((side, which) => moved(side, clamp(side.from, next[which] + 1 - side.seen, next[which])));
    cell.value = next;
    announce(told(heat, next).join(", "));
  };
  const pick = (at: Both<number>, ofColumn: boolean) => {
    const { start, end } = heat.about[at.rows]!;
    if (ofScores) choose(viewer, ofColumn ? { kind: "segment", index: at.columns } : { kind: "target", index: at.rows });
    else if (!ofColumn && end > start) choose(viewer, { kind: "stretch", start, end });
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const { key, shiftKey } = event;
    const at = cell.value;
    const { rows, columns } = camera.value;
    const far = event.ctrlKey || event.metaKey;
    if (event.altKey || (far && key !== "Home" && key !== "End")) return;
    const by = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-10, 0],
      PageDown: [10, 0],
      Home: [far ? -Infinity : 0, -Infinity],
      End: [far ? Infinity : 0, Infinity],
    }[key];
    if (by !== undefined) {
      const [down, across] = by as [number, number];
      if (shiftKey) pan({ rows: (down * rows.seen) / 4, columns: (across * columns.seen) / 4 });
      else if (at) look({ rows: at.rows + down, columns: at.columns + across });
      // The first key shows where one is.
      else look({ rows: Math.floor(rows.from), columns: Math.floor(columns.from) });
    } else if (key === "+" || key === "=") zoom(STEP);
    else if (key === "-") zoom(1 / STEP);
    else if (key === "0") showAll();
    else if (key === "Enter" && at) pick(at, shiftKey);
    else if (key === "Escape" && at) cell.value = null;
    else if (!onKey?.(key)) return;
    event.preventDefault();
  };

  /** The row and the column at the pointer, with their fractions. */
  const pointed = ({ offsetX, offsetY }: MouseEvent): Both<number> => {
    const { rows, columns } = layout();
    return { rows: indexAt(rows, offsetY), columns: indexAt(columns, offsetX) };
  };
  const point = (at: Both<number>) => {
    const { rows, columns } = camera.value;
    if (!isSeen(rows, at.rows) || !isSeen(columns, at.columns)) return null;
    const next = both((which) => Math.floor(at[which]));
    if (next.rows !== cell.value?.rows || next.columns !== cell.value.columns) cell.value = next;
    return next;
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    grip.current = { x: event.offsetX, y: event.offsetY, far: 0, at: pointed(event) };
  };
  const onPointerMove = (event: PointerEvent) => {
    const at = pointed(event);
    if ((event.currentTarget as Element).hasPointerCapture(event.pointerId)) {
      const { x, y, far } = grip.current;
      grip.current.far = Math.max(far, Math.hypot(event.offsetX - x, event.offsetY - y));
      pan(both((which) => grip.current.at[which] - at[which]));
    } else point(at);
  };
  const onClick = (event: MouseEvent) => {
    const at = pointed(event);
    const { rows, columns } = camera.value;
    if (grip.current.far > 4 || (at.rows < rows.from && at.columns < columns.from)) return;
    // At a name: its row or its column.
    const clicked = point(both((which) => Math.max(at[which], camera.value[which].from)));
    if (clicked) pick(clicked, at.rows < rows.from);
  };
  const onWheel = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 200), pointed(event));
  };

  const now = layout();
  const isWhole = now.rows.seen === heat.rows.length && now.columns.seen === heat.columns.length;
  /** Where a side is on the picture, and where the cell is on that. */
  const bands = ({ start, length, ...side }: Side, at = 0) =>
    [start, length, pixelOf({ start: 0, length, ...side }, at), length / side.seen].map((pixels) => `${pixels}px`);
  const [top, height, y, high] = bands(now.rows, cell.value?.rows);
  const [left, wide, x, long] = bands(now.columns, cell.value?.columns);
  const [row, column, value, rest] = cell.value ? told(heat, cell.value) : [];
  return (
    <>
      <h2 dir="auto">{title}</h2>
      {heat.notes.map((note) => <p class="quiet">{note}</p>)}
      <div role="group" aria-label="Zoom">
        <button onClick={() => zoom(STEP)} aria-label="Zoom in">+</button>
        <button onClick={() => zoom(1 / STEP)} aria-label="Zoom out" disabled={isWhole}>−</button>
        <button onClick={showAll} disabled={isWhole}>Show all</button>
        <button aria-expanded={table.value} onClick={() => (table.value = !table.value)}>As a table</button>
        {cell.value ? (
          <p class="readout">
            <strong class="exact">{value}</strong> <span class="quiet">{rest}:</span> <bdi lang="">{row}</bdi> ×{" "}
            <bdi lang="">{column}</bdi>
          </p>
        ) : (
          <p class="readout quiet">
            Point at a cell, or use the arrow keys. Enter chooses its row{ofScores && ", Shift+Enter its passage"}; Ctrl and the
            wheel zoom.
          </p>
        )}
      </div>
      <div
        class="plot-picture"
        style={{ height: `${now.height}px` }}
        tabIndex={0}
        role="application"
        aria-roledescription="heatmap"
        aria-label={`${title}: ${heat.rows.length} rows, ${heat.columns.length} columns; ${heat.unit}`}
        onKeyDown={onKeyDown}
        onPointerDown={onPointerDown}
        onPointerMove={onPointerMove}
        onClick={onClick}
        onWheel={onWheel}
      >
        <canvas class="stage" ref={picture} aria-hidden="true" />
        {cell.value && (
          <div class="cross" style={{ top, height, left, width: wide }}>
            <i style={{ top: y, height: high }} />
            <i style={{ left: x, width: long }} />
          </div>
        )}
      </div>
      {table.value && <Table heat={heat} cell={cell} />}
    </>
  );
}
