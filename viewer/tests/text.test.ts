import { describe, expect, test } from "vitest";
import { codePoints, drawnText, holding, visible, visibleCharacters } from "../src/core/text.js";
import { wordsOf } from "../src/core/words.js";

describe("what is drawn", () => {
  test.each([
    ["no fever", "no fever"],
    ["a\tb\nc\r\nd\re", "a\tb\nc\nd␍e"],
    ["a\0b\x7f", "a␀b␡"],
    ["\u202eno\u202c", "⟦U+202E⟧no⟦U+202C⟧"],
    ["a\u200db", "a⟦U+200D⟧b"],
    ["क्\u200dष", "क्\u200dष"],
    ["👩\u200d⚕\ufe0f", "👩\u200d⚕\ufe0f"],
    ["\ufe0f", "⟦U+FE0F⟧"],
    ["⚕\ufe0f\ufe0f", "⚕\ufe0f⟦U+FE0F⟧"],
    ["\u{e0041}", "⟦U+E0041⟧"],
    ["\ud800", "⟦U+D800⟧"],
    ["\u0601", "\u0601"],
    ["</script>", "</script>"],
  ])("%j as %j", (given, drawn) => {
    expect(visible(given)).toBe(drawn);
    expect(visibleCharacters(given)).toHaveLength([...given].length);
  });

  test("offsets are code points, though signs are longer", () => {
    const text = drawnText("😀\u202eab");
    expect(text.length).toBe(4);
    expect(text.slice(1, 3)).toBe("⟦U+202E⟧a");
  });

  test("the next character that is not blank", () => {
    const text = drawnText("😀 \x85\u3000b\ufeff ");
    expect([0, 1, 2, 3, 4, 5, 6].map((at) => text.inkFrom(at))).toEqual([0, 4, 4, 4, 4, 5, 7]);
  });
});

test("code points and UTF-16 units", () => {
  expect([0, 1, 2, 3, 4, 5, 6].map(codePoints("a😀b😀"))).toEqual([0, 1, 1, 2, 3, 3, 4]);
});

test("the span that holds a place", () => {
  const spans = [[1, 3], [3, 4], [6, 9]] as const;
  expect([0, 1, 2, 3, 4, 5, 6, 8, 9].map((at) => holding(spans, at))).toEqual([null, 0, 0, 1, null, null, 2, 2, null]);
  expect(holding([], 0)).toBeNull();
});

describe("words", () => {
  const cut = (text: string) => wordsOf(text).map(([start, end]) => [...text].slice(start, end).join(""));
  test("stand between blanks", () => expect(cut(" Aspirin 100\u00a0mg,\n(b.i.d.)")).toEqual(["Aspirin", "100", "mg,", "(b.i.d.)"]));
  test("need no blanks in Chinese and Japanese", () => {
    const words = cut("病人没有发烧。😀 No fever");
    expect(words.length).toBeGreaterThan(4);
    expect(words.join("")).toBe("病人没有发烧。😀Nofever");
    expect(words.at(-1)).toBe("fever");
  });
});
