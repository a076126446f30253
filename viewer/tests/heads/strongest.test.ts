import { describe, expect, it } from "vitest";
import { strongest } from "../../src/views/heads/strongest.js";

/** Numbers from 0 to 1 that are the same each time, many of them equal, and some nothing. */
function weights(count: number, levels: number): Float32Array {
  let seed = 1;
  return Float32Array.from({ length: count }, () => {
    seed = (seed * 48271) % 2147483647;
    return Math.floor((seed / 2147483647) * levels) / levels;
  });
}

describe("the strongest cells", () => {
  it.each([
    [1000, 1e6, 100],
    [1000, 7, 100],
    [5000, 255, 4999],
    [50, 1e6, 100],
  ])("are those that sorting finds: %i values of %i levels, %i wanted", (size, levels, limit) => {
    const values = weights(size, levels);
    const sorted = values.filter((value) => value > 0).sort((one, other) => other - one);
    const { cells: [cells = []], count } = strongest([values], limit);
    expect(count).toBe(sorted.length);
    expect(cells.map((cell) => values[cell]).sort()).toEqual([...sorted.slice(0, limit)].sort());
    expect(new Set(cells).size).toBe(Math.min(limit, sorted.length));
    // The same values in several lists.
    const third = Math.ceil(values.length / 3);
    const lists = [0, third, 2 * third].map((start) => values.slice(start, start + third));
    const found = strongest(lists, limit);
    expect(found.count).toBe(count);
    expect(found.cells.flatMap((own, which) => own.map((cell) => which * third + cell))).toEqual(cells);
  });

  it("lie evenly among those that are equal", () => {
    const { cells, count } = strongest([new Float32Array(100).fill(0.5)], 10);
    expect(count).toBe(100);
    expect(cells).toEqual([[9, 19, 29, 39, 49, 59, 69, 79, 89, 99]]);
  });

  it("are none where there is nothing", () => {
    expect(strongest([new Float32Array(9)], 5)).toEqual({ cells: [[]], count: 0 });
    expect(strongest([], 5)).toEqual({ cells: [], count: 0 });
  });
});
