// Shaded text in lines, for a picture: the browser lays out text on a page only.

import { fitted, firstStrong, measure } from "../../canvas/label.js";
import { css, type Palette } from "../../canvas/palette.js";
import type { Pen } from "../../canvas/pen.js";

export interface Block {
  title: string;
  /** Stretches of one text, in order, each with a step from -5 to 5. */
  pieces: readonly { text: string; step: number }[];
}

export const WIDTH = 720;
const SIZE = 13;
const LINE = 23;
const SHADE = 19;
/** From this step on, a passage is underlined too: greyscale paper keeps that. */
const UNDERLINED = 3;

interface Run {
  text: string;
  step: number;
  x: number;
  width: number;
  line: number;
}

/** The blocks under one another: of each at most so many lines, and how many more there were is said. */
export function laid(blocks: readonly Block[], most: number): { height: number; draw: (pen: Pen, palette: Palette) => void } {
  let line = 0;
  const all = blocks.map(({ title, pieces }) => {
    const first = line;
    const { runs, lines } = broken(pieces);
    const kept = Math.min(lines, most);
    line += 1 + kept + (lines > kept ? 1 : 0) + 0.5;
    return { title, first, kept, cut: lines - kept, runs: runs.filter((run) => run.line < kept), rightwards: direction(pieces) === "ltr" };
  });
  return {
    height: line * LINE,
    draw(pen, palette) {
      for (const { title, first, kept, cut, runs, rightwards } of all) {
        pen.text(0, (first + 0.5) * LINE, fitted(title, WIDTH, SIZE, true), { fill: palette.ink, size: SIZE, bold: true });
        for (const run of runs) drawRun(pen, palette, run, (first + 1 + run.line) * LINE, rightwards);
        if (cut > 0) pen.text(0, (first + 1.5 + kept) * LINE, `… ${cut} more lines`, { fill: palette.quiet, size: SIZE });
      }
    },
  };
}

function drawRun(pen: Pen, palette: Palette, { text, step, x, width }: Run, top: number, rightwards: boolean): void {
  const left = rightwards ? x : WIDTH - x - width;
  const stops = step < 0 ? palette.negative : palette.positive;
  const colour = stops[Math.abs(step)];
  const under = stops.at(-1);
  if (step !== 0 && colour !== undefined) pen.rect(left, top + (LINE - SHADE) / 2, width, SHADE, css(colour));
  pen.text(rightwards ? left : left + width, top + LINE / 2, text, { fill: palette.ink, size: SIZE, align: rightwards ? "left" : "right" });
  if (Math.abs(step) < UNDERLINED || under === undefined) return;
  const y = top + LINE - 3;
  pen.line(left, y, left + width, y, css(under), Math.abs(step) - UNDERLINED + 1);
}

function direction(pieces: Block["pieces"]): "ltr" | "rtl" {
  return firstStrong(pieces.slice(0, 20).map(({ text }) => text.slice(0, 200)).join(""));
}

/** Runs of one shade in one line; broken at blanks and line ends; a word longer than a line is cut. */
function broken(pieces: Block["pieces"]): { runs: Run[]; lines: number } {
  const runs: Run[] = [];
  let [x, line] = [0, 0];
  for (const { text, step } of pieces) {
    for (const word of text.match(/\n|[^\S\n]+|\S+/g) ?? []) {
      if (word === "\n") {
        [x, line] = [0, line + 1];
        continue;
      }
      const blank = word.trim() === "";
      if (blank && x === 0) continue;
      const shown = blank ? " " : word.length > WIDTH ? fitted(word, WIDTH, SIZE) : word;
      const wide = measure(shown, SIZE);
      if (x > 0 && !blank && x + wide > WIDTH) [x, line] = [0, line + 1];
      const kept = wide > WIDTH ? fitted(shown, WIDTH, SIZE) : shown;
      const width = Math.min(wide, WIDTH);
      const last = runs.at(-1);
      if (last !== undefined && last.line === line && last.step === step && x > 0) {
        last.text += kept;
        last.width += width;
      } else runs.push({ text: kept, step, x, width, line });
      x += width;
    }
  }
  return { runs, lines: line + 1 };
}
