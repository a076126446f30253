// What the heatmap exports: the part that is seen as a picture, all of it as numbers.

import { shortest } from "../../core/scale.js";
import type { Exporter, Row } from "../../ui/export.js";
import type { Facts } from "../../ui/export/facts.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import { drawHeat, type View } from "./draw.js";
import type { Both, Side } from "./layout.js";

/** `view`: what is on the screen now. */
export function heatExporter(viewer: Viewer, title: string, own: Facts | undefined, view: () => View): Exporter {
  return {
    facts() {
      const { heat } = view();
      return { ...own, unit: heat.unit, masked: heat.masked, "in the picture": partSaid(view()), notes: heat.notes.join(" ") || "none" };
    },
    ...drawn(viewer, () => ({ ...view(), title, draw: (pen, palette) => drawHeat(pen, palette, view(), 2) })),
    csv() {
      const { rows, columns, shown } = view().heat;
      const value = (at: number) => shortest(shown.values[at]!);
      return [
        ["", ...columns.map(({ label, masked }) => (masked ? `${label} (masked)` : label))],
        ...rows.map(({ label }, row): Row => [label, ...columns.map(({ masked }, at) => (masked ? "" : value(row * columns.length + at)))]),
      ];
    },
    more: () => ({ title, items: { rows: view().heat.rows, columns: view().heat.columns } }),
  };
}

type Part = Omit<Side, "start" | "length">;

/** Which of its rows and columns are seen. */
export function partSaid({ rows, columns }: Both<Part>): string {
  const range = ({ from, seen, items }: Part) => `${Math.floor(from) + 1} to ${Math.ceil(from + seen - 1e-9)} of ${items.length}`;
  return `rows ${range(rows)}, columns ${range(columns)}`;
}
