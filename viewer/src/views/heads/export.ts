// The picture as a file: the lines as they are seen, or as numbers.

import { fitted } from "../../canvas/label.js";
import type { Exporter } from "../../ui/export.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import { ROW } from "./column.js";
import { type Drawing, drawLines } from "./lines.js";
import type { Side } from "./links.js";
import { headsSaid } from "./said.js";
import type { Picture } from "./use_picture.js";

const COLUMN = 200;
const GAP = 320;
const SIDES: readonly Side[] = ["query", "key"];

/** `lines`: in words, which are drawn. */
export function exportOf(viewer: Viewer, picture: Picture, drawing: Drawing, lines: string): Exporter {
  const { attention, axes, layer } = picture;
  const { block } = attention;
  const { links, tops, height } = drawing;
  const heads = picture.heads.map(({ head }) => head);
  const what = `${block.name}, layer ${layer}, ${headsSaid(heads)}`;
  return {
    ...drawn(viewer, () => ({
      width: 2 * COLUMN + GAP,
      height,
      title: `Attention of the ${what}`,
      // What is in sight: both columns as far as they are scrolled.
      draw(pen, palette) {
        const from = { query: tops.query.peek(), key: tops.key.peek() };
        drawLines(pen, viewer.root, drawing, from, COLUMN, GAP);
        for (const side of SIDES) {
          axes[side].forEach(({ short, masked }, at) => {
            const y = (at + 0.5) * ROW - from[side];
            if (y < 0 || y > height) return;
            const [x, align] = side === "query" ? ([COLUMN - 8, "right"] as const) : ([COLUMN + GAP + 8, "left"] as const);
            pen.text(x, y, fitted(short, COLUMN - 12, 13), { fill: masked ? palette.quiet : palette.ink, size: 13, align });
          });
        }
      },
    })),
    facts: () => ({
      method: "attention of single heads",
      unit: "attention: a part of what one head of a query has to give",
      attention: what,
      lines,
      precision: `${block.encoding}: within ${block.precision.relative_error} of a weight`,
    }),
    csv: () => [
      ["layer", "head", "query", "query token", "key", "key token", "weight"],
      ...links.map(({ head, query, key, weight }) => {
        const [from, to] = [axes.query[query]!, axes.key[key]!];
        return [layer, head, from.number, from.label, to.number, to.label, weight];
      }),
    ],
    json: () => ({
      block: block.name,
      layer,
      heads,
      queries: axes.query.map(({ number, label }) => ({ number, label })),
      keys: axes.key.map(({ number, label, masked }) => ({ number, label, masked })),
      // `query`, `key`: indices into these lists.
      lines: links,
      lines_in_all: picture.count,
    }),
  };
}
