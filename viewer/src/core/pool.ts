// Pictures smaller than their matrix: each cell shows the greatest value that falls into it, never an average, so
// that no peak disappears. Value (r, c) of n x m falls into cell (r * rows / n, c * columns / m), rounded down.

import type { Matrix } from "./model.js";

/** Rows [row0, row1) and columns [column0, column1). */
export interface Window {
  row0: number;
  row1: number;
  column0: number;
  column1: number;
}

/** At most rows x columns cells of a matrix, or of a part of it: the greatest magnitude in each, its sign kept. */
export function poolMax(
  matrix: Matrix,
  rows: number,
  columns: number,
  { row0, row1, column0, column1 }: Window,
): Matrix {
  const [height, width] = [row1 - row0, column1 - column0];
  const shape = { rows: Math.min(rows, height), columns: Math.min(columns, width) };
  const values = new Float32Array(shape.rows * shape.columns);
  const cell = Uint32Array.from({ length: width }, (_, at) => Math.floor((at * shape.columns) / width));
  for (let row = 0; row < height; row++) {
    const into = Math.floor((row * shape.rows) / height) * shape.columns;
    const from = (row0 + row) * matrix.columns + column0;
    for (let at = 0; at < width; at++) {
      const value = matrix.values[from + at]!;
      const to = into + cell[at]!;
      if (Math.abs(value) > Math.abs(values[to]!)) values[to] = value;
    }
  }
  return { ...shape, values };
}
