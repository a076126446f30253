// What is drawn and what is not, in sentences: no picture of attention without them.

import { percent, quantity } from "../../core/scale.js";
import words from "../../generated/words.json";
import { type Axes, type Link, MOST_LINES, type Place, total } from "./links.js";
import type { Picture } from "./use_picture.js";

/** A whole number as it is read. */
export function grouped(number: number): string {
  return number.toLocaleString("en");
}

/** `head 3`, `heads 1, 4`. */
export function headsSaid(heads: readonly number[]): string {
  return `${heads.length === 1 ? "head" : "heads"} ${heads.join(", ") || "none"}`;
}

/** How many lines are drawn, what they carry, and where the rest is. */
export function said({ attention, layer, axes, heads, links, count, sum }: Picture): string {
  const whole = heads.length * axes.query.length;
  if (whole === 0) return "No head is chosen, so no line is drawn.";
  const share = (sum: number) => percent(Math.min(1, Math.max(0, sum / whole)));
  const of = axes.renormalised ? "what each query gives to the keys that are shown" : "the attention";
  const drawn = total(links);
  const hidden = grouped(count - links.length);
  const all = `${grouped(count)} lines are drawn. They carry ${share(drawn)} of ${of}`;
  let text =
    count > links.length
      ? `The ${grouped(MOST_LINES)} strongest of ${all}; the ${hidden} that are not drawn carry ${share(sum - drawn)}.`
      : `All ${all}.`;
  const names: Record<string, string> = words.parts;
  const parts = new Set(axes.key.flatMap(({ masked, part }) => (masked ? [names[part] ?? part] : [])));
  const masked = share(heads.reduce((sum, own) => sum + own.masked, 0));
  if (parts.size > 0) text += ` Masked: ${masked} of all attention, on ${[...parts].join("; and on ")}.`;
  const sums = heads.flatMap(({ head }) => [...(attention.rowSums(layer, head) ?? [])]);
  const outside = 1 - sums.reduce((sum, own) => sum + own, 0) / sums.length;
  if (outside > 0.005) text += ` ${percent(outside)} of all attention went to sinks of the model's own, which are no tokens.`;
  return text;
}

/** How a token is called. */
export function nameOf(axes: Axes, { side, index }: Place): string {
  const { short, number } = axes[side][index]!;
  return `${short} (${number})`;
}

/** A value for reading: rounded, and as exact as it is known. */
export function valueSaid(value: number): string {
  return `${percent(value)} (${quantity(value)})`;
}

/** A line in words. */
export function linkSaid({ head, query, key, weight }: Link, axes: Axes): string {
  const name = (side: Place["side"], index: number) => nameOf(axes, { side, index });
  return `Head ${head}: ${name("query", query)} gives ${valueSaid(weight)} to ${name("key", key)}.`;
}
