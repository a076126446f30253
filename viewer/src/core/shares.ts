// Each segment's part of a target's evidence: the rules of whence.explain.schema.Explanation.shares, and what
// becomes of them where parts of elsewhere are left out of the picture.

import type { Elsewhere, ElsewherePart, Scores } from "./schema.js";

/** What one target, or any stretch of the output, received. */
export interface Evidence {
  /** One score for each segment, in the unit of the method. */
  row: Float32Array;
  /** What fell outside every segment; null where the method does not measure it. */
  elsewhere: Elsewhere | null;
  stderr: Float32Array | null;
  /** What removing one segment alone did, where that was tried. */
  alone: ReadonlyMap<number, number>;
  /** Of how many segments the score is not known. */
  unmeasured: number;
}

export interface Shares {
  shares: Float64Array;
  elsewhere: number;
}

/** Parts of elsewhere as shares, largest first. */
export type Parts = readonly (readonly [ElsewherePart, number])[];

/** What a picture leaves out, and whether it divides what is left by its sum. */
export interface Masking {
  maskSink: boolean;
  maskSpecial: boolean;
  renormalised: boolean;
}

/** `parts` and `elsewhere` hold what is not masked; `masked`: the share of what is. */
export interface MaskedShares extends Shares {
  parts: Parts;
  masked: number;
}

/** What counts of a score: nothing below zero or the noise floor, and every claim alike. */
function counted(value: number, scores: Scores, floor: number): number {
  if (value <= 0 || value < floor) return 0;
  return scores.unit === "claim" ? 1 : value;
}

/** One row of `values` as shares, and what is left for elsewhere. `outside`: elsewhere's total, 0 for none. */
export function sharesOf(row: Float32Array, scores: Scores, outside: number): Shares {
  const floor = Math.fround(scores.noise_floor ?? 0);
  const shares = new Float64Array(row.length);
  let sum = 0;
  for (let at = 0; at < row.length; at++) sum += shares[at] = counted(row[at]!, scores, floor);
  const whole = sum + Math.max(outside, 0);
  if (whole > 0) for (let at = 0; at < row.length; at++) shares[at]! /= whole;
  return { shares, elsewhere: whole > 0 ? Math.min(1, Math.max(0, 1 - sum / whole)) : 1 };
}

/** The parts of elsewhere as shares of `whole`, largest first; none where there was nothing at all. */
export function partsOf(elsewhere: Elsewhere, whole: number, left: ReadonlySet<string> = NONE): Parts {
  if (whole <= 0) return [];
  return Object.entries(elsewhere)
    .filter(([name, value]) => name !== "total" && value !== 0 && !left.has(name))
    .map(([name, value]) => [name as ElsewherePart, value / whole] as const)
    .sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
}

const NONE: ReadonlySet<string> = new Set();

/** The shares of what is shown where the sink, or special tokens, are left out. */
export function maskedShares(evidence: Evidence, scores: Scores, masking: Masking): MaskedShares {
  const { row, elsewhere } = evidence;
  const left = new Set<ElsewherePart>();
  if (masking.maskSink) left.add("sink");
  if (masking.maskSpecial) left.add("special");
  let hidden = 0;
  if (elsewhere !== null) for (const part of left) hidden += elsewhere[part];
  const total = elsewhere?.total ?? 0;
  const rest = total - hidden;
  const raw = sharesOf(row, scores, total);
  const floor = Math.fround(scores.noise_floor ?? 0);
  const sum = row.reduce((before, value) => before + counted(value, scores, floor), 0);
  const whole = sum + Math.max(total, 0);
  const masked = whole > 0 ? hidden / whole : 0;
  if (masking.renormalised) {
    const parts = elsewhere === null ? [] : partsOf(elsewhere, sum + Math.max(rest, 0), left);
    return { ...sharesOf(row, scores, rest), parts, masked };
  }
  const parts = elsewhere === null ? [] : partsOf(elsewhere, whole, left);
  return { ...raw, elsewhere: Math.min(1, Math.max(0, raw.elsewhere - masked)), parts, masked };
}

/** Divided by their sum: for what shows passages and nothing else, and says so. */
export function renormalised(shares: Float64Array): Float64Array {
  const sum = shares.reduce((before, share) => before + share, 0);
  return sum > 0 ? shares.map((share) => share / sum) : shares;
}
