// Text as it is drawn. Nothing in it is invisible, and nothing can reorder the page: see
// whence.explain.render.visible, whose rules these are. Offsets are code points of the text as given.

import words from "../generated/words.json";

const NAMES: Readonly<Record<string, string | undefined>> = words.invisible;
// Format characters that have a shape of their own: Arabic, Syriac and Kaithi number and verse signs.
const SHAPED = /[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]/u;
const UNSEEN = /[\p{Cf}\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]/u;
const SELECTS = /[\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/u;
const JOINS = /[\u200c\u200d]/;
/** Whether a text must be drawn character by character: something is hidden, or longer than a UTF-16 unit. */
const SPECIAL =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f\u{10000}-\u{10ffff}]/u;
/** What Python calls blank: not U+FEFF, but the four separators and NEL. */
export const BLANKS = /[\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

export class DrawnText {
  /** Code points of the text as given. */
  readonly length: number;
  /** How each code point is drawn; null where each is drawn as it is, and is one UTF-16 unit. */
  private readonly drawn: readonly string[] | null;
  private blanks: readonly Span[] | null = null;

  constructor(readonly text: string) {
    this.drawn = SPECIAL.test(text) ? visibleCharacters(text) : null;
    this.length = this.drawn === null ? text.length : this.drawn.length;
  }

  /** How the code points [start, end) are drawn. */
  slice(start: number, end: number): string {
    return this.drawn === null ? this.text.slice(start, end) : this.drawn.slice(start, end).join("");
  }

  /** The first code point from `at` on that is not blank; the length where there is none. */
  inkFrom(at: number): number {
    this.blanks ??= blankRuns(this.text);
    const run = holding(this.blanks, at);
    return run === null ? at : this.blanks[run]![1];
  }
}

/** Start and end, in code points. */
export type Span = readonly [number, number];

/** The index of the one of the sorted spans that holds `at`. */
export function holding(spans: readonly Span[], at: number): number | null {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spans[middle]![0] <= at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at < spans[low - 1]![1] ? low - 1 : null;
}

/** Code points of a text by its UTF-16 units; of the second unit of a code point: that code point. */
export function codePoints(text: string): (unit: number) => number {
  // The code points that take two units, by their index. The one of index n begins at unit pairs[n] + n.
  const pairs: number[] = [];
  for (const { index } of text.matchAll(/[\u{10000}-\u{10ffff}]/gu)) pairs.push(index - pairs.length);
  return (unit) => {
    let low = 0;
    let high = pairs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (pairs[middle]! + middle < unit) low = middle + 1;
      else high = middle;
    }
    return unit - low;
  };
}

/** How each code point is drawn. */
export function visibleCharacters(text: string): string[] {
  const given = [...text];
  return given.map((character, at) => {
    if ((character >= " " && character <= "~") || character === "\n" || character === "\t") return character;
    if (character === "\r") return given[at + 1] === "\n" ? "" : "␍";
    if (character < " ") return String.fromCharCode(0x2400 + character.charCodeAt(0));
    if (character === "\x7f") return "␡";
    const selects = SELECTS.test(character);
    if (!selects && !isHidden(character)) return character;
    const before = at > 0 ? given[at - 1]! : "";
    // A joiner stays where it shapes letters or builds an emoji, a selector where it selects.
    const stays = selects ? before !== "" && !SELECTS.test(before) : JOINS.test(character) && before > "\x7f";
    if (stays && !isHidden(before)) return character;
    const number = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
    return `⟦${NAMES[character] ?? `U+${number}`}⟧`;
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

function isHidden(character: string): boolean {
  return UNSEEN.test(character) && !SHAPED.test(character);
}

/** Where blanks stand, in code points. */
function blankRuns(text: string): Span[] {
  const point = codePoints(text);
  return Array.from(text.matchAll(BLANKS), (run) => {
    const start = point(run.index);
    return [start, start + run[0].length] as const;
  });
}
