// The evidence of any stretch of the output, from the token level: what Explanation.at computes for its own
// units. A token belongs to where its first character that is not blank stands.

import type { Loaded } from "./model.js";
import type { Elsewhere, ElsewherePart } from "./schema.js";
import type { Evidence } from "./shares.js";
import { holding, type Span } from "./text.js";

const PARTS: readonly ElsewherePart[] = ["instruction", "template", "special", "sink", "output_so_far", "blank"];

/** What the characters [start, end) of the output received; null where no token level was kept, or adds up. */
export function stretch(loaded: Loaded, result: number, start: number, end: number): Evidence | null {
  const { detail, told } = loaded.result(result);
  const { unit } = told.scores;
  if (detail === null || told.detail === null || (unit !== "attention_mass" && unit !== "relevance")) return null;
  const rows = tokensWithin(loaded, start, end);
  const segmentOf = loaded.segmentsOfDetail(result);
  const sums = new Float64Array(loaded.segments.length);
  const outside = Object.fromEntries(PARTS.map((part) => [part, 0])) as Record<ElsewherePart, number>;
  for (const row of rows) {
    for (let column = 0; column < detail.columns; column++) {
      const value = detail.values[row * detail.columns + column]!;
      const segment = segmentOf[column]!;
      if (segment < 0) outside.blank += value / rows.length;
      else sums[segment]! += value;
    }
    for (const part of PARTS) outside[part] += told.detail.elsewhere[row]![part] / rows.length;
  }
  const elsewhere: Elsewhere = { ...outside, total: PARTS.reduce((sum, part) => sum + outside[part], 0) };
  return {
    row: Float32Array.from(sums, (sum) => sum / rows.length),
    elsewhere,
    stderr: null,
    alone: new Map(),
    unmeasured: 0,
  };
}

/** The output's tokens that belong to [start, end); at least the one that covers its start. */
function tokensWithin(loaded: Loaded, start: number, end: number): number[] {
  const own: number[] = [];
  let before: number | null = null;
  let beforeStart = -1;
  (loaded.explanation.output.tokens ?? []).forEach((token, at) => {
    if (token.end <= token.start) return;
    if (token.start <= start && token.start >= beforeStart) [before, beforeStart] = [at, token.start];
    const first = loaded.output.inkFrom(token.start);
    if (first < token.end && first >= start && first < end) own.push(at);
  });
  return own.length > 0 ? own : [before ?? 0];
}

/** For each column of a token level its segment; -1 for a token without a character that is seen. */
export function segmentsOf(loaded: Loaded, tokens: readonly (readonly [string, number, number])[]): Int32Array {
  const own = new Map<string, { spans: Span[]; first: number; seen: number; tokens: boolean }>();
  loaded.segments.forEach(({ source, start, end, kind }, at) => {
    if (start === null || end === null) return;
    const known = own.get(source) ?? { spans: [], first: at, seen: 0, tokens: kind === "token" };
    known.spans.push([start, end]);
    own.set(source, known);
  });
  return Int32Array.from(tokens, ([source, start, end]) => {
    const place = own.get(source);
    if (place === undefined) return -1;
    const first = loaded.textOf(source).inkFrom(start);
    if (first >= end) return -1;
    // Tokens may overlap, so a position does not tell them apart: as segments they come in the same order.
    const next = place.spans[place.seen];
    if (place.tokens && next !== undefined && next[0] === start && next[1] === end) return place.first + place.seen++;
    const held = holding(place.spans, first);
    return held === null ? -1 : place.first + held;
  });
}
