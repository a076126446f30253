// The picture: cells, names of rows and columns, and the scale, drawn with any pen.

import { fitted } from "../../canvas/label.js";
import { type Palette, pixelTable, toPixel } from "../../canvas/palette.js";
import type { Pen } from "../../canvas/pen.js";
import type { Matrix } from "../../core/model.js";
import { poolMax } from "../../core/pool.js";
import { greatest, quantity, type Scale, toUnit } from "../../core/scale.js";
import type { Heat } from "./heat.js";
import { clamp, isSeen, type Layout, pixelOf, type Side } from "./layout.js";
import type { Marks } from "./marks.js";

/** How values become positions on the scale, from -1 to 1. */
export interface Shades {
  position: (value: number) => number;
  scale: Scale;
  most: number;
}

export function shadesOf(values: Float32Array, scale: Scale): Shades {
  return { position: toUnit(values, scale), scale, most: greatest(values) };
}

export interface View extends Layout {
  heat: Heat;
  shades: Shades;
  /** What is chosen, and what was searched for. */
  marks: Marks;
  found: Marks;
}

/** The room of a name, in pixels. */
const NAME = { rows: 15, columns: 19 };
const SLANT = 50;

/** `ratio`: pixels of the screen for one of the style sheet. */
export function drawHeat(pen: Pen, palette: Palette, view: View, ratio: number): void {
  const { rows, columns, width, height } = view;
  const table = pixelTable(palette);
  drawCells(pen, view, table, ratio);
  const [left, top, right, bottom] = [columns.start, rows.start, columns.start + columns.length, rows.start + rows.length];
  const { first, last } = cut(columns);
  for (let at = first; at < last; at++) {
    if (!columns.items[at]?.masked) continue;
    pen.rect(pixelOf(columns, at), top, Math.max(1, columns.length / columns.seen), bottom - top, palette.line);
  }
  // Cells that are seen in part reach beyond the frame: the paper around it is drawn over them.
  pen.rect(0, 0, width, top, palette.paper);
  pen.rect(0, bottom, width, height - bottom, palette.paper);
  pen.rect(0, 0, left, height, palette.paper);
  pen.rect(right, 0, width - right, height, palette.paper);
  outline(pen, left, top, right - left, bottom - top, palette.line);
  drawNames(pen, palette, view, "rows");
  drawNames(pen, palette, view, "columns");
  drawScale(pen, palette, view, table, bottom + 14);
}

function drawCells(pen: Pen, { heat, shades, rows, columns }: View, table: Uint32Array, ratio: number): void {
  const [down, across] = [cut(rows), cut(columns)];
  const window = { row0: down.first, row1: down.last, column0: across.first, column1: across.last };
  const pooled = poolMax(heat.shown, Math.ceil(down.length * ratio), Math.ceil(across.length * ratio), window);
  pen.image(across.start, down.start, across.length, down.length, pixelsOf(pooled, shades.position, table));
}

/** The items that are seen, even if in part, and their place. */
function cut(side: Side) {
  const first = Math.floor(side.from);
  const last = Math.min(side.items.length, Math.ceil(side.from + side.seen - 1e-9));
  const start = pixelOf(side, first);
  return { first, last, start, length: pixelOf(side, last) - start };
}

/** Pixels for values; a value that is 0 has no colour, and there are many. */
function pixelsOf({ rows, columns, values }: Matrix, position: (value: number) => number, table: Uint32Array): ImageData {
  const pixels = new ImageData(columns, rows);
  const words = new Uint32Array(pixels.data.buffer).fill(table[toPixel(0)]!);
  for (let at = 0; at < words.length; at++) if (values[at] !== 0) words[at] = table[toPixel(position(values[at]!))]!;
  return pixels;
}

function outline(pen: Pen, x: number, y: number, width: number, height: number, colour: string): void {
  for (const at of [y, y + height]) pen.line(x, at, x + width, at, colour);
  for (const at of [x, x + width]) pen.line(at, y, at, y + height, colour);
}

/** Names of those that have room: every one, or every second, third, ...; those that are chosen first. */
function drawNames(pen: Pen, palette: Palette, { found, marks, ...layout }: View, which: "rows" | "columns"): void {
  const side = layout[which];
  const across = which === "columns";
  const beside = (across ? layout.rows : layout.columns).start;
  const cell = side.length / side.seen;
  const bar = (colour: string) => (at: number) => {
    const from = Math.max(side.start, pixelOf(side, at));
    const long = Math.min(side.start + side.length, pixelOf(side, at + 1)) - from;
    if (long <= 0) return;
    if (across) pen.rect(from, beside - 4, Math.max(1, long), 4, colour);
    else pen.rect(beside - 4, from, 4, Math.max(1, long), colour);
  };
  found[which].forEach(bar(palette.link));
  marks[which].forEach(bar(palette.warn));
  const every = Math.max(1, Math.ceil(NAME[which] / cell));
  const named: number[] = [];
  const name = (at: number) => {
    const item = side.items[at];
    if (item === undefined || !isSeen(side, at + 0.5) || named.some((other) => Math.abs(other - at) < every)) return;
    named.push(at);
    const middle = pixelOf(side, at + 0.5);
    const bold = marks[which].has(at);
    const style = { fill: bold ? palette.ink : palette.quiet, bold, align: "right" } as const;
    // The names of columns lean to the left, over those of rows, where there is room.
    if (across) pen.text(middle, beside - 8, fitted(item.label, Math.min(107, 1.55 * middle), 12, bold), { ...style, angle: SLANT });
    else pen.text(beside - 8, middle, fitted(item.label, beside - 16, 12, bold), style);
  };
  marks[which].forEach(name);
  for (let at = Math.floor(side.from / every) * every; at < side.from + side.seen; at += every) name(at);
}

const STOPS = 5;

/** The colours with the values that they stand for. */
function drawScale(pen: Pen, palette: Palette, { heat, shades, columns, width }: View, table: Uint32Array, top: number): void {
  const left = columns.start;
  const long = clamp(width - left - 60, 60, 320);
  const from = heat.signed ? -1 : 0;
  const at = (part: number) => from + part * (1 - from);
  const steps = Float32Array.from({ length: 64 }, (_, step) => at(step / 63));
  pen.image(left, top, long, 10, pixelsOf({ rows: 1, columns: 64, values: steps }, (value) => value, table));
  outline(pen, left, top, long, 10, palette.line);
  for (let stop = 0; stop < STOPS; stop++) {
    const x = left + (stop * long) / (STOPS - 1);
    pen.text(x, top + 22, valueAt(shades, at(stop / (STOPS - 1))), { fill: palette.quiet, size: 11, align: "center" });
  }
  pen.text(left + long + 26, top + 5, fitted(heat.unit, width - left - long - 30), { fill: palette.quiet });
}

/** The value of a position: every scale ascends, so halving finds it. */
function valueAt({ position, scale, most }: Shades, wanted: number): string {
  if (wanted === 0 && scale !== "log") return "0";
  let [low, high] = [0, most];
  for (let turn = 0; turn < 60; turn++) {
    const middle = (low + high) / 2;
    if (position(middle) < Math.max(Math.abs(wanted), 1e-9)) low = middle;
    else high = middle;
  }
  // What is smaller than where a logarithm begins has no colour.
  return wanted === 0 ? `≤ ${quantity(high)}` : quantity(Math.sign(wanted) * high);
}
