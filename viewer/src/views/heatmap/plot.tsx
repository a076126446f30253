// The picture on the screen: zoom, pan, and the cell that is looked at.

import type { Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useStage } from "../../canvas/stage.js";
import { type Camera, cellAt, panned, showing, whole, zoomed } from "./camera.js";
import { drawCross, drawHeat, frameOf, heightFor, type Scaled, type View } from "./draw.js";
import type { Heat } from "./heat.js";
import type { Marks } from "./marks.js";

export interface Cell {
  row: number;
  column: number;
}

export interface PlotProps {
  heat: Heat;
  scaled: Scaled;
  marks: Marks;
  found: Marks;
  camera: Signal<Camera>;
  cell: Signal<Cell | null>;
  /** What the keys tell a screen reader of. */
  onLook: (cell: Cell) => void;
  onChoose: (cell: Cell, what: "row" | "column") => void;
  /** Another head (or layer) by so many. */
  onStep: (what: "layers" | "heads", by: 1 | -1) => void;
  /** The picture's size, for exports. */
  onSize: (width: number, height: number) => void;
  label: string;
  children: ComponentChildren;
}

type ViewOf = (width: number, height: number, ratio: number) => View;

const STEP = 1.5;

export function Plot({ heat, scaled, marks, found, camera, cell, label, onLook, onChoose, onStep, onSize, children }: PlotProps) {
  const rows = heat.rows.length;
  const columns = heat.columns.length;
  const pointers = useRef(new Map<number, { x: number; y: number }>());
  const travelled = useRef(0);
  const size = useRef({ width: 1, height: 1 });
  const seen = camera.value;
  const view: ViewOf = (width, height, ratio) => {
    return { heat, scaled, marks, found, camera: seen, width, height, ratio };
  };

  const base = useStage(({ pen, palette, width, height, ratio }) => {
    size.current = { width, height };
    onSize(width, height);
    drawHeat(pen, palette, view(width, height, ratio));
  });

  const zoom = (factor: number, x?: number, y?: number) => {
    const frame = frameOf(size.current.width, size.current.height, rows, columns);
    const at = cell.peek();
    const { x: fromX, y: fromY, across, down } = camera.peek();
    const atX = x !== undefined ? (x - frame.left) / frame.width : at ? (at.column + 0.5 - fromX) / across : 0.5;
    const atY = y !== undefined ? (y - frame.top) / frame.height : at ? (at.row + 0.5 - fromY) / down : 0.5;
    camera.value = zoomed(camera.peek(), factor, part(atX), part(atY), rows, columns, frame);
  };
  const pan = (columnsBy: number, rowsBy: number) => {
    camera.value = panned(camera.peek(), columnsBy, rowsBy, rows, columns);
  };
  const look = (row: number, column: number) => {
    const next = { row: Math.max(0, Math.min(rows - 1, row)), column: Math.max(0, Math.min(columns - 1, column)) };
    camera.value = showing(camera.peek(), next.row, next.column, rows, columns);
    cell.value = next;
    onLook(next);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.altKey) return;
    const { x, y, across, down } = camera.peek();
    const at = cell.peek() ?? { row: Math.floor(y), column: Math.floor(x) };
    const jump = event.ctrlKey || event.metaKey;
    const moves: Record<string, readonly [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      PageUp: [-10, 0],
      PageDown: [10, 0],
      Home: jump ? [-rows, 0] : [0, -columns],
      End: jump ? [rows, 0] : [0, columns],
    };
    const move = moves[event.key];
    if (move !== undefined && event.shiftKey) pan((move[1] * across) / 4, (move[0] * down) / 4);
    else if (move !== undefined && (!jump || event.key === "Home" || event.key === "End")) {
      // The first key shows where one is.
      if (cell.peek() === null) look(at.row, at.column);
      else look(at.row + move[0], at.column + move[1]);
    } else if (jump) return;
    else if (event.key === "+" || event.key === "=") zoom(STEP);
    else if (event.key === "-" || event.key === "_") zoom(1 / STEP);
    else if (event.key === "0") camera.value = whole(rows, columns);
    else if (event.key === "Enter") onChoose(at, event.shiftKey ? "column" : "row");
    else if (event.key === "[") onStep("heads", -1);
    else if (event.key === "]") onStep("heads", 1);
    else if (event.key === "{") onStep("layers", -1);
    else if (event.key === "}") onStep("layers", 1);
    else if (event.key === "Escape" && cell.peek() !== null) cell.value = null;
    else return;
    event.preventDefault();
  };

  const pointOf = (event: MouseEvent) => {
    const box = base.current?.getBoundingClientRect();
    return { x: event.clientX - (box?.left ?? 0), y: event.clientY - (box?.top ?? 0) };
  };
  const onPointerDown = (event: PointerEvent) => {
    if (event.button !== 0) return;
    (event.currentTarget as Element).setPointerCapture(event.pointerId);
    pointers.current.set(event.pointerId, pointOf(event));
    travelled.current = 0;
  };
  const onPointerMove = (event: PointerEvent) => {
    const point = pointOf(event);
    const before = pointers.current.get(event.pointerId);
    const frame = frameOf(size.current.width, size.current.height, rows, columns);
    if (before === undefined) {
      const found = cellAt(camera.peek(), frame, point.x, point.y);
      const known = cell.peek();
      if (found !== null && (found.row !== known?.row || found.column !== known.column)) cell.value = found;
      return;
    }
    travelled.current += Math.hypot(point.x - before.x, point.y - before.y);
    const [other] = [...pointers.current].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    if (other !== undefined) {
      const ratio = Math.hypot(point.x - other.x, point.y - other.y) / Math.hypot(before.x - other.x, before.y - other.y);
      if (Number.isFinite(ratio) && ratio > 0) zoom(ratio, (point.x + other.x) / 2, (point.y + other.y) / 2);
    } else if (travelled.current > 4) {
      const { across, down } = camera.peek();
      pan(((before.x - point.x) * across) / frame.width, ((before.y - point.y) * down) / frame.height);
    }
    pointers.current.set(event.pointerId, point);
  };
  const onPointerUp = (event: PointerEvent) => {
    const clicked = pointers.current.delete(event.pointerId) && travelled.current <= 4;
    if (!clicked || event.type === "pointercancel") return;
    const point = pointOf(event);
    const frame = frameOf(size.current.width, size.current.height, rows, columns);
    const inside = { x: Math.max(point.x, frame.left), y: Math.max(point.y, frame.top) };
    const found = cellAt(camera.peek(), frame, inside.x, inside.y);
    if (found === null) return;
    cell.value = found;
    // On a column's name its segment is chosen, everywhere else the row.
    onChoose(found, point.y < frame.top ? "column" : "row");
  };
  const onWheel = (event: WheelEvent) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const { x, y } = pointOf(event);
    zoom(Math.exp(-event.deltaY / 200), x, y);
  };

  const zoomedIn = seen.across < columns || seen.down < rows;
  return (
    <div class="plot">
      <div class="plot-keys" role="group" aria-label="Zoom">
        <button type="button" onClick={() => zoom(STEP)} aria-label="Zoom in">+</button>
        <button type="button" onClick={() => zoom(1 / STEP)} aria-label="Zoom out" disabled={!zoomedIn}>−</button>
        <button type="button" onClick={() => (camera.value = whole(rows, columns))} disabled={!zoomedIn}>Show all</button>
        {children}
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
        <canvas class="stage" ref={base} aria-hidden="true" />
        <Crosshair cell={cell} view={view} />
      </div>
    </div>
  );
}

function part(at: number): number {
  return Math.max(0, Math.min(1, at));
}

/** The crosshair lies on a canvas of its own: it follows the mouse, and the picture need not be drawn again. */
function Crosshair({ cell, view }: { cell: Signal<Cell | null>; view: ViewOf }) {
  return cell.value === null ? null : <Cross at={cell.value} view={view} />;
}

function Cross({ at: { row, column }, view }: { at: Cell; view: ViewOf }) {
  const ref = useStage(({ pen, palette, width, height, ratio }) => {
    drawCross(pen, palette, view(width, height, ratio), row, column);
  });
  return <canvas class="stage plot-cross" ref={ref} aria-hidden="true" />;
}
