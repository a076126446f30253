// What the canvas shows, as a table.

import { useState } from "preact/hooks";
import { quantity } from "../../core/scale.js";
import type { Link, Place } from "./links.js";
import { grouped } from "./said.js";

const AT_ONCE = 100;

interface TableProps {
  links: readonly Link[];
  caption: string;
  named: (side: Place["side"], index: number) => string;
}

export function LinkTable({ links, caption, named }: TableProps) {
  const [open, setOpen] = useState(false);
  const [rows, setRows] = useState(AT_ONCE);
  return (
    <details class="heads-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The lines as a table</summary>
      {open && (
        <>
          <table>
            <caption>{caption}</caption>
            <thead>
              <tr>
                <th scope="col">Query</th>
                <th scope="col">Key</th>
                <th scope="col">Head</th>
                <th scope="col">Weight</th>
              </tr>
            </thead>
            <tbody>
              {links.slice(0, rows).map(({ head, row, column, value }) => (
                <tr key={`${head} ${row} ${column}`}>
                  <td>
                    <bdi dir="auto" lang="">
                      {named("query", row)}
                    </bdi>
                  </td>
                  <td>
                    <bdi dir="auto" lang="">
                      {named("key", column)}
                    </bdi>
                  </td>
                  <td>{head}</td>
                  <td>{quantity(value)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {rows < links.length && (
            <button type="button" onClick={() => setRows(rows + AT_ONCE)}>
              Show {AT_ONCE} more of {grouped(links.length - rows)}
            </button>
          )}
        </>
      )}
    </details>
  );
}
