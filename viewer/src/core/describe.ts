// Sentences about numbers, the same as those of whence.explain.render.describe. They judge nothing.

import { greatest, NBSP, quantity, shortest } from "./scale.js";
import type { Measure, Scores } from "./schema.js";
import type { Evidence } from "./shares.js";
import { visible } from "./text.js";
import { words } from "./wording.js";

/** `1 passage`, `2 passages`. */
export function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** A passage's score with its unit; empty where the share already says it (attention, claims). */
export function score({ row, stderr, alone }: Evidence, segment: number, scores: Scores): string {
  if (!scores.signed) return "";
  const error = stderr?.[segment];
  const spread = error ? `${NBSP}±${NBSP}${quantity(shortest(error))}` : "";
  const removed = alone?.(segment);
  const also = removed === undefined ? "" : `; removed alone: ${quantity(removed)}`;
  return `${quantity(row[segment] ?? 0)}${spread}${NBSP}${words.units[scores.unit]}${also}`;
}

/** How much was found at all, and what speaks against: shares alone would hide both. */
export function found({ row, unmeasured }: Evidence, scores: Scores): string {
  if (!scores.signed) return "";
  const unit = words.units[scores.unit];
  const floor = scores.noise_floor ?? 0;
  const narrow = Math.fround(floor);
  const sum = row.reduce((sum, value) => sum + (value > 0 && value >= narrow ? value : 0), 0);
  const below = row.filter((value) => value < -floor);
  const within = row.filter((value) => value !== 0 && Math.abs(value) < narrow).length;
  const scored = (number: number) => ` ${counted(number, "passage")} ${number === 1 ? "scores" : "score"}`;
  let text = `Sum above ${floor ? "noise" : "zero"}: ${quantity(sum)} ${unit}.`;
  if (below.length > 0) {
    text += `${scored(below.length)} below zero, the lowest ${quantity(-greatest(below))} ${unit}; the shares count this as 0.`;
  }
  if (within > 0) text += `${scored(within)} within the noise floor of ${quantity(floor)} ${unit}, which the shares count as 0.`;
  if (unmeasured) text += ` ${counted(unmeasured, "passage")} could not be measured.`;
  return text;
}

/** One target's values of a check, or the range of all targets, or the reason why there are none. */
export function measured({ values, unit, k, reason }: Measure, target: number | null): string {
  if (reason !== null || values === null) return `not measured: ${visible(reason ?? "")}`;
  const rows = target === null ? values : [values[target]!];
  return k
    .map((k, at) => {
      const ends = [Math.min, Math.max].map((end) => quantity(end(...rows.map((row) => row[at]!))));
      return `${[...new Set(ends)].join(" to ")}${unit ? ` ${visible(unit)}` : ""} (k = ${k})`;
    })
    .join("; ");
}
