// Where the words of a text are, so that the tokens of a word can be shown as one.

import { codePoints, INK, type Span } from "./text.js";

/** Scripts that put no blanks between words. */
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]/u;

/** What stands between blanks; in scripts without them, what the browser takes for words. In code points. */
export function wordsOf(text: string): Span[] {
  const point = codePoints(text);
  return Array.from(text.matchAll(INK)).flatMap(({ index, 0: run }) => {
    const starts = new Set([0]);
    if (UNSPACED.test(run)) {
      for (const word of new Intl.Segmenter(undefined, { granularity: "word" }).segment(run)) {
        // Punctuation stays with what it follows.
        if (word.isWordLike) starts.add(word.index);
      }
    }
    return [...starts].map((start, at, all): Span => [point(index + start), point(index + (all[at + 1] ?? run.length))]);
  });
}
