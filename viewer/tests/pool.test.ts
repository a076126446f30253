import { expect, test } from "vitest";
import { poolMax } from "../src/core/pool.js";

const MATRIX = { rows: 3, columns: 5, values: Float32Array.of(0, 1, -2, 3, 0, 0, 0, 0, 0, 0, 0.5, 0, 0, 0, -9) };
const ALL = { row0: 0, row1: 3, column0: 0, column1: 5 };

test("the greatest magnitude of each cell, its sign kept", () => {
  expect(poolMax(MATRIX, 2, 2, ALL)).toEqual({ rows: 2, columns: 2, values: Float32Array.of(-2, 3, 0.5, -9) });
});

test("a picture larger than its matrix is the matrix", () => expect(poolMax(MATRIX, 99, 99, ALL)).toEqual(MATRIX));

test("a part of the matrix", () => {
  const part = { row0: 0, row1: 2, column0: 1, column1: 4 };
  expect([...poolMax(MATRIX, 1, 3, part).values]).toEqual([1, -2, 3]);
});
