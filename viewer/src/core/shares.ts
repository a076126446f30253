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

/** Parts of elsewhere as shares, largest first. */
export type Parts = readonly (readonly [ElsewherePart, number])[];

/** What a picture leaves out, and whether it divides what is left by its sum. */
export interface Masking {
  maskSink: boolean;
  maskSpecial: boolean;
  renormalised: boolean;
}

export interface MaskedShares {
  shares: Float64Array;
  /** Like the shares, and below zero where a segment speaks against: a score's size tells both. */
  signed: Float64Array;
  /** The share of what is neither in a segment nor masked, and what it is made of. */
  elsewhere: number;
  parts: Parts;
  /** The share of what is masked, always of all evidence, and what it is made of. */
  masked: number;
  left: Parts;
}

/** The shares of what is shown where the sink, or special tokens, are left out. */
export function maskedShares({ row, elsewhere }: Evidence, scores: Scores, masking: Masking): MaskedShares {
  const isLeft = (part: string) => (part === "sink" && masking.maskSink) || (part === "special" && masking.maskSpecial);
  const parts = Object.entries(elsewhere ?? {}).filter(([part]) => part !== "total");
  const hidden = parts.reduce((sum, [part, value]) => sum + (isLeft(part) ? value : 0), 0);
  const total = elsewhere?.total ?? 0;
  // Nothing counts below zero or the noise floor, and every claim alike.
  const floor = Math.fround(scores.noise_floor ?? 0);
  const shares = new Float64Array(row.length);
  let sum = 0;
  for (let at = 0; at < row.length; at++) {
    const value = row[at]!;
    if (value > 0 && value >= floor) sum += shares[at] = scores.unit === "claim" ? 1 : value;
  }
  const all = sum + Math.max(total, 0);
  const whole = masking.renormalised ? sum + Math.max(total - hidden, 0) : all;
  const masked = all > 0 ? hidden / all : 0;
  if (whole > 0) for (let at = 0; at < shares.length; at++) shares[at]! /= whole;
  const partsOf = (own: boolean, whole: number) =>
    (whole > 0 ? parts : [])
      .filter(([part, value]) => value !== 0 && isLeft(part) === own)
      .map(([part, value]) => [part as ElsewherePart, value / whole] as const)
      .sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  return {
    shares,
    signed: scores.signed ? against(row, shares, floor, whole) : shares,
    elsewhere: whole > 0 ? Math.min(1, Math.max(0, 1 - sum / whole - (masking.renormalised ? 0 : masked))) : 1,
    parts: partsOf(false, whole),
    masked,
    left: partsOf(true, all),
  };
}

/** The shares, and of what scores below zero what would be its share. */
function against(row: Float32Array, shares: Float64Array, floor: number, whole: number): Float64Array {
  const size = whole > 0 ? whole : row.reduce((sum, score) => sum + Math.abs(score), 0);
  return shares.map((share, at) => (row[at]! < -floor ? row[at]! / size : share));
}
