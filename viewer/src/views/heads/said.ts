// What is drawn and what is not, in sentences: no picture of attention without them.

import { percent, quantity, type Scale } from "../../core/scale.js";
import { words } from "../../core/wording.js";
import { short } from "../heatmap/heat.js";
import { type Item, type Link, MOST_LINES, sumOf, total } from "./links.js";
import type { Picture } from "./use_picture.js";

/** A whole number as it is read. */
export function grouped(number: number): string {
  return number.toLocaleString("en");
}

/** How many lines are drawn, of all or of one token, what they carry, and where the rest is. */
export function said({ attention, layer, axes, heads, count }: Picture, item: Item | null, lines: readonly Link[], scale: Scale): string {
  const drawn = lines.slice(0, MOST_LINES);
  const lineCount = item ? lines.length : count;
  const hidden = lineCount - drawn.length;
  const own = item?.side === "query";
  const tokens = own ? item.members.length : attention.block.queries.length;
  const share = (part: number) => percent(part / (heads.length * tokens));
  let text = `${hidden > 0 ? `The ${grouped(drawn.length)} strongest of` : "All"} ${grouped(lineCount)} lines`;
  text += `${item ? ` of ${nameOf(item)}` : ""} are drawn. They carry ${share(total(drawn))} of what ${own ? "it" : "each query"} gives`;
  if (axes.renormalised) text += " to the keys that are shown";
  if (hidden > 0) text += `; the ${grouped(hidden)} that are not drawn carry ${share((item ? total(lines) : sumOf(heads, "sum")) - total(drawn))}`;
  if (drawn[0]) text += `. The darkest has ${percent(drawn[0].weight)}; the scale is ${scale}`;
  const all = heads.length * attention.block.queries.length;
  const names: Record<string, string> = words.parts;
  const parts = new Set(axes.key.flatMap(({ masked, part }) => (masked ? [names[part] ?? part] : [])));
  if (parts.size > 0) text += `. Masked: ${percent(sumOf(heads, "masked") / all)} of all attention, on ${[...parts].join("; and on ")}`;
  const sums = heads.flatMap(({ head }) => [...(attention.rowSums(layer, head) ?? [])]);
  const outside = 1 - sums.reduce((sum, own) => sum + own, 0) / sums.length;
  if (outside > 0.005) text += `. ${percent(outside)} of all attention went to sinks of the model's own, which are no tokens`;
  return `${text}.`;
}

/** How a token is called. */
export function nameOf({ label, number }: Item): string {
  return `${short(label)} (${number})`;
}

/** A value for reading: rounded, and as exact as it is known. */
export function valueSaid(value: number): string {
  return `${percent(value)} (${quantity(value)})`;
}

/** A line in words. */
export function linkSaid({ head, query, key, weight }: Link): string {
  return `Head ${head}: ${nameOf(query)} gives ${valueSaid(weight)} to ${nameOf(key)}.`;
}
