// Search as a reader means it: capitals and kinds of blanks do not matter.

import { codePoints, type Span } from "./text.js";

/** At most so many places are found; as many mean that there may be more. */
export const MOST_FOUND = 10_000;

/** Where the words of a query stand in a text, in code points, in reading order; at most `MOST_FOUND` places. */
export function find(text: string, query: string): Span[] {
  const words = query.trim().replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&").replace(/\s+/g, "\\s+");
  if (words === "") return [];
  const point = codePoints(text);
  const places: Span[] = [];
  for (const { index, 0: found } of text.matchAll(new RegExp(words, "giu"))) {
    if (places.push([point(index), point(index + found.length)]) === MOST_FOUND) break;
  }
  return places;
}
