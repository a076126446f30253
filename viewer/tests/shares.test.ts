import { expect, test } from "vitest";
import { found, score } from "../src/core/describe.js";
import type { Masking } from "../src/core/shares.js";
import { strongest } from "../src/core/top.js";
import { attention, loaded, packed, result, scores, segment } from "./given.js";

const PLACE = {
  sources: { s1: "One. Two. Six." },
  segments: [segment("s1", 0, 5), segment("s1", 5, 10), segment("s1", 10, 14)],
  output: "Out.",
  targets: [[0, 4]] as [number, number][],
};

const ALL: Masking = { maskSink: false, maskSpecial: false, renormalised: false };

test("negatives and noise count for nothing, and are told", async () => {
  const told = scores([[2, -1, 0.25]], { noise_floor: 0.5, stderr: [[0.1, 0.1, 0.1]] });
  const given = await loaded({ ...PLACE, results: [result(told)] });
  const { shares, signed } = given.maskedShares(0, 0, ALL);
  expect([[...shares], [...signed]]).toEqual([[1, 0, 0], [1, -0.5, 0]]);
  expect(score(given.evidence(0, 0), 0, told)).toBe("2\xa0±\xa00.1\xa0nats");
  expect(found(given.evidence(0, 0), told)).toBe(
    "Sum above noise: 2 nats. 1 passage scores below zero, the lowest −1 nats; the shares count this as 0. " +
      "1 passage scores within the noise floor of 0.5 nats, which the shares count as 0.",
  );
});

test("a score at the noise floor counts, though float32 is a little less", async () => {
  const given = await loaded({ ...PLACE, results: [result(scores([[0.7, 0, 0]], { noise_floor: 0.7 }))] });
  expect(given.maskedShares(0, 0, ALL).shares[0]).toBe(1);
});

test("ties stand in reading order, the best k are kept, and nothing that is not above zero", () => {
  expect(strongest([1, 2, 1, 0, 2], 3)).toEqual([1, 4, 0]);
  expect(strongest([0, -1, NaN, 1], 3)).toEqual([3]);
});

test("claims share equally; without any, all is elsewhere", async () => {
  const claims = { unit: "claim", signed: false } as const;
  const given = await loaded({ ...PLACE, results: [result(scores([[1, 0, 3]], claims)), result(scores([[0, 0, 0]], claims))] });
  expect([...given.maskedShares(0, 0, ALL).shares]).toEqual([0.5, 0, 0.5]);
  expect(given.maskedShares(1, 0, ALL).elsewhere).toBe(1);
});

test("what is masked is said, and divided out only where that is asked for", async () => {
  const told = attention([[0.25, 0.125, 0]], [{ sink: 0.5, special: 0.0625, instruction: 0.0625 }]);
  const given = await loaded({ ...PLACE, results: [result(told)] });
  const masks = { maskSink: true, maskSpecial: false };
  const raw = given.maskedShares(0, 0, { ...masks, renormalised: false });
  expect([...raw.shares, raw.elsewhere, raw.masked]).toEqual([0.25, 0.125, 0, 0.125, 0.5]);
  const divided = given.maskedShares(0, 0, { ...masks, renormalised: true });
  expect([...divided.shares, divided.elsewhere, divided.masked]).toEqual([0.5, 0.25, 0, 0.25, 0.5]);
  expect(Object.fromEntries(divided.parts)).toEqual({ special: 0.125, instruction: 0.125 });
  const both = given.maskedShares(0, 0, { maskSink: true, maskSpecial: true, renormalised: true });
  expect(both.masked).toBe(0.5625);
  expect(both.elsewhere).toBeCloseTo(1 / 7);
});

test("packed scores are the same scores", async () => {
  const rows = [[0.1, -2.5, 3]];
  const given = await loaded({ ...PLACE, results: [result(scores(rows)), result({ ...scores(rows), values: await packed(rows) })] });
  expect(given.results[1]?.scores).toEqual(given.results[0]?.scores);
});
