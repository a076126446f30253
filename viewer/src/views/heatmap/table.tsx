// The picture as a table: a part of it, around the cell that is looked at.

import type { Signal } from "@preact/signals-core";
import { rangeOf } from "./exporter.js";
import { exact, type Heat, short } from "./heat.js";
import { clamp } from "./layout.js";
import type { Cell } from "./plot.js";

/** Rows and columns of one part. */
const PART = 50;

export function Table({ heat, cell }: { heat: Heat; cell: Signal<Cell | null> }) {
  const row = firstOf(cell.value?.row);
  const column = firstOf(cell.value?.column);
  const rows = heat.rows.slice(row, row + PART);
  const columns = heat.columns.slice(column, column + PART);
  const step = (name: string, down: number, across: number) => {
    const next = { row: row + down, column: column + across };
    const there = heat.rows[next.row] !== undefined && heat.columns[next.column] !== undefined;
    return (
      <button type="button" disabled={!there} onClick={() => (cell.value = next)}>
        {name}
      </button>
    );
  };
  const range = (from: number, items: Heat["rows"]) => rangeOf({ from, seen: clamp(PART, 0, items.length - from), items });
  return (
    <>
      <div role="group" aria-label="Part of the table">
        {step("Rows before", -PART, 0)}
        {step("Rows after", PART, 0)}
        {step("Columns before", 0, -PART)}
        {step("Columns after", 0, PART)}
      </div>
      <div class="heat-scroll" tabIndex={0} role="region" aria-label="The heatmap as a table">
        <table>
          <caption aria-live="polite">
            Rows {range(row, heat.rows)}, columns {range(column, heat.columns)}; {heat.unit}
          </caption>
          <thead>
            <tr>
              <td />
              {columns.map(({ label, masked }) => (
                <th scope="col" dir="auto" lang="">
                  {short(label)}
                  {masked ? " (masked)" : ""}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ label }, down) => (
              <tr>
                <th scope="row" dir="auto" lang="">{short(label)}</th>
                {columns.map(({ masked }, across) => (
                  <td>{masked ? "–" : exact(heat.shown.values[(row + down) * heat.columns.length + column + across]!)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** Where the part begins that holds an index. */
function firstOf(index = 0): number {
  return Math.floor(index / PART) * PART;
}
