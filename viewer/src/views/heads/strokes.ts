// How heads are told apart: by colour, and from the ninth on by the shape and the width of their lines too.

import type { Pen } from "../../canvas/pen.js";

const COLOURS = 8;

/** The variable of the style sheet that holds a head's colour. */
export function colourName(head: number): string {
  return `--h${(head % COLOURS) + 1}`;
}

/** The colours of all heads as they are now where `place` stands, ready for a canvas. */
export function readColours(place: Element): string[] {
  const probe = place.ownerDocument.createElement("i");
  place.append(probe);
  const colours = Array.from({ length: COLOURS }, (_, head) => {
    probe.style.color = `var(${colourName(head)})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return colours;
}

/** Heads 8 to 15 have curves, 16 to 31 the same again in wider lines. */
export function isCurve(head: number): boolean {
  return Math.floor(head / COLOURS) % 2 === 1;
}

export function widthOf(head: number): number {
  return 1 + (Math.floor(head / (2 * COLOURS)) % 3);
}

/** Draw a line of a head; `wider` by so many pixels. A line of one pixel is drawn three times as fast as others. */
export function stroke(
  pen: Pen,
  colours: readonly string[],
  head: number,
  [x1, y1, x2, y2]: readonly [number, number, number, number],
  opacity: number,
  wider: number,
): void {
  const colour = colours[head % COLOURS] ?? "";
  const width = widthOf(head) + wider;
  if (isCurve(head)) pen.curve(x1, y1, x2, y2, colour, width, opacity);
  else pen.line(x1, y1, x2, y2, colour, width, opacity);
}

/** How far down such a line is at `across` of its way, from 0 to 1. */
export function heightAt(head: number, y1: number, y2: number, across: number): number {
  if (!isCurve(head)) return y1 + (y2 - y1) * across;
  // Its horizontal position is 1.5 t (1 - t) + t ** 3, its vertical one 3 t ** 2 - 2 t ** 3.
  let [low, high] = [0, 1];
  for (let halving = 0; halving < 12; halving++) {
    const t = (low + high) / 2;
    if (1.5 * t * (1 - t) + t ** 3 < across) low = t;
    else high = t;
  }
  return y1 + (y2 - y1) * (3 * low ** 2 - 2 * low ** 3);
}
