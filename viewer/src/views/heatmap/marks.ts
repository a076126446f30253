// What is chosen in all views, and what was searched for, as rows and columns of this one.

import type { AxisItem } from "../../core/axis.js";
import type { Loaded } from "../../core/model.js";
import type { Found } from "../../ui/found.js";
import type { Choice } from "../../ui/state.js";
import type { Heat, Stretch } from "./heat.js";

export interface Marks {
  rows: ReadonlySet<number>;
  columns: ReadonlySet<number>;
}

const NONE: ReadonlySet<number> = new Set();

/** The rows and columns that hold a word that was searched for. */
export function marksOfFound({ sourceIndex }: Loaded, { rows, columns }: Heat, found: readonly Found[]): Marks {
  if (found.length === 0) return { rows: NONE, columns: NONE };
  const places = new Map<number | null, Found[]>();
  for (const place of found) places.set(place.source, [...(places.get(place.source) ?? []), place]);
  const holds = (item: AxisItem) => {
    const source = item.source === null ? null : (sourceIndex.get(item.source) ?? null);
    return (places.get(source) ?? []).some((place) => overlap(item, place));
  };
  return { rows: where(rows, holds), columns: where(columns, holds) };
}

/** The rows and columns of what is chosen. */
export function marksOf(loaded: Loaded, heat: Heat, choice: Choice, ofScores: boolean): Marks {
  if (choice === null) return { rows: NONE, columns: NONE };
  if (choice.kind === "segment") {
    // A region of an image has no characters.
    if (ofScores) return { rows: NONE, columns: new Set([choice.index]) };
    const { source, start, end } = loaded.segments[choice.index]!;
    const own = (item: AxisItem) => item.source === source && overlap(item, { start: start ?? 0, end: end ?? 0 });
    return { rows: NONE, columns: where(heat.columns, own) };
  }
  const stretch = choice.kind === "target" ? loaded.targets[choice.index]! : choice;
  return { rows: where(heat.about, (about) => about !== null && overlap(about, stretch)), columns: NONE };
}

function overlap(one: Stretch, other: Stretch): boolean {
  return one.start < other.end && one.end > other.start;
}

function where<T>(items: readonly T[], own: (item: T) => boolean): Set<number> {
  return new Set(items.flatMap((item, at) => (own(item) ? [at] : [])));
}
