// What attention is called wherever it is shown: of which heads, in which unit, how exact; and tokens in little room.

import { percent } from "./scale.js";
import type { Block } from "./schema.js";
import { words } from "./wording.js";

/** `head 3`, `heads 0, 3`, `all heads`. */
export function listed(what: string, list: readonly number[], count: number): string {
  if (list.length === 1) return `${what} ${list[0]}`;
  return list.length === count ? `all ${what}s` : `${what}s ${list.join(", ")}`;
}

export function unitOf(renormalised: boolean, unit: string = words.units.attention_mass): string {
  return renormalised ? "share of what is shown" : unit;
}

export function precisionOf({ encoding, precision }: Block): string {
  return `${encoding}: within ${percent(precision.relative_error)} of a weight`;
}

const LONGEST = 60;

/** A label where there is little room. */
export function short(label: string): string {
  return label.length > LONGEST ? `${[...label.slice(0, LONGEST)].slice(0, -1).join("")}…` : label;
}
