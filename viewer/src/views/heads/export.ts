// The picture as a file: the lines as they are seen, or as numbers.

import { fitted } from "../../canvas/label.js";
import { percent } from "../../core/scale.js";
import type { Exporter } from "../../ui/export.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import words from "../../generated/words.json";
import { ROW } from "./column.js";
import { coloursOf, type Drawing, drawLines } from "./lines.js";
import { type Side, sumOf } from "./links.js";
import { isCurve, widthOf } from "./sample.js";
import type { Picture } from "./use_picture.js";

const COLUMN = 200;
const GAP = 320;

/** `lines`: in words, which are drawn. */
export function exportOf(viewer: Viewer, { attention, layer, axes, heads }: Picture, drawing: Drawing, lines: string): Exporter {
  const { block } = attention;
  const { links, from, height } = drawing;
  const what = `${block.name}, layer ${layer}, head${heads.length === 1 ? "" : "s"} ${heads.map(({ head }) => head).join(", ")}`;
  return {
    ...drawn(viewer, () => ({
      width: 2 * COLUMN + GAP,
      height: height + ROW,
      title: `Attention of the ${what}`,
      // How each head looks; below, what is in sight: both columns as far as they are scrolled.
      draw(pen, palette) {
        const colours = coloursOf(viewer.root);
        const each = Math.min(60, (2 * COLUMN + GAP) / heads.length);
        heads.forEach(({ head }, at) => {
          const draw = isCurve(head) ? pen.curve : pen.line;
          draw(at * each, 16, at * each + 22, 4, colours[head] ?? "", widthOf(head) + 1);
          pen.text(at * each + 26, 10, String(head), { fill: palette.ink });
        });
        pen.within(0, ROW, 2 * COLUMN + GAP, height);
        drawLines(pen, colours, drawing, COLUMN, GAP);
        const column = (side: Side, x: number, align: "left" | "right") =>
          axes[side].forEach(({ label, masked }, at) => {
            const y = (at + 0.5) * ROW - from[side];
            if (y < 0 || y > height) return;
            pen.text(x, y, fitted(label, COLUMN - 12, 13), { fill: masked ? palette.quiet : palette.ink, size: 13, align });
          });
        column("query", COLUMN - 8, "right");
        column("key", COLUMN + GAP + 8, "left");
      },
    })),
    facts: () => ({
      unit: words.units.attention_mass,
      attention: what,
      lines,
      precision: `${block.encoding}: within ${percent(block.precision.relative_error)} of a weight`,
    }),
    csv: () => [
      ["layer", "head", "query", "query token", "key", "key token", "weight"],
      ...links.map(({ head, query, key, weight }) => [layer, head, query.number, query.label, key.number, key.label, weight]),
    ],
    more: () => ({ items: { queries: axes.query, keys: axes.key }, lines_in_all: sumOf(heads, "count") }),
  };
}
