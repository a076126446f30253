// The lines of the picture: which query looks at which key, by which head, and how much.

import type { HeadWeights } from "../../core/attention.js";
import type { AxisItem } from "../../core/axis.js";
import { countsOf, type Ranked, rankInto, strongest } from "./strongest.js";

/** More lines than these cannot be told apart, and take longer than a frame. */
export const MOST_LINES = 5000;

export type Side = "query" | "key";

/** A token, or a word, of one of the two columns. */
export interface Item extends AxisItem {
  side: Side;
  /** Its place in the column. */
  index: number;
  /** As it is called: the place of its first token in the text. */
  number: number;
}

/** A line. */
export interface Link {
  head: number;
  query: Item;
  key: Item;
  weight: number;
}

/** How queries and keys are shown. */
export interface Axes {
  query: readonly Item[];
  key: readonly Item[];
  /** Divide what a query gives to the keys that are shown by its sum. */
  renormalised: boolean;
}

/** Queries x keys as they are shown. */
interface Cells extends Ranked {
  weightOf: (cell: number) => number;
  /** What the cells add up to over all tokens of the queries. */
  sum: number;
}

/** What one head gives. A query has 1 to give; of what is masked the cells have nothing. */
export interface HeadLinks extends Cells {
  head: number;
  /** What masked keys took of all tokens of the queries, before anything is divided. */
  masked: number;
}

export function linksOfHead(head: number, { keys, codes, levels }: HeadWeights, axes: Axes): HeadLinks {
  const { query, key, renormalised } = axes;
  const shown = codes.slice();
  let masked = 0;
  for (const item of key) {
    for (const member of item.masked ? item.members : []) {
      for (let at = member; at < shown.length; at += keys) {
        masked += levels[shown[at]!]!;
        shown[at] = 0;
      }
    }
  }
  const tokens = query.length * key.length === shown.length && !renormalised;
  return { head, masked, ...(tokens ? cellsOfTokens : cellsOfWords)({ keys, codes: shown, levels }, axes) };
}

/** Each token by itself, as it is packed: codes are in the order of what they stand for. */
function cellsOfTokens({ codes, levels }: HeadWeights): Cells {
  const counts = countsOf(codes);
  const sum = levels.reduce((sum, level, code) => sum + level * counts[code]!, 0);
  return { ranks: codes, counts, weightOf: (cell) => levels[codes[cell]!]!, sum };
}

/**
 * What `regroup` of the core makes of a matrix, made of codes and row by row, for there are millions of them: for each
 * query and each key the sum over the key's tokens, as a mean over the query's.
 */
function cellsOfWords({ keys, codes, levels }: HeadWeights, { query, key, renormalised }: Axes): Cells {
  const width = key.length;
  const column = new Int32Array(keys);
  key.forEach(({ members }, at) => members.forEach((member) => (column[member] = at)));
  const row = new Float32Array(width);
  const bits = new Uint32Array(row.buffer);
  const ranks = new Uint16Array(query.length * width);
  let sum = 0;
  const divisors = query.map(({ members, index }) => {
    row.fill(0);
    let given = 0;
    for (const member of members) given += addUp(row, codes, member * keys, column, levels);
    const by = (renormalised && given) || members.length;
    sum += (given / by) * members.length;
    if (by !== 1) for (let at = 0; at < width; at++) row[at]! /= by;
    rankInto(ranks, index * width, bits);
    return by;
  });
  const weightOf = (cell: number) => {
    const at = Math.floor(cell / width);
    let sum = 0;
    for (const from of query[at]!.members) for (const to of key[cell % width]!.members) sum += levels[codes[from * keys + to]!]!;
    return sum / divisors[at]!;
  };
  return { ranks, counts: countsOf(ranks), weightOf, sum };
}

/** Add the weights of one token to the cells of their keys; the answer is their sum. It is the loop that takes the time. */
function addUp(row: Float32Array, codes: HeadWeights["codes"], start: number, column: Int32Array, levels: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < column.length; at++) {
    const weight = levels[codes[start + at]!]!;
    row[column[at]!]! += weight;
    sum += weight;
  }
  return sum;
}

/** The strongest lines of several heads, the strongest first, and how many there are in all. */
export function together(heads: readonly HeadLinks[], axes: Axes): { links: Link[]; count: number } {
  const { cells, count } = strongest(heads, MOST_LINES);
  return { links: linksOf(heads, axes, (_, which) => cells[which]!), count };
}

/** All lines of one token, whether or not they are among the strongest of their heads; the strongest first. */
export function linksOfItem({ side, index }: Item, heads: readonly HeadLinks[], axes: Axes): Link[] {
  const width = axes.key.length;
  const cells = axes[otherSide(side)].map((_, at) => (side === "query" ? index * width + at : at * width + index));
  return linksOf(heads, axes, ({ ranks }) => cells.filter((cell) => ranks[cell]! > 0));
}

function linksOf(heads: readonly HeadLinks[], { query, key }: Axes, cellsOf: (own: HeadLinks, which: number) => number[]): Link[] {
  const width = key.length;
  const links = heads.flatMap((own, which) =>
    cellsOf(own, which).map((cell) => {
      return { head: own.head, query: query[Math.floor(cell / width)]!, key: key[cell % width]!, weight: own.weightOf(cell) };
    }),
  );
  return links.sort((one, other) => other.weight - one.weight);
}

/** Of all heads together. */
export function sumOf(heads: readonly HeadLinks[], name: "sum" | "masked"): number {
  return heads.reduce((sum, own) => sum + own[name], 0);
}

/** What lines carry, over all tokens of their queries. */
export function total(links: readonly Link[]): number {
  return links.reduce((sum, { weight, query }) => sum + weight * query.members.length, 0);
}

export function otherSide(side: Side): Side {
  return side === "query" ? "key" : "query";
}
