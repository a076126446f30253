import { describe, expect, it } from "vitest";
import { isCurve, widthOf } from "../src/views/heads/sample.js";

const COLOURS = 8;
const heads = Array.from({ length: 32 }, (_, head) => head);

describe("how a head looks", () => {
  it("is its own", () => {
    expect(new Set(heads.map((head) => `${head % COLOURS} ${isCurve(head)} ${widthOf(head)}`)).size).toBe(heads.length);
  });

  it("is a straight line of one pixel for the first, and something more for another of its colour", () => {
    for (const head of heads) {
      expect(isCurve(head) || widthOf(head) > 1).toBe(head >= COLOURS);
    }
  });
});
