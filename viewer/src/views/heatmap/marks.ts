// What is chosen in all views, as rows and columns of this one; and a row of this one as a choice.

import type { AxisItem } from "../../core/axis.js";
import type { Loaded } from "../../core/model.js";
import type { Block } from "../../core/schema.js";
import type { Found } from "../../ui/found.js";
import type { Choice, Picture } from "../../ui/state.js";
import type { Heat } from "./heat.js";

export interface Marks {
  rows: readonly number[];
  columns: readonly number[];
}

/** The rows and columns that hold a word that was searched for. */
export function marksOfFound(loaded: Loaded, heat: Heat, found: readonly Found[]): Marks {
  const places = new Map<string | null, Found[]>();
  for (const place of found) {
    const source = place.source === null ? null : (loaded.explanation.sources[place.source]?.id ?? null);
    const own = places.get(source);
    if (own === undefined) places.set(source, [place]);
    else own.push(place);
  }
  const holds = (item: AxisItem) =>
    (item.part === "output" || item.source !== null) &&
    (places.get(item.source) ?? []).some(({ start, end }) => overlaps(item, start, end));
  return found.length === 0 ? { rows: [], columns: [] } : { rows: indices(heat.rows, holds), columns: indices(heat.columns, holds) };
}

/** The rows and columns of what is chosen. */
export function marksOf(loaded: Loaded, heat: Heat, choice: Choice, block: Block | null): Marks {
  if (choice === null) return { rows: [], columns: [] };
  if (choice.kind === "segment") {
    const segment = loaded.segments[choice.index];
    if (segment === undefined) return { rows: [], columns: [] };
    const { source, start, end } = segment;
    const own = (item: AxisItem, at: number) =>
      start === null || end === null
        ? item.source === source && heat.columns.length === loaded.segments.length && at === choice.index
        : item.source === source && overlaps(item, start, end);
    return { rows: [], columns: indices(heat.columns, own) };
  }
  const stretch = choice.kind === "target" ? loaded.targets[choice.index] : choice;
  if (stretch === undefined) return { rows: [], columns: [] };
  const { start, end } = stretch;
  const written = (item: AxisItem) => item.part === "output" && overlaps(item, start, end);
  if (block === null) return { rows: indices(heat.rows, written), columns: [] };
  const tokens = loaded.explanation.output.tokens ?? [];
  const explained = new Set(block.explaining.filter((_, at) => {
    const token = tokens[at];
    return token !== undefined && token.start < end && token.end > start;
  }));
  return { rows: indices(heat.rows, ({ members }) => members.some((member) => explained.has(member))), columns: [] };
}

/** What to choose where a row is; null where it stands for no part of the output. */
export function choiceOfRow(loaded: Loaded, heat: Heat, row: number, picture: Picture, block: Block | null): Choice {
  const item = heat.rows[row];
  if (item === undefined) return null;
  if (picture === "scores") return { kind: "target", index: row };
  if (block === null) return item.end > item.start ? { kind: "stretch", start: item.start, end: item.end } : null;
  const tokens = loaded.explanation.output.tokens ?? [];
  const explained = tokens.filter(({ start, end }, at) => end > start && item.members.includes(block.explaining[at] ?? -1));
  if (explained.length === 0) return null;
  const start = Math.min(...explained.map((token) => token.start));
  return { kind: "stretch", start, end: Math.max(...explained.map((token) => token.end)) };
}

function overlaps(item: AxisItem, start: number, end: number): boolean {
  return item.start < end && item.end > start;
}

function indices(items: readonly AxisItem[], own: (item: AxisItem, at: number) => boolean): number[] {
  return items.flatMap((item, at) => (own(item, at) ? [at] : []));
}
