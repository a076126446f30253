// The picture as a file: the lines as they are seen, or as numbers.

import { fitted } from "../../canvas/label.js";
import { precisionOf, unitOf } from "../../core/naming.js";
import { shortest } from "../../core/scale.js";
import type { Exporter } from "../../ui/export.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import { ROW } from "./column.js";
import { coloursOf, type Drawing, drawLines } from "./lines.js";
import type { Side } from "./links.js";
import { isCurve, widthOf } from "./sample.js";
import { maskedSaid, whatOf } from "./said.js";
import type { Picture } from "./use_picture.js";

const COLUMN = 200;
const GAP = 320;
/** Samples of heads beside one another. */
const IN_LINE = 12;

/** `lines`: in words, which are drawn. */
export function exportOf(viewer: Viewer, picture: Picture, drawing: Drawing, lines: string): Exporter {
  const { attention: { block }, layer, axes, heads, count } = picture;
  const { links, from, height } = drawing;
  const samples = Math.ceil(heads.length / IN_LINE) * ROW;
  const what = whatOf(picture);
  return {
    ...drawn(viewer, () => ({
      width: 2 * COLUMN + GAP,
      height: height + samples,
      title: `Attention of the ${what}`,
      // How each head looks; below, what is in sight: both columns as far as they are scrolled.
      draw(pen, palette) {
        const colours = coloursOf(viewer.root);
        heads.forEach(({ head }, at) => {
          const draw = isCurve(head) ? pen.curve : pen.line;
          const [x, y] = [(at % IN_LINE) * 60, Math.floor(at / IN_LINE) * ROW];
          draw(x, y + 16, x + 22, y + 4, colours[head] ?? "", widthOf(head) + 1);
          pen.text(x + 26, y + 10, String(head), { fill: palette.ink });
        });
        pen.within(0, samples, 2 * COLUMN + GAP, height);
        drawLines(pen, colours, drawing, COLUMN, GAP);
        const column = (side: Side, x: number, align: "left" | "right") =>
          axes[side].forEach(({ label, masked }, at) => {
            const y = (at + 0.5) * ROW - from[side];
            if (y < 0 || y > height) return;
            pen.text(x, y, fitted(label, COLUMN - 12, 13), { fill: masked && side === "key" ? palette.quiet : palette.ink, size: 13, align });
          });
        column("query", COLUMN - 8, "right");
        column("key", COLUMN + GAP + 8, "left");
      },
    })),
    facts: () => ({
      unit: unitOf(axes.renormalised),
      attention: what,
      lines,
      masked: maskedSaid(picture) || "nothing",
      precision: precisionOf(block),
    }),
    csv: () => [
      ["layer", "head", "query", "query token", "key", "key token", "weight"],
      ...links.map(({ head, query, key, weight }) => [layer, head, query.number, query.label, key.number, key.label, shortest(weight)]),
    ],
    more: () => ({ items: { queries: axes.query, keys: axes.key }, lines_in_all: count }),
  };
}
