import { describe, expect, it } from "vitest";
import type { HeadWeights } from "../../src/core/attention.js";
import { type AxisItem, regroup } from "../../src/core/axis.js";
import { drawnSum, linksOfHead, linksOfPlace, MOST_LINES, together } from "../../src/views/heads/links.js";

const LEVELS = Float32Array.from({ length: 256 }, (_, code) => code / 1024);

function item(members: number[], masked = false): AxisItem {
  return { label: "", members, part: "source", source: "s1", start: 0, end: 0, masked };
}

function weights(queries: number, keys: number, code: (query: number, key: number) => number): HeadWeights {
  const codes = Uint8Array.from({ length: queries * keys }, (_, at) => code(Math.floor(at / keys), at % keys));
  return { queries, keys, codes, levels: LEVELS };
}

const given = weights(3, 4, (query, key) => (key > query ? 0 : 10 * query + key + 1));
const rows = [item([0]), item([1, 2])];
const columns = [item([0], true), item([1, 2]), item([3])];

describe("the lines of a head", () => {
  it("are the cells of the regrouped matrix, without what is masked", () => {
    const values = Float32Array.from(given.codes, (code) => LEVELS[code]!);
    const matrix = regroup({ rows: 3, columns: 4, values }, rows, columns);
    const found = linksOfHead(5, given, { rows, columns, renormalised: false });
    const { links } = together([found], columns.length);
    expect(links).toEqual([{ head: 5, row: 1, column: 1, value: matrix.values[4] }]);
    expect(found.count).toBe(1);
    expect(found.masked).toBeCloseTo(matrix.values[0]! + matrix.values[3]!, 9);
  });

  it("add up to 1 for each query that gives anything, renormalised", () => {
    const all = [item([0]), item([1]), item([2])];
    const found = linksOfHead(0, given, { rows: all, columns, renormalised: true });
    const { links } = together([found], columns.length);
    expect(links.map(({ row }) => row).sort()).toEqual([1, 2]);
    for (const { value } of links) expect(value).toBeCloseTo(1, 6);
  });

  it("of one token are all that it has, though others are stronger", () => {
    const wide = weights(200, 200, (query, key) => (query === 7 && key > 0 ? 1 : 200));
    const axis = Array.from({ length: 200 }, (_, at) => item([at]));
    const axes = { rows: axis, columns: axis, renormalised: false };
    const own = linksOfHead(0, wide, axes);
    const drawn = together([own], 200);
    expect(drawn.links).toHaveLength(MOST_LINES);
    expect(drawn.count).toBe(40_000);
    expect(drawn.sum - drawnSum(drawn)).toBeCloseTo((200 * (40_000 - 199 - MOST_LINES) + 199) / 1024, 2);
    const ofQuery = together([linksOfPlace({ side: "query", index: 7 }, own, wide, axes)], 200);
    expect(ofQuery.links).toHaveLength(200);
    expect(ofQuery.links[0]).toEqual({ head: 0, row: 7, column: 0, value: LEVELS[200] });
    const ofKey = together([linksOfPlace({ side: "key", index: 3 }, own, wide, axes)], 200);
    expect(ofKey.links.at(-1)).toEqual({ head: 0, row: 7, column: 3, value: LEVELS[1] });
  });

  it("of several heads are the strongest of all", () => {
    const strong = linksOfHead(1, given, { rows, columns, renormalised: false });
    const weak = linksOfHead(0, weights(3, 4, () => 1), { rows, columns, renormalised: false });
    const { links, count } = together([weak, strong], columns.length);
    expect(links[0]).toMatchObject({ head: 1, row: 1, column: 1 });
    expect(count).toBe(5);
    expect(links.map(({ value }) => value)).toEqual(links.map(({ value }) => value).sort((one, other) => other - one));
  });
});
