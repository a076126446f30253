// The lines, on the canvas between the two columns and in what is exported.

import type { Pen } from "../../canvas/pen.js";
import type { Viewer } from "../../ui/viewer.js";
import { ROW } from "./column.js";
import type { Link, Side } from "./links.js";
import { isCurve, widthOf } from "./sample.js";

/** Of the scale: below this nobody would see a line at all. */
const FAINTEST = 0.08;
/** So many lines have room to be wider; those of one pixel are drawn three times as fast. */
const FEW = 300;

export interface Drawing {
  links: readonly Link[];
  /** From a weight to its place on the scale, 0 to 1. */
  unit: (value: number) => number;
  /** How far each column is scrolled. */
  from: Record<Side, number>;
  height: number;
}

/** The colour of each head as it is now, light or dark: that of its sample in the picker. */
export function coloursOf(root: Viewer["root"]): string[] {
  return Array.from(root.querySelectorAll(".pickers path"), (path) => getComputedStyle(path).stroke);
}

/** Draw the lines that begin or end in sight, the strongest last, so that nothing hides them. */
export function drawLines(pen: Pen, colours: readonly string[], drawing: Drawing, left: number, width: number): void {
  const { links, unit, from, height } = drawing;
  const wider = links.length > FEW ? 0 : 1;
  const inSight = (y: number) => y >= 0 && y <= height;
  for (let at = links.length - 1; at >= 0; at--) {
    const { head, query, key, weight } = links[at]!;
    const y1 = (query.index + 0.5) * ROW - from.query;
    const y2 = (key.index + 0.5) * ROW - from.key;
    if (!inSight(y1) && !inSight(y2)) continue;
    const draw = isCurve(head) ? pen.curve : pen.line;
    draw(left, y1, left + width, y2, colours[head] ?? "", widthOf(head) + wider, FAINTEST + (1 - FAINTEST) * unit(weight));
  }
}
