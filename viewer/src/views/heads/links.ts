// The lines of the picture: which query looks at which key, by which head, and how much.

import type { HeadWeights } from "../../core/attention.js";
import type { AxisItem } from "../../core/axis.js";
import { strongest } from "./strongest.js";

/** More lines than these cannot be told apart, and take longer than a frame. */
export const MOST_LINES = 5000;

export type Side = "query" | "key";

/** A token, or a word, of one of the two columns. */
export interface Place {
  side: Side;
  index: number;
}

/** A line. `query`, `key`: indices of what is shown. */
export interface Link {
  head: number;
  query: number;
  key: number;
  weight: number;
}

/** What is drawn, and of all that could be, how many lines there are, and their sum. */
export interface Links {
  links: readonly Link[];
  count: number;
  sum: number;
}

export interface Item extends AxisItem {
  /** As it is called: the place of its first token in the text. */
  number: number;
  /** As much of its label as has room in a row, or in a sentence. */
  short: string;
}

/** How queries and keys are shown. */
export interface Axes {
  query: readonly Item[];
  key: readonly Item[];
  /** Divide what a query gives to the keys that are shown by its sum. */
  renormalised: boolean;
}

/** The same of one head, not sorted; lines are made when they are asked for, since most are too weak in the end. */
interface Candidates {
  values: Float32Array;
  link: (at: number) => Link;
  count: number;
  sum: number;
}

/** The strongest lines of one head. A query has 1 to give. */
export interface HeadLinks extends Candidates {
  head: number;
  weights: HeadWeights;
  /** What masked keys took, summed over the queries, before anything is divided. */
  masked: number;
  /** By what the sums of each query are divided. */
  whole: Float64Array;
}

/**
 * The cells of what `regroup` of the core makes of a matrix, made of codes at one go, for there are millions of
 * them: for each query and each key that is not masked the sum over the key's tokens, as a mean over the query's.
 */
export function linksOfHead(head: number, weights: HeadWeights, { query, key, renormalised }: Axes): HeadLinks {
  const { keys, codes, levels } = weights;
  const width = key.length;
  const column = new Int32Array(keys).fill(width); // what is masked goes to the end
  key.forEach((item, at) => {
    if (!item.masked) for (const member of item.members) column[member] = at;
  });
  const values = new Float32Array(query.length * width);
  const whole = new Float64Array(query.length);
  const sums = new Float64Array(width + 1);
  let masked = 0;
  query.forEach(({ members }, row) => {
    sums.fill(0);
    for (const member of members) {
      const start = member * keys;
      for (let at = 0; at < keys; at++) {
        const code = codes[start + at]!;
        if (code !== 0) sums[column[at]!]! += levels[code]!;
      }
    }
    masked += sums[width]! / members.length;
    let given = 0;
    for (let at = 0; at < width; at++) given += sums[at]!;
    const by = (renormalised && given) || members.length;
    whole[row] = by;
    for (let at = 0; at < width; at++) values[row * width + at] = sums[at]! / by;
  });
  const { cells, count, sum } = strongest(values, MOST_LINES);
  const link = (at: number) => {
    const cell = cells[at]!;
    return { head, query: Math.floor(cell / width), key: cell % width, weight: values[cell]! };
  };
  return { head, values: Float32Array.from(cells, (cell) => values[cell]!), link, count, sum, weights, masked, whole };
}

/** All lines of one token by a head, whether or not they are among its strongest. */
export function linksOfPlace({ side, index }: Place, { head, weights, whole }: HeadLinks, axes: Axes): Candidates {
  const { keys, codes, levels } = weights;
  const links = axes[otherSide(side)].flatMap((_, at): Link[] => {
    const link = { head, query: at, key: at, weight: 0, [side]: index };
    const column = axes.key[link.key]!;
    if (column.masked) return [];
    for (const query of axes.query[link.query]!.members) {
      for (const key of column.members) link.weight += levels[codes[query * keys + key]!]!;
    }
    link.weight /= whole[link.query]!;
    return link.weight > 0 ? [link] : [];
  });
  const values = new Float32Array(links.map(({ weight }) => weight));
  return { values, link: (at) => links[at]!, count: links.length, sum: total(links) };
}

/** The strongest lines of several heads, the strongest first. */
export function together(heads: readonly Candidates[]): Links {
  const ends = heads.reduce<number[]>((ends, { values }) => [...ends, (ends.at(-1) ?? 0) + values.length], []);
  const all = new Float32Array(ends.at(-1) ?? 0);
  heads.forEach(({ values }, which) => all.set(values, ends[which]! - values.length));
  const links = Array.from(strongest(all, MOST_LINES).cells, (at) => {
    const which = ends.findIndex((end) => at < end);
    const { values, link } = heads[which]!;
    return link(at - ends[which]! + values.length);
  });
  return {
    links: links.sort((one, other) => other.weight - one.weight),
    count: heads.reduce((count, own) => count + own.count, 0),
    sum: heads.reduce((sum, own) => sum + own.sum, 0),
  };
}

export function total(links: readonly Link[]): number {
  return links.reduce((sum, { weight }) => sum + weight, 0);
}

export function otherSide(side: Side): Side {
  return side === "query" ? "key" : "query";
}
