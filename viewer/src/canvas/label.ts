// Labels: texts of records in little room.

const RIGHT_TO_LEFT = /^\P{L}*[\p{sc=Hebr}\p{sc=Arab}\p{sc=Syrc}\p{sc=Thaa}\p{sc=Nkoo}]/u;
/** As in viewer.css. */
export const FONT = "system-ui, Noto Sans, sans-serif";

export function font(size = 12, bold = false): string {
  return `${bold ? 600 : 400} ${size}px ${FONT}`;
}

/** The direction that the first letter of a text gives it. */
export function firstStrong(text: string): "ltr" | "rtl" {
  return RIGHT_TO_LEFT.test(text) ? "rtl" : "ltr";
}

let context: CanvasRenderingContext2D | null = null;

/** The width of a text, in pixels. */
export function measure(text: string, size?: number, bold?: boolean): number {
  context ??= document.createElement("canvas").getContext("2d");
  if (context === null) return 0;
  context.font = font(size, bold);
  return context.measureText(text).width;
}

/** More marks on one letter than any script has would be drawn across the lines above. */
const PILE = /(\p{M}{4})\p{M}+/gu;
/** Characters as a reader counts them, so that no accent and no emoji is cut in two. */
const segmenter = new Intl.Segmenter("und");

/** As much of a text as `width` pixels hold, in one line; an ellipsis stands for the rest. */
export function fitted(text: string, width: number, size?: number, bold?: boolean): string {
  // What lies beyond is never measured: no character is so narrow.
  const most = Math.ceil(2 * width);
  const line = text.slice(0, most).replace(/\s+/g, " ").replace(PILE, "$1").trim();
  if (text.length <= most && measure(line, size, bold) <= width) return line;
  let cut = "";
  for (const { segment } of segmenter.segment(line)) {
    if (measure(`${cut + segment}…`, size, bold) > width) break;
    cut += segment;
  }
  return `${cut.trimEnd()}…`;
}

/** A text in lines that are at most `width` pixels wide: broken at blanks; a longer word is cut. */
export function wrapped(text: string, width: number, size?: number, bold?: boolean): string[] {
  const lines: string[] = [];
  for (const word of text.trim().split(/\s+/)) {
    const longer = `${lines.at(-1) ?? ""} ${word}`;
    if (lines.length > 0 && longer.length < width && measure(longer, size, bold) <= width) lines[lines.length - 1] = longer;
    else lines.push(fitted(word, width, size, bold));
  }
  return lines;
}
