// Which part of a matrix is seen, and where: the same for its rows and its columns.

import type { AxisItem } from "../../core/axis.js";

/** The items that are seen: [from, from + seen). */
export interface Range {
  from: number;
  seen: number;
}

/** Rows or columns on the canvas: those that are seen take `length` pixels from `start` on. */
export interface Side extends Range {
  items: readonly AxisItem[];
  start: number;
  length: number;
}

export interface Layout {
  rows: Side;
  columns: Side;
  width: number;
  height: number;
}

const TOP = 96;
const BOTTOM = 52;
const RIGHT = 12;
/** Cells are drawn no larger: few cells need not fill a screen. */
const LARGEST = 64;

interface Items {
  rows: readonly AxisItem[];
  columns: readonly AxisItem[];
}

/** Where on a canvas of this size things stand; `down` and `across`: what is seen. */
export function layOut({ rows, columns }: Items, width: number, height: number, down: Range, across: Range): Layout {
  const left = Math.min(220, Math.round(width * 0.3));
  const fit = (room: number, items: readonly AxisItem[]) => Math.max(1, Math.min(room, items.length * LARGEST));
  return {
    rows: { ...down, items: rows, start: TOP, length: fit(height - TOP - BOTTOM, rows) },
    columns: { ...across, items: columns, start: left, length: fit(width - left - RIGHT, columns) },
    width,
    height,
  };
}

/** The height of a canvas that shows so many rows well. */
export function heightFor(rows: number): number {
  return TOP + BOTTOM + Math.max(64, Math.min(560, rows * 28));
}

/** The pixel where an item begins. */
export function pixelOf({ from, seen, start, length }: Side, index: number): number {
  return start + ((index - from) / seen) * length;
}

/** The item at a pixel, with its fraction. */
export function indexAt({ from, seen, start, length }: Side, pixel: number): number {
  return from + ((pixel - start) / length) * seen;
}

/** Whether the place of an item, with its fraction, is in sight. */
export function isSeen({ from, seen }: Range, index: number): boolean {
  return index >= from && index < from + seen;
}

/** Begun at another item, as far as there are some. */
export function moved({ items, seen }: Side, from: number): Range {
  return { seen, from: clamp(from, 0, items.length - seen) };
}

/** Nearer (factor above 1) or farther; what is at `index` stays where it is. */
export function zoomed(side: Side, factor: number, index: number): Range {
  const count = side.items.length;
  const seen = clamp(side.seen / factor, Math.min(count, side.length / LARGEST), count);
  const fixed = clamp(index, side.from, side.from + side.seen);
  return moved({ ...side, seen }, fixed - ((fixed - side.from) * seen) / side.seen);
}

export function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
