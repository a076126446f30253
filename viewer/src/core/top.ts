// What one target's evidence is made of: its best passages, the others, and elsewhere. The rules of
// whence.explain.render.ranking, so that the viewer and the page without script say the same.

import type { Loaded } from "./model.js";
import type { Scores } from "./schema.js";
import { type Evidence, type Parts, partsOf, sharesOf } from "./shares.js";

/** One segment that received evidence; `score` and `stderr` in the unit of the method. */
export interface Ranked {
  segment: number;
  score: number;
  share: number;
  stderr: number | null;
  /** What removing it alone did, where that was tried. */
  alone: number | null;
}

/** Where one target's evidence lies. The shares of `top`, `othersShare` and `elsewhere` add up to 1. */
export interface Balance {
  top: readonly Ranked[];
  /** How many segments share `othersShare`. */
  others: number;
  othersShare: number;
  elsewhere: number;
  /** Shares of the same whole, largest first; null where the method does not measure elsewhere. */
  parts: Parts | null;
  /** The sum of the scores that count, in the method's unit. */
  found: number;
  /** How many segments score below zero by more than noise; they count as 0 in the shares. */
  against: number;
  withinNoise: number;
  unmeasured: number;
  /** The least score of all. */
  lowest: number;
}

/** The `k` best segments of a target, or of a stretch: by score, ties in reading order. */
export function top(loaded: Loaded, result: number, what: number | Evidence, k: number): Balance {
  const evidence = typeof what === "number" ? loaded.evidence(result, what) : what;
  return balance(evidence, loaded.result(result).told.scores, k);
}

export function balance(evidence: Evidence, scores: Scores, k: number): Balance {
  const { row, elsewhere, stderr, alone } = evidence;
  const floor = scores.noise_floor ?? 0;
  const narrow = Math.fround(floor);
  const { shares, elsewhere: outside } = sharesOf(row, scores, elsewhere?.total ?? 0);
  const best: number[] = [];
  let found = 0;
  let received = 0;
  let sum = 0;
  let against = 0;
  let withinNoise = 0;
  let lowest = Infinity;
  row.forEach((value, at) => {
    if (value < lowest) lowest = value;
    if (value < -floor) against++;
    if (value !== 0 && Math.abs(value) < narrow) withinNoise++;
    if (shares[at]! <= 0) return;
    received++;
    found += value;
    sum += shares[at]!;
    let place = best.length;
    while (place > 0 && row[best[place - 1]!]! < value) place--;
    if (place >= k) return;
    best.splice(place, 0, at);
    if (best.length > k) best.pop();
  });
  return {
    top: best.map((segment) => ({
      segment,
      score: row[segment]!,
      share: shares[segment]!,
      stderr: stderr === null ? null : shortest(stderr[segment]!),
      alone: alone.get(segment) ?? null,
    })),
    others: received - best.length,
    othersShare: Math.max(0, sum - best.reduce((before, segment) => before + shares[segment]!, 0)),
    elsewhere: outside,
    parts: elsewhere === null ? null : partsOf(elsewhere, found + Math.max(elsewhere.total, 0)),
    found,
    against,
    withinNoise,
    unmeasured: evidence.unmeasured,
    lowest,
  };
}

/** The number with the fewest digits that is this float32: the one that was written. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
