// Where the words of a text are, so that the tokens of a word can be shown as one. codePoints are code points.

import { BLANKS, codePoints, type Span } from "./text.js";

/** Scripts that put no blanks between words. */
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;

/** What stands between blanks; in scripts without them, what the browser takes for words. */
export function wordsOf(text: string): Span[] {
  const point = codePoints(text);
  const spans: Span[] = [];
  const add = (start: number, end: number) => spans.push([point(start), point(end)]);
  const run = (start: number, end: number) => {
    if (end <= start) return;
    let from = start;
    if (UNSPACED.test(text.slice(start, end))) {
      const words = new Intl.Segmenter(undefined, { granularity: "word" }).segment(text.slice(start, end));
      for (const { index, isWordLike } of words) {
        // Punctuation stays with what it follows.
        if (isWordLike !== true || start + index === from) continue;
        add(from, start + index);
        from = start + index;
      }
    }
    add(from, end);
  };
  let at = 0;
  for (const blank of text.matchAll(BLANKS)) {
    run(at, blank.index);
    at = blank.index + blank[0].length;
  }
  run(at, text.length);
  return spans;
}
