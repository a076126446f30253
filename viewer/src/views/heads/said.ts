// What is drawn and what is not, in sentences: no picture of attention without them.

import { listed, short } from "../../core/naming.js";
import { percent, quantity, type Scale } from "../../core/scale.js";
import type { ElsewherePart } from "../../core/schema.js";
import { words } from "../../core/wording.js";
import { type Item, type Link, MOST_LINES, sumOf, total } from "./links.js";
import type { Picture } from "./use_picture.js";

/** A whole number as it is read. */
export function grouped(number: number): string {
  return number.toLocaleString("en");
}

/** Of which attention a picture is. */
export function whatOf({ attention, layer, heads }: Picture): string {
  const { name, heads: count } = attention.block;
  return `${name}, layer ${layer}, ${listed("head", heads.map(({ head }) => head), count)}`;
}

/** Empty where nothing is masked. */
export function maskedSaid({ attention, axes, heads }: Picture): string {
  const parts = new Set(axes.key.flatMap(({ masked, part }) => (masked ? [words.parts[part as ElsewherePart]] : [])));
  if (parts.size === 0) return "";
  const share = sumOf(heads, "masked") / (heads.length * attention.block.queries.length);
  return `${percent(share)} of all attention, on ${[...parts].join("; and on ")}`;
}

/** How many lines are drawn, of all or of one token, what they carry, and where the rest is. */
export function said(picture: Picture, item: Item | null, lines: readonly Link[], scale: Scale): string {
  const { attention, layer, axes, heads, count } = picture;
  const drawn = lines.slice(0, MOST_LINES);
  const hidden = count - drawn.length;
  const own = item?.side === "query";
  const tokens = own ? item.members.length : attention.block.queries.length;
  const all = item ? total(lines) : sumOf(heads, "sum");
  // Renormalised, a query that gives nothing to the keys that are shown has no part in what is shown.
  const given = !axes.renormalised ? heads.length * tokens : own ? all : sumOf(heads, "sum");
  const share = (part: number) => percent(part / (given || 1));
  let text = `${whatOf(picture)}: ${hidden > 0 ? `the ${grouped(drawn.length)} strongest of` : "all"} ${grouped(count)} lines`;
  text += `${item ? ` of ${nameOf(item)}` : ""} are drawn, where one of their tokens is in sight. They carry ${share(total(drawn))} of what ${own ? "it" : "each query"} gives`;
  if (axes.renormalised) text += " to the keys that are shown";
  if (hidden > 0) text += `; the ${grouped(hidden)} that are not drawn carry ${share(all - total(drawn))}`;
  if (drawn[0]) text += `. The strongest has ${percent(drawn[0].weight)}; the scale is ${scale}`;
  const masked = maskedSaid(picture);
  if (masked) text += `. Masked: ${masked}`;
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
