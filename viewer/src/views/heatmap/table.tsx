// The picture as a table: a part of it, around the cell that is looked at.

import { type Signal, useComputed } from "@preact/signals";
import { useViewer } from "../../ui/viewer.js";
import { exact, type Heat } from "./heat.js";
import type { Cell } from "./plot.js";

/** Rows and columns of one part. */
const PART = 50;

interface TableProps {
  heat: Heat;
  cell: Signal<Cell | null>;
}

export function Table({ heat, cell }: TableProps) {
  const { announce } = useViewer();
  // Most moves stay within a part, and nothing is to be drawn again.
  const row = useComputed(() => firstOf(cell.value?.row ?? 0)).value;
  const column = useComputed(() => firstOf(cell.value?.column ?? 0)).value;
  const at = cell.peek() ?? { row: 0, column: 0 };
  const [rowFrom, rowTo] = [row, Math.min(row + PART, heat.rows.length)];
  const [columnFrom, columnTo] = [column, Math.min(column + PART, heat.columns.length)];
  const rows = heat.rows.slice(rowFrom, rowTo);
  const columns = heat.columns.slice(columnFrom, columnTo);
  const go = (row: number, column: number, what: string) => {
    const fit = (index: number, count: number) => Math.max(0, Math.min(count - 1, index));
    cell.value = { row: fit(row, heat.rows.length), column: fit(column, heat.columns.length) };
    announce(what);
  };
  const said =
    `Rows ${rowFrom + 1} to ${rowTo} of ${heat.rows.length}, ` +
    `columns ${columnFrom + 1} to ${columnTo} of ${heat.columns.length}; values: ${heat.shownUnit}`;
  return (
    <div class="heat-table">
      <div role="group" aria-label="Part of the table">
        <button type="button" disabled={rowFrom === 0} onClick={() => go(rowFrom - 1, at.column, "Rows before")}>
          Rows before
        </button>
        <button type="button" disabled={rowTo >= heat.rows.length} onClick={() => go(rowTo, at.column, "Rows after")}>
          Rows after
        </button>
        <button type="button" disabled={columnFrom === 0} onClick={() => go(at.row, columnFrom - 1, "Columns before")}>
          Columns before
        </button>
        <button type="button" disabled={columnTo >= heat.columns.length} onClick={() => go(at.row, columnTo, "Columns after")}>
          Columns after
        </button>
      </div>
      <div class="heat-scroll" tabIndex={0} role="region" aria-label="The heatmap as a table">
        <table>
          <caption>{said}</caption>
          <thead>
            <tr>
              <td />
              {columns.map(({ label, masked }, index) => (
                <th scope="col" key={columnFrom + index} dir="auto" lang="">
                  {short(label)}
                  {masked ? " (masked)" : ""}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ label }, index) => (
              <tr key={rowFrom + index}>
                <th scope="row" dir="auto" lang="">{short(label)}</th>
                {columns.map(({ masked }, place) => (
                  <td key={columnFrom + place}>{written(heat, rowFrom + index, columnFrom + place, masked)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

/** Where the part begins that holds an index. */
function firstOf(index: number): number {
  return Math.floor(index / PART) * PART;
}

function written(heat: Heat, row: number, column: number, masked: boolean): string {
  if (masked || heat.impossible(row, column)) return "–";
  return exact(heat.shown.values[row * heat.columns.length + column] ?? 0);
}

const MOST = 60;

function short(label: string): string {
  return label.length > MOST ? `${[...label.slice(0, MOST)].slice(0, -1).join("")}…` : label;
}
