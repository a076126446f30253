// Pictures smaller than their matrix: each cell shows the greatest value that falls into it, never an average, so
// that no peak disappears. Value (r, c) of n x m falls into cell (r * rows / n, c * columns / m), rounded down.

import type { HeadWeights } from "./attention.js";
import type { Matrix } from "./model.js";

/** Rows [row0, row1) and columns [column0, column1). */
export interface Window {
  row0: number;
  row1: number;
  column0: number;
  column1: number;
}

/** Codes of a head that was pooled; `levels` of the head says what they stand for. */
export interface Codes {
  rows: number;
  columns: number;
  codes: Uint8Array | Uint16Array;
}

/** At most rows x columns cells of a matrix, or of a part of it: the greatest magnitude in each, its sign kept. */
export function poolMax(matrix: Matrix, rows: number, columns: number, window: Window = all(matrix)): Matrix {
  const shape = within(window, rows, columns);
  const values = new Float32Array(shape.rows * shape.columns);
  each(window, shape, matrix.columns, (from, to) => {
    const value = matrix.values[from]!;
    if (Math.abs(value) > Math.abs(values[to]!)) values[to] = value;
  });
  return { ...shape, values };
}

/** The same of a head's codes, which ascend with its weights: nothing need be decoded. */
export function poolCodes(
  { queries, keys, codes: given }: HeadWeights,
  rows: number,
  columns: number,
  window: Window = all({ rows: queries, columns: keys }),
): Codes {
  const shape = within(window, rows, columns);
  const codes = given instanceof Uint16Array ? new Uint16Array(shape.rows * shape.columns) : new Uint8Array(shape.rows * shape.columns);
  each(window, shape, keys, (from, to) => {
    if (given[from]! > codes[to]!) codes[to] = given[from]!;
  });
  return { ...shape, codes };
}

function all({ rows, columns }: { rows: number; columns: number }): Window {
  return { row0: 0, row1: rows, column0: 0, column1: columns };
}

function within({ row0, row1, column0, column1 }: Window, rows: number, columns: number) {
  return { rows: Math.min(rows, row1 - row0), columns: Math.min(columns, column1 - column0) };
}

/** Tell for each value of the window where it stands, and the cell into which it falls. */
function each(
  { row0, row1, column0, column1 }: Window,
  shape: { rows: number; columns: number },
  stride: number,
  tell: (from: number, to: number) => void,
): void {
  const width = column1 - column0;
  const cell = Uint32Array.from({ length: width }, (_, at) => Math.floor((at * shape.columns) / width));
  for (let row = row0; row < row1; row++) {
    const start = Math.floor(((row - row0) * shape.rows) / (row1 - row0)) * shape.columns;
    const from = row * stride + column0;
    for (let at = 0; at < width; at++) tell(from + at, start + cell[at]!);
  }
}
