// Labels: texts of records in little room.

import { font } from "./pen.js";

const RIGHT_TO_LEFT = /^[^\p{L}]*[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** The direction that the first letter of a text gives it. */
export function firstStrong(text: string): "ltr" | "rtl" {
  return RIGHT_TO_LEFT.test(text) ? "rtl" : "ltr";
}

let context: CanvasRenderingContext2D | null = null;

/** The width of a text, in pixels. */
export function measure(text: string, size = 12, bold = false): number {
  context ??= document.createElement("canvas").getContext("2d");
  if (context === null) return text.length * size * 0.6;
  context.font = font(size, bold);
  return context.measureText(text).width;
}

/** More marks on one letter than any script has would be drawn across the lines above. */
const PILE = /(\p{M}{4})\p{M}+/gu;

/** As much of a text as `width` pixels hold, in one line; an ellipsis stands for the rest. */
export function fitted(text: string, width: number, size = 12, bold = false): string {
  // No letter is narrower than a pixel and a half, so what lies beyond that is never measured.
  const most = Math.ceil(width / 1.5);
  const line = text.slice(0, 4 * most).replace(/\s+/g, " ").replace(PILE, "$1").trim();
  if (text.length <= 4 * most && line.length <= most && measure(line, size, bold) <= width) return line;
  const signs = graphemes(line, most);
  let [low, high] = [0, signs.length];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (measure(`${signs.slice(0, middle).join("")}…`, size, bold) <= width) low = middle;
    else high = middle - 1;
  }
  return `${signs.slice(0, low).join("").trimEnd()}…`;
}

const segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });

/** The first characters as a reader counts them, so that no accent and no emoji is cut in two. */
function graphemes(text: string, most: number): string[] {
  const found: string[] = [];
  for (const { segment } of segmenter.segment(text)) {
    if (found.length === most) break;
    found.push(segment);
  }
  return found;
}

/** A text in lines that are at most `width` pixels wide: broken at blanks; a longer word is cut. */
export function wrapped(text: string, width: number, size = 12, bold = false): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.trim().split(/\s+/)) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (longer.length < width && measure(longer, size, bold) <= width) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = fitted(word, width, size, bold);
  }
  return line === "" ? lines : [...lines, line];
}
