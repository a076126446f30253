// What the heatmap exports: the part that is seen as a picture, all of it as numbers.

import type { AxisItem } from "../../core/axis.js";
import { shortest } from "../../core/scale.js";
import type { Exporter, Row } from "../../ui/export.js";
import type { Facts } from "../../ui/export/facts.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import { drawHeat, type View } from "./draw.js";
import type { Side } from "./layout.js";

/** `view`: what is on the screen now. */
export function heatExporter(viewer: Viewer, title: string, own: Facts, view: () => View): Exporter {
  /** All values as they are shown; null where a column is masked. */
  const values = () => {
    const { rows, columns, shown } = view().heat;
    return rows.map((_, row) =>
      columns.map(({ masked }, column) => (masked ? null : shortest(shown.values[row * columns.length + column]!))),
    );
  };
  return {
    facts() {
      const { heat, rows, columns } = view();
      const part = `rows ${rangeOf(rows)}, columns ${rangeOf(columns)}`;
      return { ...own, unit: heat.unit, "in the picture": part, notes: heat.notes.join(" ") || "none" };
    },
    ...drawn(viewer, () => ({ ...view(), title, draw: (pen, palette) => drawHeat(pen, palette, view(), 2) })),
    csv() {
      const { rows, columns } = view().heat;
      const head = columns.map(({ label, masked }) => (masked ? `${label} (masked)` : label));
      return [["", ...head], ...values().map((row, at): Row => [rows[at]!.label, ...row.map((value) => value ?? "")])];
    },
    json: () => ({ title, rows: view().heat.rows.map(told), columns: view().heat.columns.map(told), values: values() }),
  };
}

function told({ members: _, ...item }: AxisItem) {
  return item;
}

/** Which of its items are seen. */
export function rangeOf({ from, seen, items }: Omit<Side, "start" | "length">): string {
  return `${Math.floor(from) + 1} to ${Math.ceil(from + seen - 1e-9)} of ${items.length}`;
}
