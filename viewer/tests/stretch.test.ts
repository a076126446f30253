import { expect, test } from "vitest";
import { stretch } from "../src/core/stretch.js";
import { attention, loaded, NO_ELSEWHERE, packed, result, scores, segment } from "./given.js";

const ROWS = [
  [0.5, 0.25, 0, 0.125],
  [0, 0.25, 0.5, 0],
];

async function given(more = {}) {
  return loaded({
    sources: { s1: "No fever. \nOk." },
    segments: [segment("s1", 0, 11), segment("s1", 11, 14)],
    output: " a b",
    targets: [[0, 4]],
    tokens: [[0, 2], [2, 4]],
    results: [
      result(attention([[0.5, 0.25]], [{ sink: 0.25 }]), {
        detail: {
          ...(await packed(ROWS)),
          // The third begins with blanks of the first segment; the last holds nothing else.
          tokens: [["s1", 0, 2], ["s1", 2, 9], ["s1", 9, 13], ["s1", 9, 10]],
          elsewhere: [{ ...NO_ELSEWHERE, sink: 0.125, total: 0.125 }, { ...NO_ELSEWHERE, special: 0.25, total: 0.25 }],
        },
        ...more,
      }),
    ],
  });
}

test("the mean of its tokens, summed into segments", async () => {
  const whole = stretch(await given(), 0, 0, 4);
  expect([...(whole?.row ?? [])]).toEqual([0.5, 0.25]);
  expect(whole?.elsewhere).toMatchObject({ sink: 0.0625, special: 0.125, blank: 0.0625, total: 0.25 });
});

test("a token belongs to where its first visible character stands", async () => {
  expect([...(stretch(await given(), 0, 2, 4)?.row ?? [])]).toEqual([0.25, 0.5]);
  expect([...(stretch(await given(), 0, 1, 2)?.row ?? [])]).toEqual([0.75, 0]);
});

test("a stretch that owns no token takes the one that covers it", async () => {
  expect([...(stretch(await given(), 0, 2, 3)?.row ?? [])]).toEqual([0.25, 0.5]);
});

test("scores that do not add up have no stretches", async () => {
  expect(stretch(await given({ detail: null }), 0, 0, 4)).toBeNull();
  expect(stretch(await given({ scores: scores([[0, 0]]) }), 0, 0, 4)).toBeNull();
});
