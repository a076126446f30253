// Sentences about numbers, the same as those of whence.explain.render.describe. They judge nothing.

import words from "../generated/words.json";
import { NBSP, percent, quantity } from "./scale.js";
import type { Measure, Scores } from "./schema.js";
import { visible } from "./text.js";
import type { Balance, Ranked } from "./top.js";

/** `1 passage`, `2 passages`. */
export function counted(number: number, noun: string): string {
  return number === 1 ? `${number} ${noun}` : `${number} ${noun}s`;
}

/** A passage's score with its unit; empty where the share already says it (attention, claims). */
export function score(ranked: Ranked, scores: Scores): string {
  if (!scores.signed) return "";
  const spread = ranked.stderr ? `${NBSP}±${NBSP}${quantity(ranked.stderr)}` : "";
  const alone = ranked.alone === null ? "" : `; removed alone: ${quantity(ranked.alone)}`;
  return `${quantity(ranked.score)}${spread}${NBSP}${words.units[scores.unit]}${alone}`;
}

/** The share of elsewhere; a dash where the method does not measure it. */
export function elsewherePercent(balance: Balance): string {
  return balance.parts === null && balance.top.length > 0 ? "–" : percent(balance.elsewhere);
}

/** What elsewhere is made of, or why nobody can say. */
export function elsewhere(balance: Balance): string {
  const found = balance.top.length > 0;
  if (balance.parts === null) return found ? words.elsewhere_unmeasured : nothing(balance);
  const parts = balance.parts.map(([name, share]) => `${percent(share)} on ${words.parts[name]}`);
  return [...(found ? [] : [nothing(balance)]), ...parts].join("; ");
}

/** How much was found at all, and what speaks against: shares alone would hide both. */
export function found(balance: Balance, scores: Scores): string {
  if (!scores.signed) return "";
  const unit = words.units[scores.unit];
  const scored = (number: number) => ` ${counted(number, "passage")} ${number === 1 ? "scores" : "score"}`;
  let text = `Sum above ${scores.noise_floor ? "noise" : "zero"}: ${quantity(balance.found)} ${unit}.`;
  if (balance.against > 0) {
    text += `${scored(balance.against)} below zero, the lowest ${quantity(balance.lowest)} ${unit}; the shares count this as 0.`;
  }
  if (balance.withinNoise > 0) {
    text +=
      `${scored(balance.withinNoise)} within the noise floor of ${quantity(scores.noise_floor ?? 0)} ${unit}, ` +
      "which the shares count as 0.";
  }
  if (balance.unmeasured > 0) text += ` ${counted(balance.unmeasured, "passage")} could not be measured.`;
  return text;
}

/** One target's values of a check; empty where it has none (`notMeasured` has the reason). */
export function measured(measure: Measure, target: number): string {
  const values = measure.values?.[target];
  if (values === undefined) return "";
  const unit = measure.unit ? ` ${visible(measure.unit)}` : "";
  return measure.k.map((k, at) => `${quantity(values[at] ?? NaN)}${unit} (k = ${k})`).join("; ");
}

/** The reason why a check has no values; empty where it has. */
export function notMeasured(measure: Measure): string {
  return measure.reason === null ? "" : `not measured: ${visible(measure.reason)}`;
}

/** Says that no passage received anything, of those of which it is known. */
function nothing(balance: Balance): string {
  return balance.unmeasured > 0 ? words.elsewhere_measured : words.elsewhere_all;
}
