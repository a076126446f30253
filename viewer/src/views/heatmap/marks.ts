// What is chosen in all views, and what was searched for, as rows and columns of this one.

import type { Loaded } from "../../core/model.js";
import { type Place, within } from "../../ui/found.js";
import type { Choice } from "../../ui/state.js";
import type { Heat } from "./heat.js";
import { type Both, both } from "./layout.js";

/** Indices of rows and of columns. */
export type Marks = Both<readonly number[]>;

/** The rows and columns that hold a word that was searched for. */
export function marksOfFound(heat: Heat, found: readonly Place[]): Marks {
  return both((which) => within(heat[which], found));
}

/** The rows and columns of what is chosen. */
export function marksOf({ segments, targets }: Loaded, heat: Heat, choice: Choice, ofScores: boolean): Marks {
  if (choice === null) return { rows: [], columns: [] };
  if (choice.kind === "segment") {
    // A region of an image has no characters.
    const { source, start, end } = segments[choice.index]!;
    const place = { source, start: start ?? 0, end: end ?? 0 };
    return { rows: [], columns: ofScores ? [choice.index] : within(heat.columns, [place]) };
  }
  const { start, end } = choice.kind === "target" ? targets[choice.index]! : choice;
  return { rows: within(heat.about, [{ source: null, start, end }]), columns: [] };
}
