// The lines, on the canvas between the two columns and in what is exported.

import type { Signal } from "@preact/signals-core";
import type { Pen } from "../../canvas/pen.js";
import { useStage } from "../../canvas/stage.js";
import { useViewer, type Viewer } from "../../ui/viewer.js";
import { ROW } from "./column.js";
import type { Link, Side } from "./links.js";
import { isCurve, widthOf } from "./picker.js";

/** Of the scale: below this nobody would see a line at all. */
const FAINTEST = 0.08;
/** So many lines have room to be wider; those of one pixel are drawn three times as fast. */
const FEW = 300;

export interface Drawing {
  links: readonly Link[];
  /** From a weight to its place on the scale, 0 to 1. */
  unit: (value: number) => number;
  /** How far each column is scrolled. */
  tops: Record<Side, Signal<number>>;
  height: number;
}

export function Lines({ drawing, label }: { drawing: Drawing; label: string }) {
  const { root } = useViewer();
  const { tops, height } = drawing;
  const from = { query: tops.query.value, key: tops.key.value };
  const canvas = useStage(({ pen, width }) => drawLines(pen, root, drawing, from, 0, width));
  return <canvas class="stage heads-lines" role="img" aria-label={label} ref={canvas} style={{ height: `${height}px` }} />;
}

/** Draw the lines that begin or end in sight, the strongest last, so that nothing hides them. */
export function drawLines(
  pen: Pen,
  root: Viewer["root"],
  { links, unit, height }: Drawing,
  from: Record<Side, number>,
  left: number,
  width: number,
): void {
  // The legend's samples have the colours as they are now, light or dark.
  const colours = Array.from(root.querySelectorAll(".heads-head path"), (path) => getComputedStyle(path).stroke);
  const wider = links.length > FEW ? 0 : 1;
  const inSight = (y: number) => y >= 0 && y <= height;
  for (let at = links.length - 1; at >= 0; at--) {
    const { head, query, key, weight } = links[at]!;
    const y1 = (query + 0.5) * ROW - from.query;
    const y2 = (key + 0.5) * ROW - from.key;
    if (!inSight(y1) && !inSight(y2)) continue;
    const draw = isCurve(head) ? pen.curve : pen.line;
    draw(left, y1, left + width, y2, colours[head] ?? "", widthOf(head) + wider, FAINTEST + (1 - FAINTEST) * unit(weight));
  }
}
