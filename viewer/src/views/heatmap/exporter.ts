// What the heatmap exports: the part that is seen as a picture, all of it as numbers.

import type { AxisItem } from "../../core/axis.js";
import type { Exporter, Row } from "../../ui/export.js";
import { shortest } from "../../ui/export/digits.js";
import type { Facts } from "../../ui/export/facts.js";
import { drawn } from "../../ui/export/sheet.js";
import type { Viewer } from "../../ui/viewer.js";
import { drawHeat, type View } from "./draw.js";

/** `view`: what is on the screen now. */
export function heatExporter(viewer: Viewer, title: string, own: Facts, view: () => View): Exporter {
  return {
    facts() {
      const { heat, camera } = view();
      return { ...own, unit: heat.shownUnit, ...part(camera, heat.rows.length, heat.columns.length), notes: heat.notes.join(" ") };
    },
    ...drawn(viewer, () => {
      const now = { ...view(), ratio: 2 };
      return { width: now.width, height: now.height, title, draw: (pen, palette) => drawHeat(pen, palette, now) };
    }),
    csv() {
      const { heat } = view();
      const head: Row = ["", ...heat.columns.map(({ label, masked }) => (masked ? `${label} (masked)` : label))];
      return [head, ...valuesOf(view()).map((row, at): Row => [heat.rows[at]?.label ?? "", ...row.map((value) => value ?? "")])];
    },
    json() {
      const { heat } = view();
      return { title, rows: heat.rows.map(told), columns: heat.columns.map(told), values: valuesOf(view()) };
    },
  };
}

/** All values as they are shown; null where a column is masked. */
function valuesOf({ heat }: View): (number | null)[][] {
  const count = heat.columns.length;
  return heat.rows.map((_, row) =>
    heat.columns.map(({ masked }, column) => (masked ? null : shortest(heat.shown.values[row * count + column] ?? 0))),
  );
}

function told({ label, part, source, start, end, masked }: AxisItem) {
  return { label, part, source, start, end, masked };
}

function part({ x, y, across, down }: View["camera"], rows: number, columns: number): Facts {
  if (across >= columns && down >= rows) return {};
  const range = (from: number, long: number) => `${Math.floor(from) + 1} to ${Math.ceil(from + long - 1e-9)}`;
  return { part: `rows ${range(y, down)} of ${rows}, columns ${range(x, across)} of ${columns} (as a picture)` };
}
