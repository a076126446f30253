import { expect, test } from "vitest";
import { elsewhere, found } from "../src/core/describe.js";
import { renormalised } from "../src/core/shares.js";
import { top } from "../src/core/top.js";
import { attention, loaded, packed, result, scores, segment } from "./given.js";

const PLACE = {
  sources: { s1: "One. Two. Six." },
  segments: [segment("s1", 0, 5), segment("s1", 5, 10), segment("s1", 10, 14)],
  output: "Out.",
  targets: [[0, 4]] as [number, number][],
};

test("negatives and noise count for nothing, and are told", async () => {
  const told = scores([[2, -1, 0.25]], { noise_floor: 0.5, stderr: [[0.1, 0.1, 0.1]] });
  const given = await loaded({ ...PLACE, results: [result(told)] });
  expect([...given.shares(0, 0).shares]).toEqual([1, 0, 0]);
  const balance = top(given, 0, 0, 5);
  expect(balance).toMatchObject({ others: 0, against: 1, withinNoise: 1, lowest: -1, found: 2, parts: null });
  expect(balance.top).toEqual([{ segment: 0, score: 2, share: 1, stderr: 0.1, alone: null }]);
  expect(found(balance, told)).toBe(
    "Sum above noise: 2 nats. 1 passage scores below zero, the lowest −1 nats; the shares count this as 0. " +
      "1 passage scores within the noise floor of 0.5 nats, which the shares count as 0.",
  );
});

test("a score at the noise floor counts, though float32 is a little less", async () => {
  const given = await loaded({ ...PLACE, results: [result(scores([[0.7, 0, 0]], { noise_floor: 0.7 }))] });
  expect(given.shares(0, 0).shares[0]).toBe(1);
});

test("ties stand in reading order, and the best k are kept", async () => {
  const given = await loaded({ ...PLACE, results: [result(scores([[1, 2, 1]]))] });
  expect(top(given, 0, 0, 2).top.map(({ segment }) => segment)).toEqual([1, 0]);
  expect(top(given, 0, 0, 2)).toMatchObject({ others: 1, othersShare: 0.25 });
});

test("claims share equally; without any, all is elsewhere", async () => {
  const claims = { unit: "claim", signed: false } as const;
  const given = await loaded({ ...PLACE, results: [result(scores([[1, 0, 3]], claims)), result(scores([[0, 0, 0]], claims))] });
  expect([...given.shares(0, 0).shares]).toEqual([0.5, 0, 0.5]);
  expect(given.shares(1, 0).elsewhere).toBe(1);
  expect(elsewhere(top(given, 1, 0, 5))).toBe("no passage of the sources received anything that counts");
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
  expect(Array.from(renormalised(raw.shares), (share) => share.toFixed(3))).toEqual(["0.667", "0.333", "0.000"]);
});

test("packed scores are the same scores", async () => {
  const rows = [[0.1, -2.5, 3]];
  const given = await loaded({ ...PLACE, results: [result(scores(rows)), result({ ...scores(rows), values: await packed(rows) })] });
  expect(given.results[1]?.scores).toEqual(given.results[0]?.scores);
});
