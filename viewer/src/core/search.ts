// Search as a reader means it: capitals and kinds of blanks do not matter.

import { codePoints, type Span } from "./text.js";

/** Where the words of a query stand in a text, in code points, in reading order. */
export function find(text: string, query: string): Span[] {
  const words = query.trim().replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&").replace(/\s+/g, "\\s+");
  if (words === "") return [];
  const point = codePoints(text);
  return Array.from(text.matchAll(new RegExp(words, "giu")), ({ index, 0: found }) => [point(index), point(index + found.length)]);
}
