// What the chosen part of the output rests on; where none is chosen, the mean over the whole output.

import type { ReadonlySignal } from "@preact/signals";
import words from "../generated/words.json";
import type { Loaded } from "../core/model.js";
import type { ElsewherePart } from "../core/schema.js";
import { type Evidence, type MaskedShares, type Masking } from "../core/shares.js";
import { stretch } from "../core/stretch.js";
import { labelled } from "../core/text.js";
import type { State } from "./state.js";

export interface Chosen {
  /** What it is called: `sentence 2`. */
  readonly name: string;
  /** Of one target, or of a stretch; null for the mean over all targets. */
  readonly evidence: Evidence | null;
  readonly masked: MaskedShares;
  /** What is masked, as shares of all evidence, largest first. */
  readonly left: readonly (readonly [ElsewherePart, number])[];
  /** Like the shares, and below zero where a passage speaks against. */
  readonly signed: Float64Array;
}

/** The mean over all targets, and what it is the mean of. */
export interface Whole extends Chosen {
  /** Targets x segments, as `signed`. */
  readonly rows: Float32Array;
}

export function maskingOf(state: State): Masking {
  return {
    maskSink: state.maskSink.value,
    maskSpecial: state.maskSpecial.value,
    renormalised: state.renormalised.value,
  };
}

/** What the output's parts are called, one of them. */
export function noun(loaded: Loaded): string {
  return words.targets[loaded.targets[0]?.kind ?? "whole"];
}

/** The output as a whole, in words. */
export function wholeName(loaded: Loaded): string {
  const count = loaded.targets.length;
  return count === 1 ? "the whole output" : `the whole output (mean of its ${count} ${noun(loaded)}s)`;
}

export function targetName(loaded: Loaded, target: number): string {
  return loaded.targets[target]?.kind === "whole" ? "the output" : `${noun(loaded)} ${target + 1}`;
}

export function chosenOf(loaded: Loaded, state: State, whole: ReadonlySignal<Whole>): Chosen {
  const choice = state.choice.value;
  const result = state.result.value;
  const masking = maskingOf(state);
  if (choice?.kind === "target") {
    return one(loaded, result, targetName(loaded, choice.index), loaded.evidence(result, choice.index), masking);
  }
  if (choice?.kind === "stretch") {
    const evidence = stretch(loaded, result, choice.start, choice.end);
    const name = `“${labelled(loaded.output.slice(choice.start, choice.end))}”`;
    if (evidence !== null) return one(loaded, result, name, evidence, masking);
  }
  return whole.value;
}

/** Each target's share of one segment, below zero where it speaks against. */
export function sharesOfSegment(loaded: Loaded, { rows }: Whole, segment: number): Float64Array {
  return Float64Array.from(loaded.targets, (_, target) => rows[target * loaded.segments.length + segment] ?? 0);
}

function one(loaded: Loaded, result: number, name: string, evidence: Evidence, masking: Masking): Chosen {
  const masked = loaded.maskedShares(result, evidence, masking);
  const signed = loaded.result(result).told.scores.signed ? against(loaded, result, evidence, masked) : masked.shares;
  return { name, evidence, masked, left: leftOut(evidence, masking, masked.masked), signed };
}

/** The shares, and of what scores below zero what would be its share: a score's size tells both. */
function against(loaded: Loaded, result: number, { row }: Evidence, { shares }: MaskedShares): Float64Array {
  const floor = loaded.result(result).told.scores.noise_floor ?? 0;
  const best = shares.reduce((most, share, at) => (share > (shares[most] ?? 0) ? at : most), 0);
  const size = row.reduce((sum, score) => sum + Math.abs(score), 0);
  const shareOfOne = (shares[best] ?? 0) / (row[best] ?? 0) || 1 / size;
  return shares.map((share, at) => {
    const score = row[at] ?? 0;
    return score < 0 && score < -floor ? score * shareOfOne : share;
  });
}

/** What is masked, part by part. */
function leftOut({ elsewhere }: Evidence, masking: Masking, masked: number): Chosen["left"] {
  if (elsewhere === null) return [];
  const sink = masking.maskSink ? elsewhere.sink : 0;
  const special = masking.maskSpecial ? elsewhere.special : 0;
  const parts: [ElsewherePart, number][] = [
    ["sink", (masked * sink) / (sink + special)],
    ["special", (masked * special) / (sink + special)],
  ];
  // Not a number where nothing was there to be masked.
  return parts.filter(([, share]) => Math.abs(share) > 0).sort(([, one], [, other]) => other - one);
}

/** What the whole output rests on: the mean over its targets. */
export function wholeOf(loaded: Loaded, state: State): Whole {
  const result = state.result.value;
  const masking = maskingOf(state);
  const count = loaded.targets.length;
  const rows = new Float32Array(count * loaded.segments.length);
  const shares = new Float64Array(loaded.segments.length);
  const signed = new Float64Array(loaded.segments.length);
  const parts = new Map<ElsewherePart, number>();
  const left = new Map<ElsewherePart, number>();
  let elsewhere = 0;
  let masked = 0;
  loaded.targets.forEach((_, target) => {
    const own = one(loaded, result, "", loaded.evidence(result, target), masking);
    rows.set(own.signed, target * shares.length);
    for (let at = 0; at < shares.length; at++) {
      shares[at]! += own.masked.shares[at]! / count;
      signed[at]! += own.signed[at]! / count;
    }
    for (const [part, share] of own.masked.parts) parts.set(part, (parts.get(part) ?? 0) + share / count);
    for (const [part, share] of own.left) left.set(part, (left.get(part) ?? 0) + share / count);
    elsewhere += own.masked.elsewhere / count;
    masked += own.masked.masked / count;
  });
  const sorted = (of: Map<ElsewherePart, number>) => [...of].sort(([, one], [, other]) => other - one);
  return {
    name: wholeName(loaded),
    evidence: null,
    masked: { shares, elsewhere, parts: sorted(parts), masked },
    left: sorted(left),
    signed,
    rows,
  };
}
