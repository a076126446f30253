import { describe, expect, it } from "vitest";
import { countsOf, rankInto, type Ranked, strongest } from "../../src/views/heads/strongest.js";

const found = (lists: Ranked["ranks"][], limit: number) => strongest(lists.map((ranks) => ({ ranks, counts: countsOf(ranks) })), limit);

/** Whole numbers below `levels` that are the same each time, many of them equal, and some nothing. */
function numbers(size: number, levels: number): number[] {
  let seed = 1;
  return Array.from({ length: size }, () => {
    seed = (seed * 48271) % 2147483647;
    return Math.floor((seed / 2147483647) * levels);
  });
}

describe("the strongest cells", () => {
  it.each([
    [1000, 256, 100, Uint8Array],
    [1000, 7, 100, Uint8Array],
    [50, 256, 100, Uint8Array],
    [1000, 1 << 15, 100, Uint16Array],
    [5000, 255, 4999, Uint16Array],
    [50, 1 << 16, 100, Uint16Array],
  ])("are those that sorting finds: %i of %i ranks, %i wanted", (size, levels, limit, Kind) => {
    const all = Kind.from(numbers(size, levels));
    const sorted = [...all].filter((rank) => rank > 0).sort((one, other) => other - one);
    const { cells: [cells = []], count } = found([all], limit);
    expect(count).toBe(sorted.length);
    expect(cells.map((cell) => all[cell]!).sort((one, other) => other - one)).toEqual(sorted.slice(0, limit));
    expect(new Set(cells).size).toBe(Math.min(limit, sorted.length));
    // The same in several lists.
    const third = Math.ceil(size / 3);
    const parts = found([0, third, 2 * third].map((start) => all.slice(start, start + third)), limit);
    expect(parts.count).toBe(count);
    expect(parts.cells.flatMap((own, which) => own.map((cell) => which * third + cell))).toEqual(cells);
  });

  it("lie evenly among those that are equal", () => {
    const { cells, count } = found([new Uint8Array(100).fill(5)], 10);
    expect(count).toBe(100);
    expect(cells).toEqual([[9, 19, 29, 39, 49, 59, 69, 79, 89, 99]]);
  });

  it("are none where there is nothing", () => {
    expect(found([new Uint8Array(9)], 5)).toEqual({ cells: [[]], count: 0 });
    expect(found([], 5)).toEqual({ cells: [], count: 0 });
  });

  it("are told apart as float16 does", () => {
    const weights = [0, 1e-30, 2 ** -31, 2 ** -24, 6e-5, 0.1, 0.1 * (1 + 2 ** -10), 0.5, 1 - 2 ** -11, 1, 1.0000001];
    const into = new Uint16Array(weights.length);
    rankInto(into, 0, new Uint32Array(Float32Array.from(weights).buffer));
    const ranks = [...into];
    expect(ranks.slice(0, 3)).toEqual([0, 1, 1]);
    expect(ranks.slice(2)).toEqual([...new Set(ranks.slice(2, -1)), ranks.at(-1)].sort((one, other) => one! - other!));
    expect(ranks.at(-1)).toBe(31 << 11);
  });
});
