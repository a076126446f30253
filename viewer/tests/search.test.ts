import { expect, test } from "vitest";
import { toCsv } from "../src/core/csv.js";
import { MOST_FOUND, Searched } from "../src/core/search.js";

test.each([
  ["No fever, no cough", "NO", [[0, 2], [10, 12]]],
  ["a  \n b", "a b", [[0, 6]]],
  ["😀 Fièvre fie\u0300vre", "fievre", [[2, 8], [9, 16]]],
  ["STRASSE Straße", "straße", [[0, 7], [8, 14]]],
  ["ΟΔΟΣ οδος", "οδος", [[0, 4], [5, 9]]],
  ["aaaa", "aa", [[0, 2], [2, 4]]],
  ["abc", "", []],
  ["abc", "x", []],
  ["각가", "가", [[1, 2]]],
  ["(a.b)*", ".b)", [[2, 5]]],
])("in %j, %j stands at %j", (text, query, places) => expect(new Searched(text).find(query)).toEqual(places));

test("no more than so many places are found", () => expect(new Searched("a".repeat(20_000)).find("a")).toHaveLength(MOST_FOUND));

test("a table is quoted, and no text is a formula", () => {
  expect(toCsv([["a,b", 'say "x"', "line\nend", -1.5], ["=1+1", "'", "＝", "b"]])).toBe(
    '"a,b","say ""x""","line\nend",-1.5\r\n\'=1+1,\'\',\'＝,b\r\n',
  );
});
