// The picture as a file: the lines as they are seen, or as numbers.

import type { Signal } from "@preact/signals";
import { fitted } from "../../canvas/label.js";
import type { Palette } from "../../canvas/palette.js";
import type { Pen } from "../../canvas/pen.js";
import type { Block } from "../../core/schema.js";
import type { Exporter } from "../../ui/export.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import { ROW } from "./column.js";
import { drawLines } from "./lines.js";
import type { Axes, Link, Place } from "./links.js";
import { headsSaid } from "./said.js";
import { readColours } from "./strokes.js";
import type { Picture } from "./use_links.js";

const COLUMN = 200;
const GAP = 320;

interface Seen {
  viewer: Viewer;
  block: Block;
  axes: Axes;
  picture: Picture | null;
  links: readonly Link[];
  unit: (value: number) => number;
  named: (side: Place["side"], index: number) => string;
  numbers: { query: readonly number[]; key: readonly number[] };
  summary: string;
  tops: { query: Signal<number>; key: Signal<number> };
  height: number;
  /** The token whose lines alone are seen. */
  place: Place | null;
}

export function exportOf(seen: Seen): Exporter {
  const { viewer, block, axes, picture, links, numbers, summary, place, named } = seen;
  const layer = picture?.layer ?? 0;
  const heads = picture?.heads.map(({ head }) => head) ?? [];
  const tokens = { query: axes.rows, key: axes.columns };
  return {
    ...drawn(viewer, () => ({
      width: 2 * COLUMN + GAP,
      height: seen.height,
      title: `Attention of the ${block.name}, layer ${layer}, ${headsSaid(heads)}`,
      draw: (pen, palette) => draw(pen, palette, seen),
    })),
    facts: () => ({
      method: "attention of single heads",
      unit: "attention: a part of what one head of a query has to give",
      attention: `${block.name}, layer ${layer}, ${headsSaid(heads)}`,
      lines: place === null ? summary : `only those of ${named(place.side, place.index)}`,
      precision: `${block.encoding}: within ${block.precision.relative_error} of a weight`,
    }),
    csv: () => [
      ["layer", "head", "query", "query token", "key", "key token", "weight"],
      ...links.map(({ head, row, column, value }) => [
        layer,
        head,
        numbers.query[row] ?? 0,
        axes.rows[row]?.label ?? "",
        numbers.key[column] ?? 0,
        axes.columns[column]?.label ?? "",
        value,
      ]),
    ],
    json: () => ({
      block: block.name,
      layer,
      heads,
      queries: tokens.query.map(({ label }, at) => ({ number: numbers.query[at], label })),
      keys: tokens.key.map(({ label, masked }, at) => ({ number: numbers.key[at], label, masked })),
      // `query`, `key`: indices into these lists.
      lines: links.map(({ head, row, column, value }) => ({ head, query: row, key: column, weight: value })),
      lines_in_all: picture?.count ?? 0,
    }),
  };
}

/** What is in sight: both columns as far as they are scrolled. */
function draw(pen: Pen, palette: Palette, { viewer, axes, picture, links, unit, tops, height }: Seen): void {
  const place = viewer.root.querySelector(".whence");
  if (place === null) return;
  const [queryTop, keyTop] = [tops.query.peek(), tops.key.peek()];
  const heads = picture?.heads.map(({ head }) => head) ?? [];
  drawLines(pen, readColours(place), { links, heads, unit, queryTop, keyTop, left: COLUMN, width: GAP, height });
  const column = (items: Axes["rows"], top: number, side: Place["side"]) => {
    // Lines leave the picture where tokens do.
    items.forEach(({ label, masked }, at) => {
      const y = (at + 0.5) * ROW - top;
      if (y < 0 || y > height) return;
      const align = side === "query" ? "right" : "left";
      const x = side === "query" ? COLUMN - 8 : COLUMN + GAP + 8;
      pen.text(x, y, fitted(label, COLUMN - 12, 13), { fill: masked ? palette.quiet : palette.ink, size: 13, align });
    });
  };
  column(axes.rows, queryTop, "query");
  column(axes.columns, keyTop, "key");
}
