import { describe, expect, it } from "vitest";
import type { HeadWeights } from "../../src/core/attention.js";
import { regroup } from "../../src/core/axis.js";
import { type Axes, type Item, linksOfHead, linksOfItem, MOST_LINES, type Side, together, total } from "../../src/views/heads/links.js";

const LEVELS = Float32Array.from({ length: 256 }, (_, code) => code / 1024);

/** Items of these members; those of `masked` are masked. */
function axis(side: Side, groups: number[][], masked: number[] = []): Item[] {
  return groups.map((members, index) => {
    const place = { side, index, number: members[0]!, members, masked: masked.includes(index) };
    return { label: "", part: "source", source: "s1", start: 0, end: 0, ...place };
  });
}

function weights(queries: number, keys: number, code: (query: number, key: number) => number): HeadWeights {
  const codes = Uint8Array.from({ length: queries * keys }, (_, at) => code(Math.floor(at / keys), at % keys));
  return { keys, codes, levels: LEVELS };
}

const given = weights(3, 4, (query, key) => (key > query ? 0 : 10 * query + key + 1));
const query = axis("query", [[0], [1, 2]]);
const key = axis("key", [[0], [1, 2], [3]], [0]);
const axes: Axes = { query, key, renormalised: false };

describe("the lines of a head", () => {
  it("are the cells of the regrouped matrix, without what is masked", () => {
    const values = Float32Array.from(given.codes, (code) => LEVELS[code]!);
    const matrix = regroup({ rows: 3, columns: 4, values }, query, key);
    const found = linksOfHead(5, given, axes);
    expect(together([found], axes)).toEqual({ links: [{ head: 5, query: query[1], key: key[1], weight: matrix.values[4] }], count: 1 });
    // Over all tokens: the second query is two.
    expect(found.sum).toBeCloseTo(2 * matrix.values[4]!, 6);
    expect(found.masked).toBeCloseTo(matrix.values[0]! + 2 * matrix.values[3]!, 9);
  });

  it("are the same where no word has more than a token, without what is masked", () => {
    const keys = axis("key", [[0], [1], [2], [3]], [1]);
    const single = { query: axis("query", [[0], [1], [2]]), key: keys, renormalised: false };
    const own = linksOfHead(0, given, single);
    const { links, count } = together([own], single);
    expect(count).toBe(4);
    expect(links.map(({ query, key, weight }) => [query.index, key.index, 1024 * weight])).toEqual([[2, 2, 23], [2, 0, 21], [1, 0, 11], [0, 0, 1]]);
    expect([1024 * own.sum, 1024 * own.masked]).toEqual([56, 34]);
    expect(linksOfItem(keys[1]!, [own], single)).toEqual([]);
    expect(linksOfItem(single.query[2]!, [own], single)).toEqual(links.slice(0, 2));
  });

  it("add up to 1 for each query that gives anything, renormalised", () => {
    const single = { query: axis("query", [[0], [1], [2]]), key, renormalised: true };
    const { links } = together([linksOfHead(0, given, single)], single);
    expect(links.map(({ query }) => query.index).sort()).toEqual([1, 2]);
    for (const { weight } of links) expect(weight).toBeCloseTo(1, 6);
  });

  it("of one token are all that it has, though others are stronger", () => {
    const wide = weights(200, 200, (query, key) => (query === 7 && key > 0 ? 1 : 200));
    const single = Array.from({ length: 200 }, (_, at) => [at]);
    const axes = { query: axis("query", single), key: axis("key", single), renormalised: false };
    const own = linksOfHead(0, wide, axes);
    const { links: drawn, count } = together([own], axes);
    expect(drawn).toHaveLength(MOST_LINES);
    expect(count).toBe(40_000);
    expect(own.sum - total(drawn)).toBeCloseTo((200 * (40_000 - 199 - MOST_LINES) + 199) / 1024, 2);
    const ofQuery = linksOfItem(axes.query[7]!, [own], axes);
    expect(ofQuery).toHaveLength(200);
    expect(ofQuery[0]).toEqual({ head: 0, query: axes.query[7], key: axes.key[0], weight: LEVELS[200] });
    const ofKey = linksOfItem(axes.key[3]!, [own], axes);
    expect(ofKey.at(-1)).toEqual({ head: 0, query: axes.query[7], key: axes.key[3], weight: LEVELS[1] });
  });

  it("of several heads are the strongest of all", () => {
    const strong = linksOfHead(1, given, axes);
    const weak = linksOfHead(0, weights(3, 4, () => 1), axes);
    const { links, count } = together([weak, strong], axes);
    expect(links[0]).toMatchObject({ head: 1, query: query[1], key: key[1] });
    expect(count).toBe(5);
    expect(links).toHaveLength(5);
    expect(links.map(({ weight }) => weight)).toEqual(links.map(({ weight }) => weight).sort((one, other) => other - one));
  });
});
