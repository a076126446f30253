// The picture: cells, names of rows and columns, and the scale, drawn with any pen.

import { fitted, measure } from "../../canvas/label.js";
import { css, type Palette, pixelTable, place, shade } from "../../canvas/palette.js";
import type { Pen } from "../../canvas/pen.js";
import type { AxisItem } from "../../core/axis.js";
import { poolMax } from "../../core/pool.js";
import { logFloor, quantity, type Scale, toUnit } from "../../core/scale.js";
import { type Camera, type Frame, LARGEST } from "./camera.js";
import type { Heat } from "./heat.js";
import type { Marks } from "./marks.js";

/** How values become positions on the scale, from -1 to 1, and these values again. */
export interface Scaled {
  position: (value: number) => number;
  valueAt: (position: number) => number;
  /** Up to where values have no colour. */
  floor: number;
  signed: boolean;
}

const TOP = 96;
const BOTTOM = 52;
const RIGHT = 12;
const ROW_LINE = 15;
const COLUMN_LINE = 19;
const SLANT = 50;

/** Where on a canvas of this size the picture stands. */
export function frameOf(width: number, height: number, rows: number, columns: number): Frame {
  const left = Math.min(220, Math.round(width * 0.3));
  return {
    left,
    top: TOP,
    width: Math.max(1, Math.min(width - left - RIGHT, columns * LARGEST)),
    height: Math.max(1, Math.min(height - TOP - BOTTOM, rows * LARGEST)),
  };
}

/** The height of a canvas that shows so many rows well. */
export function heightFor(rows: number): number {
  return TOP + BOTTOM + Math.max(64, Math.min(560, rows * 28));
}

export function scaled(values: Float32Array, scale: Scale): Scaled {
  const position = toUnit(values, scale);
  let [least, most] = [0, 0];
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (value < least) least = value;
    else if (value > most) most = value;
  }
  const signed = least < 0;
  most = Math.max(most, -least);
  // Every scale ascends, so halving finds the value of a position.
  const valueAt = (wanted: number) => {
    let [low, high] = [0, most];
    for (let turn = 0; turn < 60; turn++) {
      const middle = turn < 30 && low > 0 ? Math.sqrt(low * high) : (low + high) / 2;
      if (position(middle) < Math.abs(wanted)) low = middle;
      else high = middle;
    }
    return Math.sign(wanted) * high;
  };
  return { position, valueAt, floor: scale === "log" ? logFloor(most) : 0, signed };
}

export interface View {
  heat: Heat;
  scaled: Scaled;
  camera: Camera;
  /** What is chosen, and what was searched for. */
  marks: Marks;
  found: Marks;
  width: number;
  height: number;
  /** Pixels of the screen for one of the style sheet. */
  ratio: number;
}

export function drawHeat(pen: Pen, palette: Palette, view: View): void {
  const { heat, camera, width, height } = view;
  const frame = frameOf(width, height, heat.rows.length, heat.columns.length);
  drawCells(pen, palette, view, frame);
  drawMasked(pen, palette, heat.columns, camera, frame);
  // Cells that are seen in part reach beyond the frame: the paper around it is drawn over them.
  const [right, bottom] = [frame.left + frame.width, frame.top + frame.height];
  pen.rect(0, 0, width, frame.top, palette.paper);
  pen.rect(0, bottom, width, height - bottom, palette.paper);
  pen.rect(0, 0, frame.left, height, palette.paper);
  pen.rect(right, 0, width - right, height, palette.paper);
  outline(pen, frame.left, frame.top, frame.width, frame.height, palette.line);
  drawRows(pen, palette, view, frame);
  drawColumns(pen, palette, view, frame);
  drawScale(pen, palette, view, frame);
}

function drawCells(pen: Pen, palette: Palette, { heat, scaled, camera, ratio }: View, frame: Frame): void {
  const { shown } = heat;
  const row0 = Math.floor(camera.y);
  const row1 = Math.min(shown.rows, Math.ceil(camera.y + camera.down - 1e-9));
  const column0 = Math.floor(camera.x);
  const column1 = Math.min(shown.columns, Math.ceil(camera.x + camera.across - 1e-9));
  const [cellWidth, cellHeight] = [frame.width / camera.across, frame.height / camera.down];
  const [wide, high] = [(column1 - column0) * cellWidth, (row1 - row0) * cellHeight];
  const most = (length: number) => Math.max(1, Math.floor(length * ratio));
  const [columns, rows] = [Math.min(column1 - column0, most(wide)), Math.min(row1 - row0, most(high))];
  // Where every cell has a pixel, the matrix is read as it is.
  const pooled = rows < row1 - row0 || columns < column1 - column0;
  const { values, columns: stride } = pooled ? poolMax(shown, rows, columns, { row0, row1, column0, column1 }) : shown;
  const table = pixelTable(palette);
  const nothing = table[place(0)]!;
  const pixels = new ImageData(columns, rows);
  const words = new Uint32Array(pixels.data.buffer);
  for (let row = 0, at = 0; row < rows; row++) {
    let from = pooled ? row * stride : (row0 + row) * stride + column0;
    for (const end = at + columns; at < end; at++, from++) {
      const value = values[from]!;
      words[at] = value === 0 ? nothing : table[place(scaled.position(value))]!;
    }
  }
  const x = frame.left + (column0 - camera.x) * cellWidth;
  pen.image(x, frame.top + (row0 - camera.y) * cellHeight, wide, high, pixels);
}

/** Masked columns are hatched: what is left out looks like nothing that was measured. */
function drawMasked(pen: Pen, palette: Palette, columns: readonly AxisItem[], camera: Camera, frame: Frame): void {
  const cell = frame.width / camera.across;
  let from = 0;
  while (from < columns.length) {
    let to = from + 1;
    if (!columns[from]?.masked) {
      from = to;
      continue;
    }
    while (columns[to]?.masked) to++;
    const left = Math.max(frame.left, frame.left + (from - camera.x) * cell);
    const right = Math.min(frame.left + frame.width, frame.left + (to - camera.x) * cell);
    if (right > left) hatch(pen, left, frame.top, Math.max(1, right - left), frame.height, palette);
    from = to;
  }
}

function hatch(pen: Pen, left: number, top: number, width: number, height: number, palette: Palette): void {
  pen.rect(left, top, width, height, palette.paper);
  for (let from = -height; from < width; from += 6) {
    const [start, end] = [Math.max(0, -from), Math.min(height, width - from)];
    pen.line(left + from + start, top + start, left + from + end, top + end, palette.quiet, 1, 0.5);
  }
}

function outline(pen: Pen, x: number, y: number, width: number, height: number, stroke: string): void {
  pen.line(x, y, x + width, y, stroke);
  pen.line(x, y + height, x + width, y + height, stroke);
  pen.line(x, y, x, y + height, stroke);
  pen.line(x + width, y, x + width, y + height, stroke);
}

/** The items that have room for a name: every one, or every second, third, ...; those that are marked always. */
function named(count: number, from: number, seen: number, cell: number, line: number, marked: readonly number[]): number[] {
  const every = Math.max(1, Math.ceil(line / cell));
  const inside = (at: number) => at >= 0 && at < count && at + 0.5 >= from && at + 0.5 <= from + seen;
  const kept: number[] = [];
  for (const at of marked) if (inside(at) && (kept.at(-1) ?? -Infinity) + every <= at) kept.push(at);
  const first = Math.ceil(Math.floor(from) / every) * every;
  const near = new Set(kept.flatMap((at) => Array.from({ length: 2 * every - 1 }, (_, by) => at - every + 1 + by)));
  for (let at = first; at <= from + seen; at += every) if (inside(at) && !near.has(at)) kept.push(at);
  return kept;
}

function drawRows(pen: Pen, palette: Palette, { heat, camera, marks, found }: View, frame: Frame): void {
  const cell = frame.height / camera.down;
  for (const row of found.rows) bar(row, palette.link);
  for (const row of marks.rows) bar(row, palette.warn);
  for (const row of named(heat.rows.length, camera.y, camera.down, cell, ROW_LINE, marks.rows)) {
    const y = frame.top + (row + 0.5 - camera.y) * cell;
    const bold = marks.rows.includes(row);
    const label = fitted(heat.rows[row]?.label ?? "", frame.left - 16, 12, bold);
    pen.text(frame.left - 8, y, label, { fill: bold ? palette.ink : palette.quiet, align: "right", bold });
  }
  function bar(at: number, fill: string): void {
    const y = Math.max(frame.top, frame.top + (at - camera.y) * cell);
    const end = Math.min(frame.top + frame.height, frame.top + (at + 1 - camera.y) * cell);
    if (end > y) pen.rect(frame.left - 4, y, 4, Math.max(1, end - y), fill);
  }
}

function drawColumns(pen: Pen, palette: Palette, { heat, camera, marks, found }: View, frame: Frame): void {
  const cell = frame.width / camera.across;
  for (const column of found.columns) bar(column, palette.link);
  for (const column of marks.columns) bar(column, palette.warn);
  for (const column of named(heat.columns.length, camera.x, camera.across, cell, COLUMN_LINE, marks.columns)) {
    const x = frame.left + (column + 0.5 - camera.x) * cell;
    const item = heat.columns[column];
    const bold = marks.columns.includes(column);
    // The names lean to the left, over the names of rows, where there is room.
    const room = Math.min((TOP - 14) / Math.sin((SLANT * Math.PI) / 180), x / Math.cos((SLANT * Math.PI) / 180));
    const label = fitted(item?.label ?? "", room, 12, bold);
    const fill = bold ? palette.ink : palette.quiet;
    pen.text(x, frame.top - 8, label, { fill, align: "right", angle: SLANT, bold });
  }
  function bar(at: number, fill: string): void {
    const x = Math.max(frame.left, frame.left + (at - camera.x) * cell);
    const end = Math.min(frame.left + frame.width, frame.left + (at + 1 - camera.x) * cell);
    if (end > x) pen.rect(x, frame.top - 4, Math.max(1, end - x), 4, fill);
  }
}

const STOPS = 5;
const LEGEND = 320;

/** The colours with the values that they stand for. */
function drawScale(pen: Pen, palette: Palette, { heat, scaled, width }: View, frame: Frame): void {
  const { signed, valueAt, floor } = scaled;
  const long = Math.min(LEGEND, width - frame.left - 60);
  if (long < 80) return;
  const [left, top] = [frame.left, frame.top + frame.height + 14];
  const from = signed ? -1 : 0;
  const pieces = 64;
  for (let at = 0; at < pieces; at++) {
    const position = from + ((at + 0.5) / pieces) * (1 - from);
    const x = left + (at * long) / pieces;
    pen.rect(x, top, long / pieces + 0.5, 10, css(shade(palette, position)));
  }
  outline(pen, left, top, long, 10, palette.line);
  for (let stop = 0; stop < STOPS; stop++) {
    const position = from + (stop / (STOPS - 1)) * (1 - from);
    const x = left + (stop * long) / (STOPS - 1);
    pen.line(x, top + 10, x, top + 14, palette.quiet);
    const value = position === 0 ? `${floor > 0 ? "≤ " : ""}${quantity(floor)}` : quantity(valueAt(position));
    pen.text(x, top + 22, value, { fill: palette.quiet, size: 11, align: "center" });
  }
  pen.text(left + long + 26, top + 5, fitted(heat.shownUnit, width - left - long - 30, 12), { fill: palette.quiet });
}

/** The lines through the cell that is looked at, and its outline. */
export function drawCross(pen: Pen, palette: Palette, view: View, row: number, column: number): void {
  const { heat, camera, width, height } = view;
  const frame = frameOf(width, height, heat.rows.length, heat.columns.length);
  const [cellWidth, cellHeight] = [frame.width / camera.across, frame.height / camera.down];
  const x = frame.left + (column - camera.x) * cellWidth;
  const y = frame.top + (row - camera.y) * cellHeight;
  const [middleX, middleY] = [x + cellWidth / 2, y + cellHeight / 2];
  if (middleX < frame.left || middleX > frame.left + frame.width) return;
  if (middleY < frame.top || middleY > frame.top + frame.height) return;
  pen.line(frame.left, middleY, x, middleY, palette.ink, 1, 0.6);
  pen.line(x + cellWidth, middleY, frame.left + frame.width, middleY, palette.ink, 1, 0.6);
  pen.line(middleX, frame.top, middleX, y, palette.ink, 1, 0.6);
  pen.line(middleX, y + cellHeight, middleX, frame.top + frame.height, palette.ink, 1, 0.6);
  outline(pen, x - 1, y - 1, cellWidth + 2, cellHeight + 2, palette.ink);
  tag(heat.rows[row]?.label ?? "", frame.left - 8, middleY, frame.left - 16);
  tag(heat.columns[column]?.label ?? "", middleX + 80, frame.top - 14, Math.min(320, width - 16));

  function tag(text: string, right: number, middle: number, room: number): void {
    const label = fitted(text, room - 8, 12, true);
    const long = measure(label, 12, true) + 8;
    const left = Math.max(2, Math.min(right - long, width - long - 2));
    pen.rect(left, middle - 10, long, 20, palette.paper);
    outline(pen, left, middle - 10, long, 20, palette.quiet);
    pen.text(left + 4, middle, label, { fill: palette.ink, bold: true });
  }
}
