// Matches of the search, painted over the text without touching it, where the browser can.

import type { Place } from "./found.js";
import { effect } from "@preact/signals-core";
import type { Viewer } from "./viewer.js";

/** Painted at most; the count is of all. */
const MOST_PAINTED = 2000;

/** Paint the matches that have a range, and bring the one that is looked at into sight. The answer ends this. */
export function foundRanges({ found, state }: Viewer, rangeOf: (place: Place) => Range | null): () => void {
  /** Paint these ranges and no others, of those that are ours. */
  const painter = (name: string) => {
    const layer = layerOf(name);
    let painted: readonly Range[] = [];
    return (ranges: readonly Range[]) => {
      for (const range of painted) layer?.delete(range);
      for (const range of ranges) layer?.add(range);
      painted = ranges;
    };
  };
  const [paintAll, paintOne] = [painter("whence-found"), painter("whence-match")];
  const stops = [
    effect(() => paintAll(found.value.slice(0, MOST_PAINTED).flatMap((place) => rangeOf(place) ?? []))),
    effect(() => {
      const place = found.value[state.match.value];
      const looked = place === undefined ? null : rangeOf(place);
      paintOne(looked === null ? [] : [looked]);
      // The panel may only now become visible.
      if (state.view.value === "record") setTimeout(() => looked?.startContainer.parentElement?.scrollIntoView({ block: "center" }));
    }),
  ];
  return () => {
    stops.forEach((stop) => stop());
    paintAll([]);
    paintOne([]);
  };
}

/** One layer for all viewers of a page: their ranges do not meet. */
function layerOf(name: string): Highlight | null {
  if (!("highlights" in CSS)) return null;
  const known = CSS.highlights.get(name) ?? new Highlight();
  if (name === "whence-match") known.priority = 1;
  CSS.highlights.set(name, known);
  return known;
}
