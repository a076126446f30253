// The lines of the picture: which query looks at which key, by which head, and how much.

import type { HeadWeights } from "../../core/attention.js";
import type { AxisItem } from "../../core/axis.js";
import { strongest } from "./strongest.js";

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

/** What one head gives. A query has 1 to give. */
export interface HeadLinks {
  head: number;
  /** Queries x keys as they are shown: nothing where a key is masked. */
  values: Float32Array;
  /** What they add up to over all tokens of the queries, and how many are more than nothing. */
  sum: number;
  count: number;
  /** Where the strongest of them are, and what they are. */
  cells: readonly number[];
  weights: Float32Array;
  /** What masked keys took of all these tokens, before anything is divided. */
  masked: number;
}

/** Add the weights of one query to the cells of their keys; the answer is their sum. It is the loop that takes the time. */
function addUp(
  values: Float32Array,
  first: number,
  codes: HeadWeights["codes"],
  start: number,
  column: Int32Array,
  levels: Float32Array,
): number {
  let sum = 0;
  for (let at = 0; at < column.length; at++) {
    const weight = levels[codes[start + at]!]!;
    values[first + column[at]!]! += weight;
    sum += weight;
  }
  return sum;
}

/**
 * What `regroup` of the core makes of a matrix, made of codes at one go, for there are millions of them: for each
 * query and each key that is not masked the sum over the key's tokens, as a mean over the query's.
 */
export function linksOfHead(head: number, weights: HeadWeights, { query, key, renormalised }: Axes): HeadLinks {
  const { keys, codes, levels } = weights;
  const width = key.length;
  const column = new Int32Array(keys);
  const hidden: number[] = [];
  key.forEach((item, at) => {
    for (const member of item.members) column[member] = at;
    if (item.masked) hidden.push(...item.members);
  });
  const values = new Float32Array(query.length * width);
  let [sum, masked] = [0, 0];
  for (let row = 0; row < query.length; row++) {
    const { members } = query[row]!;
    const first = row * width;
    let given = 0;
    for (const member of members) {
      const start = member * keys;
      given += addUp(values, first, codes, start, column, levels);
      for (const at of hidden) {
        const weight = levels[codes[start + at]!]!;
        masked += weight;
        given -= weight;
        values[first + column[at]!] = 0;
      }
    }
    const by = (renormalised && given) || members.length;
    sum += (given / by) * members.length;
    if (by !== 1) for (let at = first; at < first + width; at++) values[at]! /= by;
  }
  const { cells: [cells = []], count } = strongest([values], MOST_LINES);
  return { head, values, sum, count, cells, weights: new Float32Array(cells.map((cell) => values[cell]!)), masked };
}

/** The strongest lines of several heads, the strongest first. */
export function together(heads: readonly HeadLinks[], axes: Axes): Link[] {
  const { cells } = strongest(heads.map(({ weights }) => weights), MOST_LINES);
  return linksOf(heads, axes, (own, which) => cells[which]!.map((at) => own.cells[at]!));
}

/** All lines of one token, whether or not they are among the strongest of their heads; the strongest first. */
export function linksOfItem({ side, index }: Item, heads: readonly HeadLinks[], axes: Axes): Link[] {
  const width = axes.key.length;
  const cells = axes[otherSide(side)].map((_, at) => (side === "query" ? index * width + at : at * width + index));
  return linksOf(heads, axes, ({ values }) => cells.filter((cell) => values[cell]! > 0));
}

function linksOf(heads: readonly HeadLinks[], { query, key }: Axes, cellsOf: (own: HeadLinks, which: number) => number[]): Link[] {
  const width = key.length;
  const links = heads.flatMap((own, which) =>
    cellsOf(own, which).map((cell) => {
      return { head: own.head, query: query[Math.floor(cell / width)]!, key: key[cell % width]!, weight: own.values[cell]! };
    }),
  );
  return links.sort((one, other) => other.weight - one.weight);
}

/** Of all heads together. */
export function sumOf(heads: readonly HeadLinks[], name: "sum" | "count" | "masked"): number {
  return heads.reduce((sum, own) => sum + own[name], 0);
}

/** What lines carry, over all tokens of their queries. */
export function total(links: readonly Link[]): number {
  return links.reduce((sum, { weight, query }) => sum + weight * query.members.length, 0);
}

export function otherSide(side: Side): Side {
  return side === "query" ? "key" : "query";
}
