// One segment as a passage, with its surroundings if it is a token or a word: the rules of
// whence.explain.render.view, with a shorter excerpt, for the record stands beside it.

import type { Loaded } from "../../core/model.js";
import { labelled } from "../../core/text.js";

const EXCERPT = 240;
const CONTEXT = 40;

export interface Quote {
  readonly before?: string;
  readonly text: string;
  readonly after?: string;
  /** Index of its source. */
  readonly source: number;
}

export function quote(loaded: Loaded, segment: number): Quote {
  const { source: id, start, end, kind } = loaded.segments[segment]!;
  const source = loaded.sourceIndex.get(id)!;
  const drawn = loaded.texts[source]!;
  if (start === null || end === null) return { text: loaded.segmentText(segment), source };
  const text = drawn.slice(start, Math.min(end, start + EXCERPT));
  const words = text.trim();
  const cut = end - start > EXCERPT ? "…" : "";
  if (words === "" || (kind !== "token" && kind !== "word")) return { text: labelled(text), after: cut, source };
  const [lead, tail] = text.split(words);
  const before = lineEnd(drawn.slice(Math.max(0, start - CONTEXT), start) + lead, start > CONTEXT);
  const after = lineStart(tail + drawn.slice(end, end + CONTEXT), end + CONTEXT < drawn.length);
  return { before, text: words, after: cut || after, source };
}

/** The last line of what comes before a passage; where it was cut off, from a whole word on. */
function lineEnd(text: string, cut: boolean): string {
  const line = text.slice(text.lastIndexOf("\n") + 1);
  return cut && line === text ? line.replace(/^([^ ]*(?= ))?/, "…") : line;
}

/** The first line of what comes after a passage; where it is cut off, up to a whole word. */
function lineStart(text: string, cut: boolean): string {
  const [line = ""] = text.split("\n");
  return cut && line === text ? line.replace(/((?<= )[^ ]*)?$/, "…") : line;
}
