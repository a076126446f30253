// Search as a reader means it: capitals and kinds of blanks do not matter, nor do accents.

import { remembered } from "./remembered.js";
import { BLANKS } from "./text.js";

/** At most so many places are found; as many mean that there may be more. */
export const MOST_FOUND = 10_000;

/** Marks of Latin, Greek, Cyrillic, Hebrew and Arabic script: in others they are vowels. */
const ACCENTS = /(?=\p{M})[\u0300-\u0670\u1ab0-\u1aff\u1dc0-\u20ff]/gu;

/** A text made ready to be searched, for more than one query. */
export class Searched {
  #folded = "";
  /** The code point from which each UTF-16 unit of `folded` stems. */
  #from: number[] = [];

  constructor(text: string) {
    let blank = false;
    const pieces = Array.from(text, (character, at) => {
      const piece = folded(character);
      if (piece === " " && blank) return "";
      if (piece !== "") blank = piece === " ";
      for (let unit = 0; unit < piece.length; unit++) this.#from.push(at);
      return piece;
    });
    this.#folded = pieces.join("");
  }

  /** Where the query stands, in code points, in reading order; at most `MOST_FOUND` places. */
  find(query: string): [number, number][] {
    const wanted = Array.from(query, folded).join("").replace(/ +/g, " ").trim();
    const places: [number, number][] = [];
    if (wanted === "") return places;
    let at = this.#folded.indexOf(wanted);
    while (at >= 0 && places.length < MOST_FOUND) {
      const end = at + wanted.length;
      places.push([this.#from[at]!, this.#from[end - 1]! + 1]);
      at = this.#folded.indexOf(wanted, end);
    }
    return places;
  }
}

const folded = remembered((character: string) => {
  if (character.search(BLANKS) >= 0) return " ";
  // By way of capitals, `ß` is `ss` and every sigma is the same.
  const lower = character.toUpperCase().toLowerCase();
  return lower.normalize("NFD").replace(ACCENTS, "").normalize("NFC");
});
