// The lines of the picture: which query looks at which key, by which head, and how much.

import type { HeadWeights } from "../../core/attention.js";
import type { AxisItem } from "../../core/axis.js";
import { strongest } from "./strongest.js";

/** More lines than these cannot be told apart, and take longer than a frame. */
export const MOST_LINES = 5000;

/** A line. `row`, `column`: indices of the query and the key as they are shown. */
export interface Link {
  head: number;
  row: number;
  column: number;
  value: number;
}

/** What is drawn, the strongest first; and of all that could be, how many lines there are, and their sum. */
export interface Links {
  links: readonly Link[];
  count: number;
  sum: number;
}

/** A token, or a word, of one of the two columns. */
export interface Place {
  side: "query" | "key";
  index: number;
}

/** How queries and keys are shown. */
export interface Axes {
  rows: readonly AxisItem[];
  columns: readonly AxisItem[];
  /** Divide what a query gives to the keys that are shown by its sum. */
  renormalised: boolean;
}

/** The strongest lines of one head, as cells of queries x keys. A query has 1 to give. */
export interface HeadLinks {
  head: number;
  cells: Uint32Array;
  values: Float32Array;
  count: number;
  sum: number;
  /** What masked keys took, summed over the queries, before anything is divided. */
  masked: number;
  /** What each query gives to the keys that are shown, before anything is divided. */
  shown: Float64Array;
}

export function linksOfHead(head: number, weights: HeadWeights, axes: Axes): HeadLinks {
  const { values, masked, shown } = gather(weights, axes.rows, axes.columns, null);
  const columns = axes.columns.length;
  if (axes.renormalised) divide(values, columns, shown);
  const { cells, count, sum } = strongest(values, MOST_LINES);
  return { head, cells, values: Float32Array.from(cells, (cell) => values[cell]!), count, sum, masked, shown };
}

/** The lines of one token by a head, whether or not they are among its strongest. `own`: what the head has. */
export function linksOfPlace({ side, index }: Place, own: HeadLinks, weights: HeadWeights, axes: Axes): HeadLinks {
  const ofQuery = side === "query";
  const rows = ofQuery ? axes.rows.slice(index, index + 1) : axes.rows;
  const columns = ofQuery ? axes.columns : axes.columns.slice(index, index + 1);
  const { values } = gather(weights, rows, columns, ofQuery ? null : (columns[0]?.members ?? []));
  if (axes.renormalised) divide(values, columns.length, ofQuery ? own.shown.subarray(index) : own.shown);
  const { cells, count, sum } = strongest(values, MOST_LINES);
  const width = axes.columns.length;
  return {
    ...own,
    cells: cells.map((cell) => (ofQuery ? index * width + cell : cell * width + index)),
    values: Float32Array.from(cells, (cell) => values[cell]!),
    count,
    sum,
  };
}

/** The strongest lines of several heads, over keys of this number. */
export function together(heads: readonly HeadLinks[], columns: number): Links {
  const all = new Float32Array(heads.reduce((length, { cells }) => length + cells.length, 0));
  const starts: number[] = [];
  let count = 0;
  let sum = 0;
  let end = 0;
  for (const head of heads) {
    starts.push(end);
    all.set(head.values, end);
    end += head.values.length;
    count += head.count;
    sum += head.sum;
  }
  let from = 0;
  const links = Array.from(strongest(all, MOST_LINES).cells, (at): Link => {
    while (from + 1 < starts.length && at >= starts[from + 1]!) from++;
    const { head, cells } = heads[from]!;
    const cell = cells[at - starts[from]!]!;
    const row = Math.floor(cell / columns);
    return { head, row, column: cell - row * columns, value: all[at]! };
  });
  return { links: links.sort((one, other) => other.value - one.value), count, sum };
}

/** The sum of the lines that are drawn. */
export function drawnSum({ links }: Links): number {
  return links.reduce((sum, { value }) => sum + value, 0);
}

/**
 * What `regroup` of the core makes of a matrix, made of codes at one go, for there are millions of them: for each
 * query and each key that is not masked the sum over the key's tokens, as a mean over the query's.
 * `read`: the tokens of the keys that are looked at; null for all.
 */
function gather(
  { keys, codes, levels }: HeadWeights,
  rows: readonly AxisItem[],
  columns: readonly AxisItem[],
  read: readonly number[] | null,
): { values: Float32Array; masked: number; shown: Float64Array } {
  const width = columns.length;
  const column = new Int32Array(keys).fill(width); // what is masked goes to the end
  columns.forEach((item, at) => {
    if (!item.masked) for (const member of item.members) column[member] = at;
  });
  const values = new Float32Array(rows.length * width);
  const shown = new Float64Array(rows.length);
  const sums = new Float64Array(width + 1);
  let masked = 0;
  rows.forEach(({ members }, row) => {
    sums.fill(0);
    for (const member of members) {
      const start = member * keys;
      if (read !== null) for (const key of read) sums[column[key]!]! += levels[codes[start + key]!]!;
      else {
        for (let key = 0; key < keys; key++) {
          const code = codes[start + key]!;
          if (code !== 0) sums[column[key]!]! += levels[code]!;
        }
      }
    }
    for (let at = 0; at < width; at++) {
      const value = sums[at]! / members.length;
      values[row * width + at] = value;
      shown[row]! += value;
    }
    masked += sums[width]! / members.length;
  });
  return { values, masked, shown };
}

/** Divide each row by its number; a row of nothing stays so. */
function divide(values: Float32Array, columns: number, by: Float64Array): void {
  for (let at = 0; at < values.length; at++) values[at]! /= by[Math.floor(at / columns)] || 1;
}
