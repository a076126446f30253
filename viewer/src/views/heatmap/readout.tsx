// The cell that is looked at, in words: what it stands for, and its exact value.

import type { Signal } from "@preact/signals";
import { percent } from "../../core/scale.js";
import { exact, type Heat, precisely } from "./heat.js";
import type { Cell } from "./plot.js";

export function Readout({ heat, cell }: { heat: Heat; cell: Signal<Cell | null> }) {
  const at = cell.value;
  const row = at === null ? undefined : heat.rows[at.row];
  const column = at === null ? undefined : heat.columns[at.column];
  if (at === null || row === undefined || column === undefined) {
    return <p class="readout note">Point at a cell, or go through the cells with the arrow keys.</p>;
  }
  return (
    <p class="readout">
      <bdi dir="auto" lang="">{cut(row.label)}</bdi>
      <span class="quiet"> × </span>
      <bdi dir="auto" lang="">{cut(column.label)}</bdi>
      <span class="quiet">: </span>
      <strong class="exact">{valueOf(heat, at)}</strong>
      <span class="quiet">{beside(heat, at)}</span>
    </p>
  );
}

/** The same for a screen reader. */
export function told(heat: Heat, at: Cell): string {
  const [row, column] = [heat.rows[at.row], heat.columns[at.column]];
  return `${cut(row?.label ?? "")} × ${cut(column?.label ?? "")}: ${valueOf(heat, at)}${beside(heat, at)}`;
}

function valueOf(heat: Heat, { row, column }: Cell): string {
  if (heat.impossible(row, column)) return "nothing";
  const place = row * heat.columns.length + column;
  return exact((heat.columns[column]?.masked ? heat.values : heat.shown).values[place] ?? 0);
}

function beside(heat: Heat, { row, column }: Cell): string {
  if (heat.impossible(row, column)) return ": this token is read later";
  const place = row * heat.columns.length + column;
  const masked = heat.columns[column]?.masked === true;
  const value = heat.values.values[place] ?? 0;
  const share = heat.unit === "attention" && Math.abs(value) <= 1 ? `, ${percent(masked ? value : (heat.shown.values[place] ?? 0))}` : "";
  return ` ${masked ? heat.unit : heat.shownUnit}${share}${precisely(value, heat.precision)}${masked ? "; masked" : ""}`;
}

const MOST = 80;

function cut(label: string): string {
  const signs = [...label.slice(0, 2 * MOST).replace(/\s+/g, " ")];
  return signs.length > MOST || label.length > 2 * MOST ? `${signs.slice(0, MOST).join("")}…` : signs.join("");
}
