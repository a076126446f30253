// The rows and columns of a picture: tokens, the words that they make up, segments, targets.

import type { Loaded, Matrix } from "./model.js";
import type { AttentionToken } from "./schema.js";
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
    if (word !== null && word === lastWord && last !== undefined && last.part === part && last.source === source) {
      last.members.push(at);
      last.start = Math.min(last.start, start);
      last.end = Math.max(last.end, end);
    } else {
      const masked = (options.maskSink && part === "sink") || (options.maskSpecial && part === "special");
      items.push({ label: visible(text), members: [at], part, source, start, end, masked });
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
  return loaded.segments.map(({ source, start, end }, at) => {
    const label = labelled(loaded.segmentText(at));
    return { label, members: [at], part: "source", source, start: start ?? 0, end: end ?? 0, masked: false };
  });
}

export function targetAxis(loaded: Loaded): AxisItem[] {
  return loaded.targets.map(({ start, end }, at) => {
    const label = labelled(loaded.targetText(at));
    return { label, members: [at], part: "output", source: null, start, end, masked: false };
  });
}

/** The output's tokens x those of the sources; null where a result kept no token level. */
export function detailAxes(
  loaded: Loaded,
  result: number,
  options: AxisOptions,
): { rows: AxisItem[]; columns: AxisItem[] } | null {
  const { detail } = loaded.result(result).told;
  if (detail === null) return null;
  const said: AttentionToken[] = (loaded.explanation.output.tokens ?? []).map(({ start, end }) => ({
    text: loaded.output.slice(start, end),
    part: "output",
    source: null,
    start,
    end,
  }));
  const read: AttentionToken[] = detail.tokens.map(([source, start, end]) => ({
    text: loaded.textOf(source).slice(start, end),
    part: "source",
    source,
    start,
    end,
  }));
  return { rows: axisOf(said, loaded, options), columns: axisOf(read, loaded, options) };
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

/** For each row of a matrix whose columns are these: the sum of what is masked. */
export function maskedMass(matrix: Matrix, columns: readonly AxisItem[]): Float64Array {
  const masses = new Float64Array(matrix.rows);
  columns.forEach(({ masked }, column) => {
    if (!masked) return;
    for (let row = 0; row < matrix.rows; row++) masses[row]! += matrix.values[row * matrix.columns + column]!;
  });
  return masses;
}

/** The word to which a token belongs, by its index in its text; null for one that stands in no text, or in blanks. */
function wordAt(loaded: Loaded, { part, source, start, end }: AttentionToken): number | null {
  if (part !== "source" && part !== "output") return null;
  const first = loaded.textOf(source).inkFrom(start);
  return first < end ? holding(loaded.words(source), first) : null;
}
