// What is drawn and what is not, in sentences: no picture of attention without them.

import type { AxisItem } from "../../core/axis.js";
import { percent, quantity } from "../../core/scale.js";
import words from "../../generated/words.json";
import { type Axes, drawnSum, type Link, MOST_LINES } from "./links.js";
import type { Picture } from "./use_links.js";

/** A whole number as it is read. */
export function grouped(number: number): string {
  return number.toLocaleString("en");
}

/** `head 3`, `heads 0 to 11`, `heads 1, 4`. */
export function headsSaid(heads: readonly number[]): string {
  const first = heads[0];
  const last = heads.at(-1);
  if (first === undefined || last === undefined) return "no head";
  if (first === last) return `head ${first}`;
  return `heads ${last - first + 1 === heads.length ? `${first} to ${last}` : heads.join(", ")}`;
}

/** How many lines are drawn, what they carry, and where the rest is. `outside`: what sinks of the model's own took. */
export function said(picture: Picture, axes: Axes, outside: number): string {
  const whole = picture.heads.length * axes.rows.length;
  if (whole === 0) return "No head is chosen, so no line is drawn.";
  const share = (sum: number) => percent(Math.min(1, sum / whole));
  const of = axes.renormalised ? "what each query gives to the keys that are shown" : "the attention";
  const drawn = drawnSum(picture);
  const hidden = picture.count - picture.links.length;
  const text =
    hidden > 0
      ? `The ${grouped(MOST_LINES)} strongest of ${grouped(picture.count)} lines are drawn. They carry ${share(drawn)} of ` +
        `${of}; the ${grouped(hidden)} that are not drawn carry ${share(Math.max(0, picture.sum - drawn))}.`
      : `All ${grouped(picture.count)} lines are drawn. They carry ${share(drawn)} of ${of}.`;
  const masked = picture.heads.reduce((sum, own) => sum + own.masked, 0);
  return [text, maskedSaid(axes.columns, share(masked)), outside > 0.005 ? outsideSaid(outside) : ""].join(" ").trim();
}

function maskedSaid(columns: readonly AxisItem[], share: string): string {
  const parts = new Set(columns.flatMap(({ masked, part }) => (masked ? [part] : [])));
  const names = [...parts].map((part) => (words.parts as Record<string, string>)[part] ?? part);
  return names.length === 0 ? "" : `Masked: ${share} of all attention, on ${names.join("; and on ")}.`;
}

function outsideSaid(outside: number): string {
  return `${percent(outside)} of all attention went to sinks of the model's own, which are no tokens.`;
}

/** A value for reading: rounded, and as exact as it is known. */
export function valueSaid(value: number): string {
  return `${percent(value)} (${quantity(value)})`;
}

/** A line in words. `named`: how a token is called. */
export function linkSaid(link: Link, named: (side: "query" | "key", index: number) => string): string {
  const [query, key] = [named("query", link.row), named("key", link.column)];
  return `Head ${link.head}: ${query} gives ${valueSaid(link.value)} to ${key}.`;
}
