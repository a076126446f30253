// The picture: cells, names of rows and columns, and the scale, drawn with any pen.

import { fitted } from "../../canvas/label.js";
import { type Palette, pixels } from "../../canvas/palette.js";
import type { Pen } from "../../canvas/pen.js";
import type { Matrix } from "../../core/model.js";
import { poolMax } from "../../core/pool.js";
import { greatest, quantity, type Scale, toUnit } from "../../core/scale.js";
import type { Heat } from "./heat.js";
import { type Both, clamp, isSeen, type Layout, pixelOf, type Side } from "./layout.js";
import type { Marks } from "./marks.js";

/** How values become positions on the scale, from -1 to 1. */
export interface Shades {
  position: (value: number) => number;
  scale: Scale;
  most: number;
  /** The least position: 0 where no value is below it. */
  from: number;
}

export function shadesOf(values: Float32Array, scale: Scale): Shades {
  return { position: toUnit(values, scale), scale, most: greatest(values), from: values.some((value) => value < 0) ? -1 : 0 };
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
  const { heat, shades, rows, columns, width, height } = view;
  const [left, top] = [columns.start, rows.start];
  const [right, bottom] = [left + columns.length, top + rows.length];
  const pixel = pixels(palette);
  const image = (x: number, y: number, long: number, high: number, cells: Matrix, position: (value: number) => number) => {
    const data = new ImageData(cells.columns, cells.rows);
    const words = new Uint32Array(data.data.buffer);
    cells.values.forEach((value, at) => (words[at] = pixel(position(value))));
    pen.image(x, y, long, high, data);
  };
  const [down, across] = [cut(rows), cut(columns)];
  const window = { row0: down.first, row1: down.last, column0: across.first, column1: across.last };
  const cells = poolMax(heat.shown, Math.ceil(down.length * ratio), Math.ceil(across.length * ratio), window);
  image(across.start, down.start, across.length, down.length, cells, shades.position);
  columns.items.forEach(({ masked }, at) => masked && drawBar(pen, view, "columns", at, top, rows.length, palette.line));
  // Cells that are seen in part reach beyond the frame: it, and the paper around it, are drawn over them.
  for (const [edge, colour] of [[0, palette.line], [1, palette.paper]] as const) {
    pen.rect(0, 0, width, top - edge, colour);
    pen.rect(0, bottom + edge, width, height - bottom - edge, colour);
    pen.rect(0, 0, left - edge, height, colour);
    pen.rect(right + edge, 0, width - right - edge, height, colour);
  }
  drawNames(pen, palette, view, "rows");
  drawNames(pen, palette, view, "columns");

  // The colours, with the values that they stand for.
  const long = clamp(width - left - 60, 60, 320);
  const below = bottom + 14;
  const { from } = shades;
  const values = Float32Array.from({ length: 64 }, (_, step) => from + (step / 63) * (1 - from));
  pen.rect(left - 1, below - 1, long + 2, 12, palette.line);
  image(left, below, long, 10, { rows: 1, columns: 64, values }, (position) => position);
  for (let part = 0; part <= 1; part += 0.25) {
    const value = valueAt(shades, from + part * (1 - from));
    pen.text(left + part * long, below + 22, value, { fill: palette.quiet, size: 11, align: "center" });
  }
  pen.text(left + long + 26, below + 5, fitted(heat.unit, width - left - long - 30), { fill: palette.quiet });
}

/** The items that are seen, even if in part, and their place. */
function cut(side: Side) {
  const first = Math.floor(side.from);
  const last = Math.min(side.items.length, Math.ceil(side.from + side.seen - 1e-9));
  const start = pixelOf(side, first);
  return { first, last, start, length: pixelOf(side, last) - start };
}

/** A bar along what is seen of a row or a column. */
function drawBar(pen: Pen, view: View, which: keyof Both<Side>, at: number, y: number, thick: number, colour: string): void {
  const side = view[which];
  const edge = (index: number) => clamp(pixelOf(side, index), side.start, side.start + side.length);
  const from = edge(at);
  const long = edge(at + 1) - from;
  if (long <= 0) return;
  if (which === "columns") pen.rect(from, y, Math.max(1, long), thick, colour);
  else pen.rect(y, from, thick, Math.max(1, long), colour);
}

/** Names of those that have room: every one, or every second, third, ...; those that are chosen first. */
function drawNames(pen: Pen, palette: Palette, view: View, which: keyof Both<Side>): void {
  const side = view[which];
  const across = which === "columns";
  const beside = (across ? view.rows : view.columns).start;
  const marks = view.marks[which];
  for (const at of view.found[which]) drawBar(pen, view, which, at, beside - 4, 4, palette.link);
  for (const at of marks) drawBar(pen, view, which, at, beside - 4, 4, palette.warn);
  const every = Math.max(1, Math.ceil((NAME[which] * side.seen) / side.length));
  const named: number[] = [];
  const name = (at: number) => {
    const item = side.items[at];
    if (item === undefined || !isSeen(side, at + 0.5) || named.some((other) => Math.abs(other - at) < every)) return;
    named.push(at);
    const middle = pixelOf(side, at + 0.5);
    const bold = marks.includes(at);
    const [x, y] = across ? [middle, beside - 8] : [beside - 8, middle];
    // The names of columns lean to the left, over those of rows, where there is room.
    const text = fitted(item.label, across ? Math.min(107, 1.55 * middle) : beside - 16, 12, bold);
    const fill = bold ? palette.ink : palette.quiet;
    pen.text(x, y, text, { fill, bold, align: "right", angle: across ? SLANT : 0 });
  };
  marks.forEach(name);
  for (let at = Math.floor(side.from / every) * every; at < side.from + side.seen; at += every) name(at);
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
