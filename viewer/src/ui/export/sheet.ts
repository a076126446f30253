// A picture with its facts under it, as PNG and as SVG.

import { wrapped } from "../../canvas/label.js";
import { type Palette, readPalette } from "../../canvas/palette.js";
import { CanvasPen, type Pen } from "../../canvas/pen.js";
import { SvgPen } from "../../canvas/svg.js";
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
const NAME = 88;
const LEAST = 480;
/** Pixels of a PNG for each of the screen's. */
const TWICE = 2;
/** Lines of one fact: a record's author may have written a caveat of any length. */
const MOST_LINES = 12;

/** Exports of what `picture` draws when it is asked for. */
export function drawn(viewer: Viewer, picture: () => Picture) {
  return {
    async png(facts: Facts): Promise<Blob> {
      const sheet = lay(picture(), facts);
      const canvas = document.createElement("canvas");
      canvas.width = Math.ceil(sheet.width * TWICE);
      canvas.height = Math.ceil(sheet.height * TWICE);
      const context = canvas.getContext("2d");
      if (context === null) throw new Error("this browser draws no picture of that size");
      context.scale(TWICE, TWICE);
      sheet.draw(new CanvasPen(context), paletteOf(viewer));
      const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
      if (blob === null) throw new Error("this browser draws no picture of that size");
      return blob;
    },
    svg(facts: Facts): string {
      const sheet = lay(picture(), facts);
      const pen = new SvgPen();
      sheet.draw(pen, paletteOf(viewer));
      const told = Object.entries(facts).map(([name, value]) => `${name}: ${value}`);
      return pen.document(sheet.width, sheet.height, sheet.title, told.join("\n"));
    },
  };
}

function paletteOf({ root }: Viewer): Palette {
  const place = root.querySelector(".whence");
  if (place === null) throw new Error("the viewer is not there any more");
  return readPalette(place);
}

/** The title, the picture and the facts, one under the other. */
function lay(picture: Picture, facts: Facts): Picture {
  const width = Math.ceil(Math.max(picture.width, LEAST) + 2 * EDGE);
  const titles = wrapped(picture.title, width - 2 * EDGE, 15, true).slice(0, 3);
  const top = EDGE + titles.length * 22;
  const lines = Object.entries(facts).flatMap(([name, value]) =>
    wrapped(value, width - 2 * EDGE - NAME)
      .slice(0, MOST_LINES)
      .map((line, at) => ({ name: at === 0 ? name : "", line })),
  );
  const below = top + picture.height + EDGE;
  return {
    width,
    height: Math.ceil(below + lines.length * LINE + EDGE),
    title: picture.title,
    draw(pen, palette) {
      pen.rect(0, 0, width, this.height, palette.paper);
      titles.forEach((line, at) => {
        pen.text(EDGE, EDGE + at * 22 + 8, line, { fill: palette.ink, size: 15, bold: true });
      });
      picture.draw(shifted(pen, EDGE, top), palette);
      lines.forEach(({ name, line }, at) => {
        const y = below + (at + 0.5) * LINE;
        pen.text(EDGE, y, name, { fill: palette.quiet });
        pen.text(EDGE + NAME, y, line, { fill: palette.ink });
      });
    },
  };
}

/** A pen whose origin lies elsewhere. */
function shifted(pen: Pen, dx: number, dy: number): Pen {
  return {
    rect: (x, y, ...rest) => pen.rect(x + dx, y + dy, ...rest),
    line: (x1, y1, x2, y2, ...rest) => pen.line(x1 + dx, y1 + dy, x2 + dx, y2 + dy, ...rest),
    curve: (x1, y1, x2, y2, ...rest) => pen.curve(x1 + dx, y1 + dy, x2 + dx, y2 + dy, ...rest),
    text: (x, y, ...rest) => pen.text(x + dx, y + dy, ...rest),
    image: (x, y, ...rest) => pen.image(x + dx, y + dy, ...rest),
  };
}
