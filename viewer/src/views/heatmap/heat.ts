// What a heatmap shows: a matrix with named rows and columns, and what must be said beside it.

import { type AxisItem, type AxisOptions, axisOf, detailAxes, regroup, segmentAxis, targetAxis } from "../../core/axis.js";
import type { Loaded, Matrix } from "../../core/model.js";
import { short, unitOf } from "../../core/naming.js";
import { NBSP, percent, shortest } from "../../core/scale.js";
import type { Block, ElsewherePart } from "../../core/schema.js";
import { type Masking, meanOf, meanOfParts, type Parts } from "../../core/shares.js";
import { visible } from "../../core/text.js";
import { words } from "../../core/wording.js";
import { partsSaid } from "../../ui/chosen.js";
import type { Place } from "../../ui/found.js";
import type { Both } from "./layout.js";

type Axes = Both<readonly AxisItem[]>;

export interface Heat extends Axes {
  /** As they were measured, masked columns too. */
  values: Matrix;
  /** As they are shown: nothing where a column is masked, and divided where it is renormalised. */
  shown: Matrix;
  unit: string;
  /** The stretch of the output that each row is about; an empty one where it is about none. */
  about: readonly Place[];
  notes: string[];
  /** How much of a row, and of what kinds. */
  masked: string;
  /** How a value is to be read: how exact it is, and whether something can stand there at all. */
  remark: (value: number, row: number, column: number) => string;
}

export interface Options extends AxisOptions, Masking {}

/** Targets x segments of a result, or tokens of the output x those of the sources: null where none were kept. */
export function evidenceHeat(loaded: Loaded, result: number, options: Options, byToken: boolean): Heat | null {
  const { told, scores, detail } = loaded.result(result);
  const { unit, signed, unmeasured } = told.scores;
  const axes = byToken ? detailAxes(loaded, result, options) : { rows: targetAxis(loaded), columns: segmentAxis(loaded) };
  const matrix = byToken ? detail : scores;
  if (axes === null || matrix === null) return null;
  const { elsewhere: outside } = (byToken && told.detail) || told.scores;
  const heat = heatOf(axes, matrix, options, words.units[unit], (row, { members }) => {
    const elsewhere = outside && meanOf(members.map((member) => outside[member]!));
    const { shares, left } = loaded.maskedShares(result, { row, elsewhere }, options);
    if (options.renormalised) row.set(shares);
    return left;
  });
  if (signed && options.renormalised) heat.notes.push("Scores below zero or within noise count as 0.");
  if (!byToken && unmeasured.length > 0) heat.notes.push(`Not measured, and drawn as 0: ${unmeasured.length}.`);
  return heat;
}

/** Queries x keys of some attention of a block. */
export function attentionHeat(loaded: Loaded, block: Block, weights: Matrix, options: Options): Heat {
  const rows = axisOf(block.queries, loaded, options);
  const columns = axisOf(block.keys, loaded, options);
  const hidden = columns.flatMap(({ masked }, at) => (masked ? [at] : []));
  const heat = heatOf({ rows, columns }, weights, options, words.units.attention_mass, (line) => {
    const left = hidden.map((at) => [columns[at]!.part as ElsewherePart, line[at]!] as const);
    for (const at of hidden) line[at] = 0;
    if (options.renormalised) {
      const rest = line.reduce((sum, value) => sum + value, 0);
      for (let at = 0; at < line.length; at++) line[at] = rest > 1e-9 ? line[at]! / rest : 0;
    }
    return left;
  });
  const tokens = new Map(loaded.explanation.output.tokens?.map((token, at) => [block.explaining[at], token]));
  heat.about = rows.map(({ members }) => {
    const own = members.flatMap((member) => tokens.get(member) ?? []).filter(({ start, end }) => end > start);
    return { source: null, start: own[0]?.start ?? 0, end: own.at(-1)?.end ?? 0 };
  });
  const { floor, relative_error, absolute_error } = block.precision;
  heat.remark = (value, row, column) => {
    const last = block.positions[rows[row]!.members.at(-1)!]!;
    if (block.name === "decoder" && columns[column]!.members[0]! > last) return "nothing: this token is read later";
    return `within ${value < floor ? exact(absolute_error) : `${exact(100 * relative_error)}${NBSP}%`} of the model's`;
  };
  if (block.left_out) heat.notes.push(visible(block.left_out));
  return heat;
}

/** `show` masks and divides one row, and tells what of it is masked. */
function heatOf(
  { rows, columns }: Axes,
  matrix: Matrix,
  { renormalised }: Options,
  unit: string,
  show: (line: Float32Array, row: AxisItem) => Parts,
): Heat {
  const values = regroup(matrix, rows, columns);
  const shown = { ...values, values: values.values.slice() };
  const width = columns.length;
  const left = meanOfParts(rows.map((row, at) => show(shown.values.subarray(at * width, (at + 1) * width), row)));
  const sum = left.reduce((sum, [, share]) => sum + share, 0);
  const masked = sum > 0 ? `${percent(sum)} of a row on average${partsSaid(left)}` : "nothing";
  return {
    rows,
    columns,
    values,
    shown,
    unit: unitOf(renormalised, unit),
    about: rows,
    notes: sum > 0 ? [`Masked: ${masked}.`] : [],
    masked,
    remark: () => "",
  };
}

/** A value with all digits that a float32 has. */
export function exact(value: number): string {
  return String(shortest(value)).replace("-", "\u2212");
}

/** What is at a cell: its row, its column, its exact value, and how that is to be read. */
export function told({ rows, columns, values, shown, unit, remark }: Heat, at: Both<number>): readonly string[] {
  const { label, masked } = columns[at.columns]!;
  const value = (masked ? values : shown).values[at.rows * columns.length + at.columns]!;
  const rest = [masked && "masked", remark(value, at.rows, at.columns)].filter(Boolean).join("; ");
  return [short(rows[at.rows]!.label), short(label), exact(value), unit + (rest && ` (${rest})`)];
}
