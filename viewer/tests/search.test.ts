import { expect, test } from "vitest";
import { toCsv } from "../src/core/csv.js";
import { find } from "../src/core/search.js";

test.each([
  ["No fever, no cough", "NO", [[0, 2], [10, 12]]],
  ["a  \n b", "a b", [[0, 6]]],
  ["😀 Fièvre 😀 fièvre", "FIÈVRE", [[2, 8], [11, 17]]],
  ["STRAẞE Straße", "straße", [[0, 6], [7, 13]]],
  ["ΟΔΟΣ οδος", "οδος", [[0, 4], [5, 9]]],
  ["aaaa", "aa", [[0, 2], [2, 4]]],
  ["abc", "", []],
  ["abc", "x", []],
  ["a/b [c] {d} ^$", "/b [C] {d} ^$", [[1, 14]]],
  ["\ud800a", "A", [[1, 2]]],
  ["각가", "가", [[1, 2]]],
  ["(a.b)*", ".b)", [[2, 5]]],
])("in %j, %j stands at %j", (text, query, places) => expect(find(text, query)).toEqual(places));

test("all places are found", () => expect(find("a".repeat(200_000), "a")).toHaveLength(200_000));

test("a table is quoted, and no text is a formula", () => {
  expect(toCsv([["a,b", 'say "x"', "line\nend", -1.5], ["=1+1", "'", "＝", "b"]])).toBe(
    '"a,b","say ""x""","line\nend",-1.5\r\n\'=1+1,\'\',\'＝,b\r\n',
  );
});
