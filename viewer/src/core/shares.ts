// Each segment's part of a target's evidence: the rule of whence.explain.schema.Explanation.shares.

import type { Scores } from "./schema.js";

/** One row of `values` as shares, and what is left for elsewhere. `outside`: elsewhere's total, 0 for none. */
export function sharesOf(row: Float32Array, scores: Scores, outside: number): { shares: Float64Array; elsewhere: number } {
  const floor = scores.noise_floor ?? 0;
  const shares = new Float64Array(row.length);
  let sum = 0;
  for (let at = 0; at < row.length; at++) {
    const value = row[at]!;
    const counts = value > 0 && value >= floor;
    shares[at] = counts ? (scores.unit === "claim" ? 1 : value) : 0;
    sum += shares[at]!;
  }
  const whole = sum + Math.max(outside, 0);
  if (whole > 0) for (let at = 0; at < row.length; at++) shares[at]! /= whole;
  return { shares, elsewhere: whole > 0 ? Math.min(1, Math.max(0, 1 - sum / whole)) : 1 };
}
