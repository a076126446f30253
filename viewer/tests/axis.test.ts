import { expect, test } from "vitest";
import { axisOf, detailAxes, regroup, segmentAxis, targetAxis } from "../src/core/axis.js";
import type { AttentionToken } from "../src/core/schema.js";
import { attention, loaded, NO_ELSEWHERE, packed, result, segment, token } from "./given.js";

const TEXT = "No dyspnoea.\n\u202eOk";
const OPTIONS = { merged: true, maskSink: true, maskSpecial: true };
const TOKENS: AttentionToken[] = [
  token("<s>", { part: "sink", source: null }),
  token("[INST]", { part: "template", source: null }),
  token("No", { start: 0, end: 2 }),
  token(" dys", { start: 2, end: 6 }),
  token("pno", { start: 6, end: 9 }),
  token("ea.", { start: 9, end: 12 }),
  token("\n", { start: 12, end: 13 }),
  token("\u202eOk", { start: 13, end: 16 }),
  token("</s>", { part: "special", source: null }),
];

async function given() {
  return loaded({
    sources: { s1: TEXT },
    segments: [segment("s1", 0, 13), segment("s1", 13, 16)],
    output: "Fine.",
    targets: [[0, 5]],
    tokens: [[0, 2], [2, 5]],
    results: [
      result(attention([[0.5, 0.5]], [{}]), {
        detail: {
          ...(await packed([[0.25, 0.75], [0.5, 0.5]])),
          tokens: [["s1", 2, 6], ["s1", 6, 9]],
          elsewhere: [NO_ELSEWHERE, NO_ELSEWHERE],
        },
      }),
    ],
  });
}

test("tokens of a word become one, and what stands in no text stays alone", async () => {
  const items = axisOf(TOKENS, await given(), OPTIONS);
  expect(items.map(({ label }) => label)).toEqual(["<s>", "[INST]", "No", "dyspnoea.", "␊", "⟦U+202E⟧Ok", "</s>"]);
  expect(items[3]).toEqual({ label: "dyspnoea.", members: [3, 4, 5], part: "source", source: "s1", start: 2, end: 12, masked: false });
  expect(items.map(({ masked }) => masked)).toEqual([true, false, false, false, false, false, true]);
});

test("tokens stay as they are where nothing is merged or masked", async () => {
  const items = axisOf(TOKENS, await given(), { merged: false, maskSink: false, maskSpecial: false });
  expect(items.map(({ members }) => members)).toEqual(TOKENS.map((_, at) => [at]));
  expect(items.some(({ masked }) => masked)).toBe(false);
});

test("the same word at two places of a sequence is two", async () => {
  const twice = [TOKENS[3], TOKENS[4], TOKENS[0], TOKENS[3]].filter((one) => one !== undefined);
  expect(axisOf(twice, await given(), OPTIONS).map(({ members }) => members)).toEqual([[0, 1], [2], [3]]);
});

test("columns are summed, and rows averaged", async () => {
  const items = axisOf(TOKENS, await given(), OPTIONS);
  const matrix = { rows: 2, columns: 9, values: Float32Array.of(4, 0, 1, 1, 1, 1, 0, 0, 2, 2, 0, 3, 0, 1, 0, 0, 0, 0) };
  const rows = [{ ...items[0]!, members: [0, 1] }, { ...items[0]!, members: [1] }];
  const grouped = regroup(matrix, rows, items);
  expect([...grouped.values]).toEqual([3, 0, 2, 2, 0, 0, 1, 2, 0, 3, 1, 0, 0, 0]);
});

test("segments, targets and the token level have axes, too", async () => {
  const loaded = await given();
  expect(segmentAxis(loaded).map(({ label }) => label)).toEqual(["No dyspnoea.", "⟦U+202E⟧Ok"]);
  expect(targetAxis(loaded)).toMatchObject([{ label: "Fine.", part: "output", source: null, start: 0, end: 5 }]);
  const axes = detailAxes(loaded, 0, OPTIONS);
  expect(axes?.rows).toMatchObject([{ label: "Fine.", members: [0, 1] }]);
  expect(axes?.columns).toMatchObject([{ label: "dyspno", members: [0, 1] }]);
});
