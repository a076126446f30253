// The scale of the shades, and how shares and scores are written: the rules of whence.explain.render.scale.

import words from "../generated/words.json";

/** From this share on, steps 1 to 5; a smaller share is not shaded. */
export const EDGES_PERCENT: readonly number[] = words.edges_percent;
const ALL = 1 - 1e-6; // float32 sums of a whole may miss 1 by this much
const MINUS = "\u2212";
export const NBSP = "\xa0";

/** How a value becomes a colour. */
export const SCALES = ["linear", "log", "percentile"] as const;
export type Scale = (typeof SCALES)[number];
/** Where the logarithmic scale begins, unless all values are smaller. */
export const LOG_FLOOR = 1e-6;

/** A share in percent, rounded as it is written: whole from 10 % on, one decimal below; halves to even, as Python. */
function percentNumber(share: number): number {
  const size = 100 * share;
  // A half of a tenth is exact in quarters only.
  const tenths = Number((size % 1 === 0.25 ? size - 0.05 : size).toFixed(1));
  return tenths < 10 ? tenths : Math.round(size % 2 === 0.5 ? size - 0.5 : size);
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
  return EDGES_PERCENT.filter((edge) => number >= edge).length;
}

/** Each step with the shares that it stands for. */
export function legend(): [number, string][] {
  return EDGES_PERCENT.map((start, at) => {
    const end = EDGES_PERCENT[at + 1];
    return [at + 1, end === undefined ? `${start}${NBSP}% or more` : `${start} to ${end}${NBSP}%`];
  });
}

/** A score for reading: three significant digits, with a real minus sign. */
export function quantity(value: number): string {
  const size = Math.abs(value);
  // toExponential rounds halves up; Python rounds them to even.
  const up = /^\d\.\d[02468]50*e/.test(size.toExponential(40));
  const text = (up ? size * (1 - 2 ** -52) : size).toExponential(2);
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
export function greatest(values: ArrayLike<number>): number {
  let most = 0;
  for (let at = 0; at < values.length; at++) {
    const size = Math.abs(values[at]!);
    if (size > most) most = size;
  }
  return most;
}

/** Where the logarithmic scale of values up to `most` begins: to be stated beside it. */
export function logFloor(most: number): number {
  return most > LOG_FLOOR ? LOG_FLOOR : most * LOG_FLOOR;
}

/** Where on the scale of these values each value stands, from -1 to 1; 0 is nothing, and has no colour. */
export function toUnit(values: Float32Array | Float64Array, scale: Scale): (value: number) => number {
  const most = greatest(values);
  if (most === 0) return () => 0;
  if (scale === "linear") return (value) => clamped(value / most);
  if (scale === "log") {
    const floor = logFloor(most);
    const width = Math.log(most / floor);
    return (value) => {
      const size = Math.abs(value);
      return size <= floor ? 0 : clamped((Math.sign(value) * Math.log(size / floor)) / width);
    };
  }
  return percentile(values);
}

/** The shade of a position: 0 below one percent of the scale, else its fifth, 1 to 5. */
export function stepAt(position: number): number {
  const size = Math.abs(position);
  return size < 0.01 ? 0 : Math.min(5, 1 + Math.floor(5 * size));
}

function clamped(position: number): number {
  return Math.min(1, Math.max(-1, position));
}

const BINS = 1 << 15;

/** How many of the values that are not 0 are no greater: by a histogram in which neighbours are 0.8 % apart. */
function percentile(values: Float32Array | Float64Array): (value: number) => number {
  const one = new Float32Array(1);
  const bits = new Uint32Array(one.buffer);
  const bin = (value: number) => {
    one[0] = Math.abs(value);
    return bits[0]! >>> 16; // exponent, and 7 bits of the significand
  };
  const counts = new Float64Array(BINS);
  let all = 0;
  for (let at = 0; at < values.length; at++) {
    if (values[at] === 0) continue;
    counts[bin(values[at]!)]!++;
    all++;
  }
  for (let at = 1; at < BINS; at++) counts[at]! += counts[at - 1]!;
  return (value) => (value === 0 ? 0 : (Math.sign(value) * counts[bin(value)]!) / all);
}
