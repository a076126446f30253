// Each segment's part of a target's evidence: the rules of whence.explain.schema.Explanation.shares, and what
// becomes of them where parts of elsewhere are left out of the picture.

import type { Elsewhere, ElsewherePart, Scores } from "./schema.js";

/** What one target, or any stretch of the output, received. */
export interface Received {
  /** One score for each segment, in the unit of the method. */
  row: Float32Array;
  /** What fell outside every segment; null where the method does not measure it. */
  elsewhere: Elsewhere | null;
}

/** And what else is known of that. */
export interface Evidence extends Received {
  stderr?: Float32Array | null;
  /** What removing one segment alone did, where that was tried. */
  alone?: (segment: number) => number | undefined;
  /** Of how many segments the score is not known. */
  unmeasured?: number;
}

/** Parts of elsewhere as shares, largest first. */
export type Parts = readonly (readonly [ElsewherePart, number])[];

/** The mean of the parts of several rows, largest first. */
export function meanOfParts<P>(all: readonly (readonly (readonly [P, number])[])[]): [P, number][] {
  const mean = new Map<P, number>();
  for (const [part, value] of all.flat()) mean.set(part, (mean.get(part) ?? 0) + value / all.length);
  return [...mean].sort(([, one], [, other]) => other - one);
}

/** The mean of what fell outside, in several rows. */
export function meanOf(all: readonly Elsewhere[]): Elsewhere {
  return Object.fromEntries(meanOfParts(all.map((own) => Object.entries(own)))) as unknown as Elsewhere;
}

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

export function isMasked(part: string, { maskSink, maskSpecial }: Omit<Masking, "renormalised">): boolean {
  return (part === "sink" && maskSink) || (part === "special" && maskSpecial);
}

/** The shares of what is shown where the sink, or special tokens, are left out. */
export function maskedShares({ row, elsewhere }: Received, scores: Scores, masking: Masking): MaskedShares {
  const parts = Object.entries(elsewhere ?? {}).filter(([part]) => part !== "total");
  const hidden = parts.reduce((sum, [part, value]) => sum + (isMasked(part, masking) ? value : 0), 0);
  const total = elsewhere?.total ?? 0;
  // Nothing counts below zero or the noise floor, and every claim alike.
  const floor = Math.fround(scores.noise_floor ?? 0);
  const credit = (value: number) => (value > 0 && value >= floor ? (scores.unit === "claim" ? 1 : value) : 0);
  const sum = row.reduce((sum, value) => sum + credit(value), 0);
  const all = sum + Math.max(total, 0);
  const whole = masking.renormalised ? sum + Math.max(total - hidden, 0) : all;
  const masked = all > 0 ? hidden / all : 0;
  const shares = Float64Array.from(row, (value) => credit(value) / (whole || 1));
  /** By what a score below zero is divided. */
  const size = whole > 0 ? whole : row.reduce((sum, value) => sum + Math.abs(value), 0);
  const partsOf = (own: boolean, whole: number) =>
    (whole > 0 ? parts : [])
      .filter(([part, value]) => value !== 0 && isMasked(part, masking) === own)
      .map(([part, value]) => [part as ElsewherePart, value / whole] as const)
      .sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  return {
    shares,
    signed: shares.map((share, at) => (scores.signed && row[at]! < -floor ? row[at]! / size : share)),
    elsewhere: whole > 0 ? Math.min(1, Math.max(0, 1 - sum / whole - (masking.renormalised ? 0 : masked))) : 1,
    parts: partsOf(false, whole),
    masked,
    left: partsOf(true, all),
  };
}
