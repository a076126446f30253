// The evidence of any stretch of the output, from the token level: what Explanation.at computes for its own
// units. A token belongs to where its first character that is not blank stands.

import type { Loaded } from "./model.js";
import { remembered } from "./remembered.js";
import { type Evidence, meanOf } from "./shares.js";
import { holding, type Span } from "./text.js";

/** What the characters [start, end) of the output received; null where no token level was kept, or adds up. */
export function stretch(loaded: Loaded, result: number, start: number, end: number): Evidence | null {
  const { detail, told } = loaded.result(result);
  const outside = told.detail?.elsewhere;
  const { unit } = told.scores;
  if (detail === null || outside === undefined || (unit !== "attention_mass" && unit !== "relevance")) return null;
  const rows = tokensWithin(loaded, start, end);
  const elsewhere = meanOf(rows.map((row) => outside[row]!));
  const segmentOf = loaded.segmentsOfDetail(result);
  const row = new Float64Array(loaded.segments.length);
  for (const own of rows) {
    segmentOf.forEach((segment, column) => {
      const value = detail.values[own * detail.columns + column]! / rows.length;
      if (segment >= 0) row[segment]! += value;
      else {
        elsewhere.blank += value;
        elsewhere.total += value;
      }
    });
  }
  return { row: Float32Array.from(row), elsewhere };
}

/** The output's tokens that belong to [start, end); at least the one that covers its start. */
function tokensWithin(loaded: Loaded, start: number, end: number): number[] {
  const own: number[] = [];
  let [before, beforeStart] = [0, -1];
  (loaded.explanation.output.tokens ?? []).forEach((token, at) => {
    if (token.end <= token.start) return;
    if (token.start <= start && token.start >= beforeStart) [before, beforeStart] = [at, token.start];
    const first = loaded.output.inkFrom(token.start);
    if (first < token.end && first >= start && first < end) own.push(at);
  });
  return own.length > 0 ? own : [before];
}

/** For each column of a token level its segment; -1 for a token without a character that is seen. */
export function segmentsOf(loaded: Loaded, tokens: readonly (readonly [string, number, number])[]): Int32Array {
  const placeOf = remembered((source: string) => {
    const own = loaded.segments.filter((segment) => segment.source === source);
    const spans = own.map(({ start, end }): Span => [start ?? 0, end ?? 0]);
    return { spans, first: loaded.segments.indexOf(own[0]!), seen: 0 };
  });
  return Int32Array.from(tokens, ([source, start, end]) => {
    const place = placeOf(source);
    const ink = loaded.textOf(source).inkFrom(start);
    if (ink >= end) return -1;
    // Tokens may overlap, so a position does not tell them apart: as segments they come in the same order.
    const next = place.spans[place.seen];
    if (next?.[0] === start && next[1] === end) return place.first + place.seen++;
    const held = holding(place.spans, ink);
    return held === null ? -1 : place.first + held;
  });
}
