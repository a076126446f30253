// The picture as a table: a part of it, around the cell that is looked at.

import type { Signal } from "@preact/signals-core";
import { useMemo } from "preact/hooks";
import { short } from "../../core/naming.js";
import { partSaid } from "./exporter.js";
import { exact, type Heat } from "./heat.js";
import type { Both } from "./layout.js";

/** Rows and columns of one part. */
const PART = 50;

export function Table({ heat, cell }: { heat: Heat; cell: Signal<Both<number> | null> }) {
  const row = firstOf(cell.value?.rows);
  const column = firstOf(cell.value?.columns);
  // Thousands of elements: the pointer may go from cell to cell without their being compared.
  return useMemo(() => drawn(heat, row, column, (next) => (cell.value = next)), [heat, row, column]);
}

function drawn(heat: Heat, row: number, column: number, look: (at: Both<number>) => void) {
  const rows = heat.rows.slice(row, row + PART);
  const columns = heat.columns.slice(column, column + PART);
  const step = (name: string, down: number, across: number) => {
    const next = { rows: row + down, columns: column + across };
    return (
      <button disabled={!heat.rows[next.rows] || !heat.columns[next.columns]} onClick={() => look(next)}>
        {name}
      </button>
    );
  };
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
            {partSaid({ rows: { from: row, seen: rows.length, items: heat.rows }, columns: { from: column, seen: columns.length, items: heat.columns } })}; {heat.unit}
          </caption>
          <thead>
            <tr>
              <td />
              {columns.map(({ label, masked }) => (
                <th scope="col" dir="auto" lang="">
                  {short(label)}
                  {masked && " (masked)"}
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
