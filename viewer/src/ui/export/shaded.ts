// Shaded text in lines, for a picture: the browser lays out text on a page only.

import { fitted, firstStrong, measure } from "../../canvas/label.js";
import { css, MIDDLE, type Palette } from "../../canvas/palette.js";
import type { Pen } from "../../canvas/pen.js";

export interface Block {
  title: string;
  /** Stretches of one text, in order, each with a step from -5 to 5. */
  pieces: readonly { text: string; step: number }[];
}

export const WIDTH = 720;
const SIZE = 13;
const LINE = 23;
/** No browser draws a picture of any height, and beyond these the numbers are the better export. */
const MOST_LINES = 1200;
/** From this step on, a passage is underlined too: greyscale paper keeps that. */
const UNDERLINED = 3;

/** Text of one shade in one line, or a title. */
interface Run {
  text: string;
  step: number;
  x: number;
  width: number;
  line: number;
  bold: boolean;
  rightwards: boolean;
}

/** The blocks under one another: at most so many lines in all, and how many more there were is said. */
export function laid(blocks: readonly Block[]): { height: number; draw: (pen: Pen, palette: Palette) => void } {
  let all: Run[] = [];
  let line = 0;
  const heading = (text: string, bold: boolean) => {
    all.push({ text, step: 0, x: 0, width: 0, line: line++, bold, rightwards: true });
  };
  for (const { title, pieces } of blocks) {
    heading(fitted(title, WIDTH, SIZE, true), true);
    const runs = broken(pieces);
    for (const run of runs) all.push({ ...run, line: run.line + line });
    line += (runs.at(-1)?.line ?? 0) + 1.5;
  }
  const more = Math.ceil(line - MOST_LINES);
  if (more > 0) {
    line = MOST_LINES;
    all = all.filter((run) => run.line <= line - 1);
    heading(`… ${more} more lines`, false);
  }
  return { height: line * LINE, draw: (pen, palette) => all.forEach((run) => drawRun(pen, palette, run)) };
}

function drawRun(pen: Pen, palette: Palette, { text, step, x, width, line, bold, rightwards }: Run): void {
  const left = rightwards ? x : WIDTH - x - width;
  const top = line * LINE;
  if (step !== 0) pen.rect(left + 1, top + 2, width - 2, LINE - 4, css(palette.stops[MIDDLE + step]));
  const style = { fill: palette.ink, size: SIZE, bold };
  if (rightwards) pen.text(left, top + LINE / 2, text, style);
  else pen.text(left + width, top + LINE / 2, text, { ...style, align: "right" });
  const thick = Math.abs(step) - UNDERLINED + 1;
  const y = top + LINE - 3;
  if (thick > 0) pen.line(left, y, left + width, y, css(palette.stops.at(step < 0 ? 0 : -1)), thick);
}

/** Broken at blanks and line ends; a word longer than a line is cut. */
function broken(pieces: Block["pieces"]): Run[] {
  const runs: Run[] = [];
  const rightwards = firstStrong(pieces.slice(0, 20).map(({ text }) => text.slice(0, 200)).join("")) === "ltr";
  let [x, line] = [0, 0];
  for (const { text, step } of pieces) {
    // Of this piece: what stands beside another one of the same shade is told apart.
    let last: Run | undefined;
    for (const word of text.match(/\n|[^\S\n]+|\S+/g) ?? []) {
      const blank = word.trim() === "";
      const shown = blank ? " " : fitted(word, WIDTH, SIZE);
      const width = measure(shown, SIZE);
      if (word === "\n" || (!blank && x > 0 && x + width > WIDTH)) [x, line] = [0, line + 1];
      if (blank && x === 0) continue;
      if (last?.line === line) {
        last.text += shown;
        last.width += width;
      } else runs.push((last = { text: shown, step, x, width, line, bold: false, rightwards }));
      x += width;
    }
  }
  return runs;
}
