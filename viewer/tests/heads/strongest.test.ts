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
  ])("are those that sorting finds: %i values of %i levels, %i wanted", (count, levels, limit) => {
    const values = weights(count, levels);
    const sorted = values.filter((value) => value > 0).sort((one, other) => other - one);
    const found = strongest(values, limit);
    expect(found.count).toBe(sorted.length);
    expect(found.sum).toBeCloseTo(sorted.reduce((sum, value) => sum + value, 0), 3);
    expect(Array.from(found.cells, (cell) => values[cell]).sort()).toEqual([...sorted.slice(0, limit)].sort());
    expect(new Set(found.cells).size).toBe(Math.min(limit, sorted.length));
  });

  it("lie evenly among those that are equal", () => {
    const { cells, count } = strongest(new Float32Array(100).fill(0.5), 10);
    expect(count).toBe(100);
    expect(Array.from(cells)).toEqual([9, 19, 29, 39, 49, 59, 69, 79, 89, 99]);
  });

  it("are none where there is nothing", () => {
    expect(strongest(new Float32Array(9), 5)).toEqual({ cells: new Uint32Array(0), count: 0, sum: 0 });
    expect(strongest(new Float32Array(0), 5).count).toBe(0);
  });
});
