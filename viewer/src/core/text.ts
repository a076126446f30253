// Text as it is drawn. Nothing in it is invisible, and nothing can reorder the page: see
// whence.explain.render.visible, whose rules these are. Offsets are code points of the text as given.

// Nothing to see; but some format characters have a shape: Arabic, Syriac and Kaithi number and verse signs.
const HIDDEN =
  /(?![\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}])[\p{Cf}\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]/u;
const SELECTS = /[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/u;
const ASTRAL = /[\u{10000}-\u{10ffff}]/gu;
/** Whether a text must be drawn character by character: something is hidden, or longer than a UTF-16 unit. */
const SPECIAL = new RegExp(`(?![\\t\\n])${HIDDEN.source}|${SELECTS.source}|${ASTRAL.source}`, "u");
// What Python calls blank: not U+FEFF, but the four separators and NEL.
const BLANK = String.raw`\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;
const BLANKS = new RegExp(`[${BLANK}]+`, "g");
/** What stands between blanks. */
export const INK = new RegExp(`[^${BLANK}]+`, "g");

/** A text that is drawn in parts. */
export interface DrawnText {
  readonly text: string;
  /** Code points of the text as given. */
  readonly length: number;
  /** How the code points [start, end) are drawn. */
  slice(start: number, end: number): string;
  /** The first code point from `at` on that is not blank; the length where there is none. */
  inkFrom(at: number): number;
}

export function drawnText(text: string): DrawnText {
  /** How each code point is drawn; null where each is drawn as it is, and is one UTF-16 unit. */
  const drawn = SPECIAL.test(text) ? visibleCharacters(text) : null;
  let blanks: readonly Span[] | undefined;
  return {
    text,
    length: (drawn ?? text).length,
    slice: (start, end) => drawn?.slice(start, end).join("") ?? text.slice(start, end),
    inkFrom(at) {
      blanks ??= blankRuns(text);
      const run = holding(blanks, at);
      return run === null ? at : blanks[run]![1];
    },
  };
}

/** Start and end, in code points. */
export type Span = readonly [number, number];

/** The first index below `count` for which this holds, as it does for all after it; `count` where there is none. */
export function firstOf(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  while (low < count) {
    const middle = (low + count) >> 1;
    if (holds(middle)) count = middle;
    else low = middle + 1;
  }
  return low;
}

/** The index of the one of the sorted spans that holds `at`. */
export function holding(spans: readonly Span[], at: number): number | null {
  const index = firstOf(spans.length, (index) => spans[index]![0] > at) - 1;
  return index >= 0 && at < spans[index]![1] ? index : null;
}

/** Code points of a text by its UTF-16 units; of the second unit of a code point: that code point. */
export function codePoints(text: string): (unit: number) => number {
  // The code points that take two units, by their index. The one of index n begins at unit pairs[n] + n.
  const pairs = Array.from(text.matchAll(ASTRAL), ({ index }, before) => index - before);
  return (unit) => unit - firstOf(pairs.length, (index) => pairs[index]! + index >= unit);
}

/** Where blanks stand, in code points. */
function blankRuns(text: string): Span[] {
  const point = codePoints(text);
  return Array.from(text.matchAll(BLANKS), (run) => {
    const start = point(run.index);
    return [start, start + run[0].length] as const;
  });
}

/** How each code point is drawn. */
export function visibleCharacters(text: string): string[] {
  const given = [...text];
  return given.map((character, at) => {
    const selects = SELECTS.test(character);
    if ((!selects && !HIDDEN.test(character)) || character === "\n" || character === "\t") return character;
    if (character === "\r" && given[at + 1] === "\n") return "";
    if (character < " ") return String.fromCharCode(0x2400 + character.charCodeAt(0));
    if (character === "\x7f") return "␡";
    const before = given[at - 1] ?? "";
    // A joiner stays where it shapes letters or builds an emoji, a selector where it selects.
    const stays = selects ? before && !SELECTS.test(before) : "\u200c\u200d".includes(character) && before > "\x7f";
    if (stays && !HIDDEN.test(before)) return character;
    const number = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
    return `⟦U+${number}⟧`;
  });
}

/** A text with every invisible character drawn as a sign. */
export function visible(text: string): string {
  return SPECIAL.test(text) ? visibleCharacters(text).join("") : text;
}

/** Blanks, tabs and line ends as signs: for a passage that holds nothing else. */
export function blanksVisible(text: string): string {
  return text.replaceAll(" ", "␣").replaceAll("\t", "␉").replaceAll("\n", "␊");
}

/** Words for a label: without the blanks around them, and never nothing. */
export function labelled(drawn: string): string {
  return drawn.trim() || blanksVisible(drawn);
}
