// The canvas between the two columns.

import type { Signal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { Palette } from "../../canvas/palette.js";
import type { Pen } from "../../canvas/pen.js";
import { useStage } from "../../canvas/stage.js";
import { ROW } from "./column.js";
import type { Link } from "./links.js";
import { heightAt, readColours, stroke } from "./strokes.js";

/** Of the scale: below this nobody would see a line at all. */
const FAINTEST = 0.08;
/** So many lines have room to be wider. */
const FEW = 300;
/** The room of all heads together within a row, in pixels. */
const LANES = 0.6 * ROW;
/** How near a pointer must be to a line, in pixels. */
const NEAR = 5;

interface LinesProps {
  links: readonly Link[];
  /** All heads of the picture: each has a lane of its own, or one would hide the other. */
  heads: readonly number[];
  /** From a weight to its place on the scale, 0 to 1. */
  unit: (value: number) => number;
  tops: { query: Signal<number>; key: Signal<number> };
  height: number;
  label: string;
  onPoint: (link: Link | null) => void;
}

export function Lines({ links, heads, unit, tops, height, label, onPoint }: LinesProps) {
  const colours = useRef<{ palette: Palette; all: string[] } | null>(null);
  const [queryTop, keyTop] = [tops.query.value, tops.key.value];
  const canvas = useStage(({ pen, width, palette }) => {
    // A new palette means a new scheme.
    if (colours.current?.palette !== palette && canvas.current !== null) {
      colours.current = { palette, all: readColours(canvas.current.parentElement ?? canvas.current) };
    }
    drawLines(pen, colours.current?.all ?? [], { links, heads, unit, queryTop, keyTop, left: 0, width, height });
  });
  const at = (event: PointerEvent): Link | null => {
    const box = canvas.current?.getBoundingClientRect();
    if (box === undefined) return null;
    const [across, down] = [(event.clientX - box.left) / box.width, event.clientY - box.top];
    let [nearest, distance]: [Link | null, number] = [null, NEAR];
    const lane = lanes(heads);
    for (const link of links) {
      const [y1, y2] = ends(link, lane, queryTop, keyTop);
      const own = Math.abs(heightAt(link.head, y1, y2, across) - down);
      // Of lines that lie upon each other the strongest, which comes first.
      if (own < distance - 0.5) [nearest, distance] = [link, own];
    }
    return nearest;
  };
  return (
    <canvas
      class="stage heads-lines"
      role="img"
      aria-label={label}
      ref={canvas}
      style={{ height: `${height}px` }}
      onPointerMove={(event) => onPoint(at(event))}
      onPointerLeave={() => onPoint(null)}
    />
  );
}

interface Drawing {
  links: readonly Link[];
  heads: readonly number[];
  unit: (value: number) => number;
  queryTop: number;
  keyTop: number;
  left: number;
  width: number;
  height: number;
}

/** Draw the lines that begin or end in sight, the strongest last, so that nothing hides them. */
export function drawLines(pen: Pen, colours: readonly string[], drawing: Drawing): void {
  const { links, unit, queryTop, keyTop, left, width, height } = drawing;
  const lane = lanes(drawing.heads);
  const wider = links.length <= FEW ? 1 : 0;
  for (let at = links.length - 1; at >= 0; at--) {
    const link = links[at]!;
    const [y1, y2] = ends(link, lane, queryTop, keyTop);
    if ((y1 < 0 || y1 > height) && (y2 < 0 || y2 > height)) continue;
    stroke(pen, colours, link.head, [left, y1, left + width, y2], FAINTEST + (1 - FAINTEST) * unit(link.value), wider);
  }
}

/** For each head how far below the middle of a row its lines begin and end. */
function lanes(heads: readonly number[]): Map<number, number> {
  return new Map(heads.map((head, at) => [head, ((at + 0.5) / heads.length - 0.5) * LANES]));
}

function ends({ head, row, column }: Link, lane: Map<number, number>, queryTop: number, keyTop: number): [number, number] {
  const middle = 0.5 * ROW + (lane.get(head) ?? 0);
  return [row * ROW + middle - queryTop, column * ROW + middle - keyTop];
}
