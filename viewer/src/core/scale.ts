// The scale of the shades, and how shares and scores are written: the rules of whence.explain.render.scale.

import { words } from "./wording.js";

const ALL = 1 - 1e-6; // float32 sums of a whole may miss 1 by this much
const MINUS = "\u2212";
export const NBSP = "\xa0";

/** How a value becomes a colour. */
export const SCALES = ["linear", "log", "percentile"] as const;
export type Scale = (typeof SCALES)[number];

/** A share in percent, rounded as it is written: whole from 10 % on, one decimal below; halves up. */
function percentNumber(share: number): number {
  const tenths = Number((100 * share).toFixed(1));
  return tenths < 10 ? tenths : Math.round(100 * share);
}

/** A share for reading: `43 %`, `4.2 %`, `0 %`; only what is all is written as 100 %, and what is nothing as 0. */
export function percent(share: number): string {
  const number = percentNumber(Math.abs(share));
  if (number === 0) return `${share === 0 ? "0" : "<0.1"}${NBSP}%`;
  if (number === 100 && share < ALL) return `>99${NBSP}%`;
  return `${share < 0 ? MINUS : ""}${number.toFixed(number >= 10 ? 0 : 1)}${NBSP}%`;
}

/** The shade of a share, 0 (none) to 5; by the number that is written, so that the two never disagree. */
export function step(share: number): number {
  const number = percentNumber(share);
  return words.edges_percent.filter((edge) => number >= edge).length;
}

/** A score for reading: three significant digits, with a real minus sign. */
export function quantity(value: number): string {
  const text = Math.abs(value).toExponential(2);
  const [digits, power] = text.split("e").map(Number) as [number, number];
  const exponent = `e${power < 0 ? MINUS : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
  const minus = value < 0 || Object.is(value, -0) ? MINUS : "";
  return minus + (power < -4 || power >= 3 ? digits + exponent : Number(text));
}

/** The number with the fewest digits that is this float32: the one that was written. */
export function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return Number(value.toPrecision(9));
}

/** The greatest magnitude. */
export function greatest(values: Iterable<number>): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}

/** Where on the scale of these values each value stands, from -1 to 1; 0 is nothing, and has no colour. */
export function toUnit(values: Float32Array | Float64Array, scale: Scale): (value: number) => number {
  const size = sizes(values, scale);
  return (value) => Math.sign(value) * Math.min(1, size(Math.abs(value)));
}

function sizes(values: Float32Array | Float64Array, scale: Scale): (size: number) => number {
  const most = greatest(values) || 1;
  if (scale === "linear") return (size) => size / most;
  if (scale === "percentile") return percentile(values, most);
  // It begins at half of the smallest value, so that this one is seen.
  let floor = most;
  for (const value of values) if (value !== 0) floor = Math.min(floor, Math.abs(value));
  floor /= 2;
  return (size) => Math.max(0, Math.log(size / floor) / Math.log(most / floor));
}

/** The shade of a position: the fifth of the scale in which it lies, 1 to 5; 0 of nothing. */
export function stepAt(position: number): number {
  return Math.ceil(5 * Math.abs(position));
}

const BINS = 1 << 15;

/** How many of the values that are not 0 are no greater: by a histogram whose bins are narrower the smaller they are. */
function percentile(values: Float32Array | Float64Array, most: number): (size: number) => number {
  const bin = (size: number) => Math.floor(BINS * (size / most) ** 0.1);
  const counts = new Float64Array(BINS + 1);
  for (const value of values) counts[bin(Math.abs(value))]!++;
  counts[0] = 0;
  for (let at = 1; at <= BINS; at++) counts[at]! += counts[at - 1]!;
  return (size) => counts[bin(size)]! / (counts[BINS] || 1);
}
