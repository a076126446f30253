import { describe, expect, test } from "vitest";
import { percent, quantity, step, stepAt, toUnit } from "../src/core/scale.js";

const NBSP = "\xa0";

test.each([
  [0, "0"],
  [0.0004, "<0.1"],
  [0.042, "4.2"],
  [0.0025, "0.3"],
  [0.0035, "0.4"],
  [0.09996, "10"],
  [0.125, "13"],
  [0.135, "14"],
  [0.996, ">99"],
  [1, "100"],
  [-0.042, "−4.2"],
])("the share %d is written %s", (share, text) => expect(percent(share)).toBe(`${text}${NBSP}%`));

test("a shade goes by the number that is written", () => {
  expect([0, 0.0094, 0.0096, 0.0495, 0.25, 0.496, 1].map(step)).toEqual([0, 0, 1, 2, 4, 5, 5]);
});

test.each([
  [0, "0"],
  [1234.5, "1.23e+03"],
  [999.6, "1e+03"],
  [2.125, "2.13"],
  [100.5, "101"],
  [101.5, "102"],
  [-0.00001234, "−1.23e−05"],
  [0.5, "0.5"],
  [0.0001, "0.0001"],
])("the score %d is written %s", (value, text) => expect(quantity(value)).toBe(text));

describe("from values to positions", () => {
  const values = Float32Array.of(0, 1e-6, 1e-3, 0.5, -1);
  const places = (scale: "linear" | "log" | "percentile") => Array.from(values, toUnit(values, scale));

  test("linear: parts of the greatest", () => {
    places("linear").forEach((place, at) => expect(place).toBe(values[at]));
  });
  test("logarithmic: from half of the smallest on, so that it is seen", () => {
    const [none, least, middle, , most] = places("log");
    expect([none, most]).toEqual([0, -1]);
    expect(least).toBeCloseTo(Math.log(2) / Math.log(2e6), 6);
    expect(middle).toBeCloseTo(Math.log(2e3) / Math.log(2e6), 6);
    expect(toUnit(Float32Array.of(0.5), "log")(0.5)).toBe(1);
    expect(toUnit(values, "log")(1e-9)).toBe(0);
  });
  test("percentiles: how many are no greater, of those that are not 0", () => {
    expect(places("percentile")).toEqual([0, 0.25, 0.5, 0.75, -1]);
  });
  test("nothing is drawn of nothing", () => {
    for (const scale of ["linear", "log", "percentile"] as const) expect(toUnit(new Float32Array(3), scale)(0)).toBe(0);
  });
  test("steps", () => expect([0, 0.009, 0.2, 0.21, 0.4, -0.5, 0.6, 0.99, 1].map(stepAt)).toEqual([0, 1, 1, 2, 2, 3, 3, 5, 5]));
});
