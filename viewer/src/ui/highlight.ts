// Matches of the search, painted over the text without touching it, where the browser can.

import { effect } from "@preact/signals";
import type { Found } from "./found.js";
import type { Viewer } from "./viewer.js";

/** Painted at most; the count is of all. */
const MOST_PAINTED = 2000;

/** Paint the matches that have a range, and bring the one that is looked at into sight. The answer ends this. */
export function foundRanges({ found, state }: Viewer, rangeOf: (place: Found) => Range | null): () => void {
  const all = layer("whence-found");
  const one = layer("whence-match");
  let painted: Range[] = [];
  let looked: Range | null = null;
  const clear = () => {
    for (const range of painted) all?.delete(range);
    if (looked !== null) one?.delete(looked);
  };
  const stops = [
    effect(() => {
      for (const range of painted) all?.delete(range);
      painted = found.value.slice(0, MOST_PAINTED).flatMap((place) => rangeOf(place) ?? []);
      for (const range of painted) all?.add(range);
    }),
    effect(() => {
      const place = found.value[state.match.value];
      if (looked !== null) one?.delete(looked);
      looked = place === undefined ? null : rangeOf(place);
      if (looked === null) return;
      one?.add(looked);
      if (state.view.value === "record") looked.startContainer.parentElement?.scrollIntoView({ block: "center" });
    }),
  ];
  return () => {
    stops.forEach((stop) => stop());
    clear();
  };
}

/** One layer for all viewers of a page: their ranges do not meet. */
function layer(name: string): Highlight | null {
  if (!("highlights" in CSS)) return null;
  const known = CSS.highlights.get(name) ?? new Highlight();
  if (name === "whence-match") known.priority = 1;
  CSS.highlights.set(name, known);
  return known;
}
