// Which part of a matrix is seen, and where: the same for its rows and its columns.

import type { AxisItem } from "../../core/axis.js";

/** Something of the rows, and the same of the columns. */
export interface Both<T> {
  rows: T;
  columns: T;
}

export function both<T>(make: (which: keyof Both<T>) => T): Both<T> {
  return { rows: make("rows"), columns: make("columns") };
}

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

export interface Layout extends Both<Side> {
  width: number;
  height: number;
}

const TOP = 96;
const BOTTOM = 52;
const RIGHT = 12;
/** Cells are drawn no larger: few cells need not fill a screen. */
const LARGEST = 64;

/** Where on a canvas of this width things stand, and how high it is; `camera`: what is seen. */
export function layOut(items: Both<readonly AxisItem[]>, width: number, camera: Both<Range>): Layout {
  const left = Math.min(220, Math.round(width * 0.3));
  const high = clamp(items.rows.length * 28, 64, 560);
  const side = (which: keyof Both<Side>, start: number, room: number): Side => ({
    ...camera[which],
    items: items[which],
    start,
    length: clamp(room, 1, items[which].length * LARGEST),
  });
  return {
    rows: side("rows", TOP, high),
    columns: side("columns", left, width - left - RIGHT),
    width,
    height: TOP + high + BOTTOM,
  };
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
  const { from, items, length } = side;
  const seen = clamp(side.seen / factor, Math.min(items.length, length / LARGEST), items.length);
  const fixed = clamp(index, from, from + side.seen);
  return moved({ ...side, seen }, fixed - ((fixed - from) * seen) / side.seen);
}

export function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(most, value));
}
