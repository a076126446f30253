// The rows and columns of a picture: tokens, the words that they make up, segments, targets.

import type { Loaded, Matrix } from "./model.js";
import type { AttentionToken } from "./schema.js";
import { isMasked } from "./shares.js";
import { blanksVisible, holding, labelled, visible } from "./text.js";

export interface AxisItem {
  /** As it is drawn. */
  label: string;
  /** The rows or columns of the matrix that it stands for. */
  members: number[];
  part: string;
  /** Id of its source; null for the output and for what stands in no text. */
  source: string | null;
  /** Its characters in the text of its source, or in the output; equal where it has none. */
  start: number;
  end: number;
  /** Left out of the picture, because it is the sink or a special token. */
  masked: boolean;
}

export interface AxisOptions {
  /** Words and not the tokens that they are made of. */
  merged: boolean;
  maskSink: boolean;
  maskSpecial: boolean;
}

/** Tokens as an axis. A token belongs to the word that holds its first character that is not blank. */
export function axisOf(tokens: readonly AttentionToken[], loaded: Loaded, options: AxisOptions): AxisItem[] {
  const items: AxisItem[] = [];
  let lastWord: number | null = null;
  tokens.forEach((token, at) => {
    const { text, part, source, start, end } = token;
    const word = options.merged ? wordAt(loaded, token) : null;
    const last = items.at(-1);
    if (word !== null && word === lastWord && last?.source === source) {
      last.members.push(at);
      last.start = Math.min(last.start, start);
      last.end = Math.max(last.end, end);
    } else {
      items.push({ label: visible(text), members: [at], part, source, start, end, masked: isMasked(part, options) });
    }
    lastWord = word;
  });
  for (const item of items) {
    if (item.members.length > 1) item.label = labelled(loaded.textOf(item.source).slice(item.start, item.end));
    else if (item.label.trim() === "") item.label = blanksVisible(item.label);
  }
  return items;
}

export function segmentAxis(loaded: Loaded): AxisItem[] {
  return loaded.segments.map(({ source, start, end }, at) => whole(loaded.segmentText(at), at, source, start ?? 0, end ?? 0));
}

export function targetAxis(loaded: Loaded): AxisItem[] {
  return loaded.targets.map(({ start, end }, at) => whole(loaded.targetText(at), at, null, start, end));
}

function whole(text: string, at: number, source: string | null, start: number, end: number): AxisItem {
  return { label: labelled(text), members: [at], part: partOf(source), source, start, end, masked: false };
}

function partOf(source: string | null) {
  return source === null ? "output" : "source";
}

/** The output's tokens x those of the sources; null where a result kept no token level. */
export function detailAxes(
  loaded: Loaded,
  result: number,
  options: AxisOptions,
): { rows: AxisItem[]; columns: AxisItem[] } | null {
  const { detail } = loaded.result(result).told;
  const axis = (tokens: readonly (readonly [string | null, number, number])[]) => {
    const own = tokens.map(([source, start, end]): AttentionToken => {
      return { text: loaded.textOf(source).slice(start, end), part: partOf(source), source, start, end };
    });
    return axisOf(own, loaded, options);
  };
  const said = loaded.explanation.output.tokens ?? [];
  return detail && { rows: axis(said.map(({ start, end }) => [null, start, end])), columns: axis(detail.tokens) };
}

/** The matrix of these items: sums over the members of a column, means over those of a row. */
export function regroup(matrix: Matrix, rows: readonly AxisItem[], columns: readonly AxisItem[]): Matrix {
  const values = new Float32Array(rows.length * columns.length);
  const sums = new Float64Array(matrix.columns);
  rows.forEach((row, at) => {
    sums.fill(0);
    for (const member of row.members) {
      const start = member * matrix.columns;
      for (let column = 0; column < sums.length; column++) sums[column]! += matrix.values[start + column]!;
    }
    columns.forEach((column, to) => {
      let sum = 0;
      for (const member of column.members) sum += sums[member]!;
      values[at * columns.length + to] = sum / row.members.length;
    });
  });
  return { rows: rows.length, columns: columns.length, values };
}

/** The word to which a token belongs, by its index in its text; null for one that stands in no text, or in blanks. */
function wordAt(loaded: Loaded, { part, source, start, end }: AttentionToken): number | null {
  if (part !== "source" && part !== "output") return null;
  const first = loaded.textOf(source).inkFrom(start);
  return first < end ? holding(loaded.words(source), first) : null;
}
