// Sentences about numbers, the same as those of whence.explain.render.describe. They judge nothing.

import words from "../generated/words.json";
import { NBSP, quantity, shortest } from "./scale.js";
import type { Measure, Scores } from "./schema.js";
import type { Evidence } from "./shares.js";
import { visible } from "./text.js";

/** `1 passage`, `2 passages`. */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** A passage's score with its unit; empty where the share already says it (attention, claims). */
export function score({ row, stderr, alone }: Evidence, segment: number, scores: Scores): string {
  if (!scores.signed) return "";
  const error = stderr?.[segment];
  const spread = error ? `${NBSP}±${NBSP}${quantity(shortest(error))}` : "";
  const removed = alone.get(segment);
  const also = removed === undefined ? "" : `; removed alone: ${quantity(removed)}`;
  return `${quantity(row[segment] ?? 0)}${spread}${NBSP}${words.units[scores.unit]}${also}`;
}

/** How much was found at all, and what speaks against: shares alone would hide both. */
export function found({ row, unmeasured }: Evidence, scores: Scores): string {
  if (!scores.signed) return "";
  const unit = words.units[scores.unit];
  const floor = scores.noise_floor ?? 0;
  const narrow = Math.fround(floor);
  let [sum, below, within, lowest] = [0, 0, 0, 0];
  for (const value of row) {
    if (value > 0 && value >= narrow) sum += value;
    if (value < -floor) below++;
    if (value !== 0 && Math.abs(value) < narrow) within++;
    lowest = Math.min(lowest, value);
  }
  const scored = (number: number) => ` ${counted(number, "passage")} ${number === 1 ? "scores" : "score"}`;
  let text = `Sum above ${floor ? "noise" : "zero"}: ${quantity(sum)} ${unit}.`;
  if (below > 0) text += `${scored(below)} below zero, the lowest ${quantity(lowest)} ${unit}; the shares count this as 0.`;
  if (within > 0) text += `${scored(within)} within the noise floor of ${quantity(floor)} ${unit}, which the shares count as 0.`;
  if (unmeasured > 0) text += ` ${counted(unmeasured, "passage")} could not be measured.`;
  return text;
}

/** One target's values of a check, or the reason why it has none; empty for no target. */
export function measured({ values, unit, k, reason }: Measure, target: number | null): string {
  if (reason !== null) return `not measured: ${visible(reason)}`;
  const own = values?.[target ?? -1];
  if (own === undefined) return "";
  return k.map((k, at) => `${quantity(own[at] ?? NaN)}${unit ? ` ${visible(unit)}` : ""} (k = ${k})`).join("; ");
}
