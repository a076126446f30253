// Search as a reader means it: capitals and kinds of blanks do not matter, nor do accents.

import { BLANKS } from "./text.js";

/** At most so many places are found; as many mean that there may be more. */
export const MOST_FOUND = 10_000;

const ACCENTS = /[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]/g;

/** A text made ready to be searched, for more than one query. */
export class Searched {
  private readonly folded: string;
  /** The code point from which each UTF-16 unit of `folded` stems; null where they are the same. */
  private readonly from: Uint32Array | null = null;

  constructor(text: string) {
    if (/^[ -~]*$/.test(text) && !text.includes("  ")) {
      this.folded = text.toLowerCase();
      return;
    }
    const pieces: string[] = [];
    const from: number[] = [];
    let at = 0;
    let blank = false;
    const known = new Map<string, string>();
    for (const character of text) {
      let piece = known.get(character);
      if (piece === undefined) known.set(character, (piece = folded(character)));
      if (piece !== " " || !blank) {
        pieces.push(piece);
        for (let unit = 0; unit < piece.length; unit++) from.push(at);
      }
      if (piece !== "") blank = piece === " ";
      at++;
    }
    this.folded = pieces.join("");
    this.from = new Uint32Array(from);
  }

  /** Where the query stands, in code points, in reading order; at most `MOST_FOUND` places. */
  find(query: string): [number, number][] {
    const wanted = [...query].map((character) => folded(character)).join("").replace(/ +/g, " ").trim();
    const places: [number, number][] = [];
    if (wanted === "") return places;
    let at = this.folded.indexOf(wanted);
    while (at >= 0 && places.length < MOST_FOUND) {
      const end = at + wanted.length;
      places.push([this.place(at), this.place(end - 1) + 1]);
      at = this.folded.indexOf(wanted, end);
    }
    return places;
  }

  private place(unit: number): number {
    return this.from === null ? unit : this.from[unit]!;
  }
}

function folded(character: string): string {
  if (character >= "a" && character <= "z") return character;
  if (character.search(BLANKS) >= 0) return " ";
  // By way of capitals, `ß` is `ss` and every sigma is the same.
  const lower = character.toUpperCase().toLowerCase();
  if (character < "\x7f") return lower;
  return lower.normalize("NFD").replace(ACCENTS, "").normalize("NFC");
}
