// A picture with its facts under it, as PNG and as SVG.

import { wrapped } from "../../canvas/label.js";
import { type Palette, readPalette } from "../../canvas/palette.js";
import { canvasPen, newCanvas, type Pen } from "../../canvas/pen.js";
import { svgPen } from "../../canvas/svg.js";
import type { Viewer } from "../viewer.js";
import type { Facts } from "./facts.js";

export interface Picture {
  width: number;
  height: number;
  title: string;
  draw(pen: Pen, palette: Palette): void;
}

const EDGE = 16;
const LINE = 17;
const TITLE_LINE = 22;
const NAME = 88;
const LEAST = 480;
/** Pixels of a PNG for each of the screen's. */
const TWICE = 2;
/** Lines of one fact: a record's author may have written a caveat of any length. */
const MOST_LINES = 12;

/** Exports of what `picture` draws when it is asked for. */
export function drawn({ root }: Viewer, picture: () => Picture) {
  const sheet = (facts: Facts) => lay(picture(), facts, readPalette(root.querySelector(".whence")!));
  return {
    png(facts: Facts): Promise<Blob> {
      const { width, height, draw } = sheet(facts);
      const { canvas, context } = newCanvas(TWICE * width, TWICE * height);
      context.scale(TWICE, TWICE);
      draw(canvasPen(context));
      return new Promise((done, fail) => {
        canvas.toBlob((blob) => (blob === null ? fail(new Error("the picture is too large")) : done(blob)));
      });
    },
    svg(facts: Facts): string {
      const { width, height, title, draw } = sheet(facts);
      const pen = svgPen();
      draw(pen);
      return pen.written(width, height, title, Object.entries(facts).map((fact) => fact.join(": ")).join("\n"));
    },
  };
}

/** The title, the picture and the facts, one under the other. */
function lay(picture: Picture, facts: Facts, palette: Palette) {
  const width = Math.ceil(Math.max(picture.width, LEAST) + 2 * EDGE);
  const titles = wrapped(picture.title, width - 2 * EDGE, 15, true).slice(0, 3);
  const top = EDGE + titles.length * TITLE_LINE;
  const below = top + picture.height + EDGE;
  const lines = Object.entries(facts).flatMap(([name, value]) =>
    wrapped(value, width - 2 * EDGE - NAME)
      .slice(0, MOST_LINES)
      .map((line, at) => [at === 0 ? name : "", line] as const),
  );
  const height = Math.ceil(below + lines.length * LINE + EDGE);
  return {
    width,
    height,
    title: picture.title,
    draw(pen: Pen) {
      pen.rect(0, 0, width, height, palette.paper);
      titles.forEach((line, at) => {
        pen.text(EDGE, EDGE + at * TITLE_LINE + 8, line, { fill: palette.ink, size: 15, bold: true });
      });
      lines.forEach(([name, line], at) => {
        const y = below + (at + 0.5) * LINE;
        pen.text(EDGE, y, name, { fill: palette.quiet });
        pen.text(EDGE + NAME, y, line, { fill: palette.ink });
      });
      pen.within(EDGE, top, picture.width, picture.height);
      picture.draw(pen, palette);
    },
  };
}
