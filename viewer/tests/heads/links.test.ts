import { describe, expect, it } from "vitest";
import type { HeadWeights } from "../../src/core/attention.js";
import { regroup } from "../../src/core/axis.js";
import { type Item, linksOfHead, linksOfPlace, MOST_LINES, together, total } from "../../src/views/heads/links.js";

const LEVELS = Float32Array.from({ length: 256 }, (_, code) => code / 1024);

function item(members: number[], masked = false): Item {
  return { label: "", members, part: "source", source: "s1", start: 0, end: 0, masked, number: 0, short: "" };
}

function weights(queries: number, keys: number, code: (query: number, key: number) => number): HeadWeights {
  const codes = Uint8Array.from({ length: queries * keys }, (_, at) => code(Math.floor(at / keys), at % keys));
  return { queries, keys, codes, levels: LEVELS };
}

const given = weights(3, 4, (query, key) => (key > query ? 0 : 10 * query + key + 1));
const query = [item([0]), item([1, 2])];
const key = [item([0], true), item([1, 2]), item([3])];

describe("the lines of a head", () => {
  it("are the cells of the regrouped matrix, without what is masked", () => {
    const values = Float32Array.from(given.codes, (code) => LEVELS[code]!);
    const matrix = regroup({ rows: 3, columns: 4, values }, query, key);
    const found = linksOfHead(5, given, { query, key, renormalised: false });
    const { links } = together([found]);
    expect(links).toEqual([{ head: 5, query: 1, key: 1, weight: matrix.values[4] }]);
    expect(found.count).toBe(1);
    expect(found.masked).toBeCloseTo(matrix.values[0]! + matrix.values[3]!, 9);
  });

  it("add up to 1 for each query that gives anything, renormalised", () => {
    const all = [item([0]), item([1]), item([2])];
    const found = linksOfHead(0, given, { query: all, key, renormalised: true });
    const { links } = together([found]);
    expect(links.map(({ query }) => query).sort()).toEqual([1, 2]);
    for (const { weight } of links) expect(weight).toBeCloseTo(1, 6);
  });

  it("of one token are all that it has, though others are stronger", () => {
    const wide = weights(200, 200, (query, key) => (query === 7 && key > 0 ? 1 : 200));
    const axis = Array.from({ length: 200 }, (_, at) => item([at]));
    const axes = { query: axis, key: axis, renormalised: false };
    const own = linksOfHead(0, wide, axes);
    const drawn = together([own]);
    expect(drawn.links).toHaveLength(MOST_LINES);
    expect(drawn.count).toBe(40_000);
    expect(drawn.sum - total(drawn.links)).toBeCloseTo((200 * (40_000 - 199 - MOST_LINES) + 199) / 1024, 2);
    const ofQuery = together([linksOfPlace({ side: "query", index: 7 }, own, axes)]);
    expect(ofQuery.links).toHaveLength(200);
    expect(ofQuery.links[0]).toEqual({ head: 0, query: 7, key: 0, weight: LEVELS[200] });
    const ofKey = together([linksOfPlace({ side: "key", index: 3 }, own, axes)]);
    expect(ofKey.links.at(-1)).toEqual({ head: 0, query: 7, key: 3, weight: LEVELS[1] });
  });

  it("of several heads are the strongest of all", () => {
    const strong = linksOfHead(1, given, { query, key, renormalised: false });
    const weak = linksOfHead(0, weights(3, 4, () => 1), { query, key, renormalised: false });
    const { links, count } = together([weak, strong]);
    expect(links[0]).toMatchObject({ head: 1, query: 1, key: 1 });
    expect(count).toBe(5);
    expect(links.map(({ weight }) => weight)).toEqual(links.map(({ weight }) => weight).sort((one, other) => other - one));
  });
});
