// What a heatmap shows: a matrix with named rows and columns, and what must be said beside it.

import { type AxisItem, type AxisOptions, axisOf, detailAxes, regroup, segmentAxis, targetAxis } from "../../core/axis.js";
import type { Loaded, Matrix } from "../../core/model.js";
import { NBSP, percent, shortest } from "../../core/scale.js";
import type { Block, Elsewhere } from "../../core/schema.js";
import type { Masking } from "../../core/shares.js";
import { visible } from "../../core/text.js";
import words from "../../generated/words.json";

interface Axes {
  rows: readonly AxisItem[];
  columns: readonly AxisItem[];
}

export interface Heat extends Axes {
  /** As they were measured, masked columns too. */
  values: Matrix;
  /** As they are shown: nothing where a column is masked, and divided where it is renormalised. */
  shown: Matrix;
  unit: string;
  /** Whether values may be below zero. */
  signed: boolean;
  /** The stretch of the output that each row is about; null where it is about none. */
  about: readonly (Stretch | null)[];
  notes: readonly string[];
  /** How a value is to be read: how exact it is, and whether something can stand there at all. */
  remark: (value: number, row: number, column: number) => string;
}

export interface Stretch {
  start: number;
  end: number;
}

export interface Options extends AxisOptions, Masking {}

/** Targets x segments of a result. */
export function scoresHeat(loaded: Loaded, result: number, options: Options): Heat {
  const { scores, told } = loaded.result(result);
  const axes = { rows: targetAxis(loaded), columns: segmentAxis(loaded) };
  const heat = heatOfEvidence(loaded, result, options, scores, axes, told.scores.elsewhere);
  const unmeasured = told.scores.unmeasured.length;
  return unmeasured === 0 ? heat : { ...heat, notes: [...heat.notes, `Not measured, and drawn as 0: ${unmeasured}.`] };
}

/** Tokens, or words, of the output x those of the sources; null where none were kept. */
export function detailHeat(loaded: Loaded, result: number, options: Options): Heat | null {
  const { detail, told } = loaded.result(result);
  const axes = detailAxes(loaded, result, options);
  if (detail === null || told.detail === null || axes === null) return null;
  const outside = told.detail.elsewhere;
  const elsewhere = axes.rows.map(({ members }) => mean(members.flatMap((member) => outside[member] ?? [])));
  return heatOfEvidence(loaded, result, options, regroup(detail, axes.rows, axes.columns), axes, elsewhere);
}

function heatOfEvidence(
  loaded: Loaded,
  result: number,
  options: Options,
  values: Matrix,
  axes: Axes,
  elsewhere: readonly Elsewhere[] | null,
): Heat {
  const { scores } = loaded.result(result).told;
  const heat = heatOf(axes, values, options, words.units[scores.unit], elsewhere !== null, (line, at) => {
    const evidence = { row: line, elsewhere: elsewhere?.[at] ?? null, stderr: null, alone: new Map(), unmeasured: 0 };
    const { shares, masked } = loaded.maskedShares(result, evidence, options);
    if (options.renormalised) line.set(shares);
    return masked;
  });
  const signed = scores.signed && !options.renormalised;
  const lost = scores.signed && !signed ? ["Scores below zero or within noise count as 0."] : [];
  return { ...heat, signed, notes: [...heat.notes, ...lost] };
}

/** What attention of a block is shown on. */
export function attentionAxes(loaded: Loaded, { queries, keys }: Block, options: AxisOptions): Axes {
  return { rows: axisOf(queries, loaded, options), columns: axisOf(keys, loaded, options) };
}

/** Queries x keys of some attention of a block. */
export function attentionHeat(loaded: Loaded, block: Block, axes: Axes, weights: Matrix, options: Options): Heat {
  const { rows, columns } = axes;
  const hidden = columns.flatMap(({ masked }, at) => (masked ? [at] : []));
  const merged = rows.length < weights.rows || columns.length < weights.columns;
  const heat = heatOf(axes, merged ? regroup(weights, rows, columns) : weights, options, words.units.attention_mass, true, (line) => {
    let masked = 0;
    for (const at of hidden) {
      masked += line[at]!;
      line[at] = 0;
    }
    if (options.renormalised) {
      const rest = line.reduce((sum, value) => sum + value, 0);
      for (let at = 0; at < line.length; at++) line[at] = rest > 1e-9 ? line[at]! / rest : 0;
    }
    return masked;
  });
  const tokens = new Map((loaded.explanation.output.tokens ?? []).map((token, at) => [block.explaining[at], token]));
  const about = rows.map(({ members }) => {
    const own = members.flatMap((member) => tokens.get(member) ?? []).filter(({ start, end }) => end > start);
    return own.length === 0 ? null : { start: own[0]!.start, end: own.at(-1)!.end };
  });
  const { floor, relative_error, absolute_error } = block.precision;
  const remark = (value: number, row: number, column: number) => {
    const last = Math.max(...rows[row]!.members.map((member) => block.positions[member] ?? 0));
    if (block.name === "decoder" && columns[column]!.members[0]! > last) return "nothing: this token is read later";
    return `within ${value < floor ? exact(absolute_error) : `${exact(100 * relative_error)}${NBSP}%`} of the model's`;
  };
  return { ...heat, about, remark, notes: [...heat.notes, ...(block.left_out ? [visible(block.left_out)] : [])] };
}

/** `show` masks and divides one row, and tells how much of it is masked. */
function heatOf(
  { rows, columns }: Axes,
  values: Matrix,
  { maskSink, maskSpecial, renormalised }: Options,
  unit: string,
  masks: boolean,
  show: (line: Float32Array, row: number) => number,
): Heat {
  const shown = { ...values, values: values.values.slice() };
  let masked = 0;
  for (let row = 0; row < values.rows; row++) {
    masked += show(shown.values.subarray(row * values.columns, (row + 1) * values.columns), row) / values.rows;
  }
  const parts = [...(maskSink ? [words.parts.sink] : []), ...(maskSpecial ? [words.parts.special] : [])];
  const said = masks && parts.length > 0;
  return {
    rows,
    columns,
    values,
    shown,
    unit: renormalised ? `${unit}, renormalised` : unit,
    signed: false,
    about: rows,
    notes: said ? [`Masked: ${percent(masked)} of a row on average, on ${parts.join("; and on ")}.`] : [],
    remark: () => "",
  };
}

function mean(all: readonly Elsewhere[]): Elsewhere {
  const sums: Record<string, number> = { sink: 0, special: 0, total: 0 };
  for (const own of all) for (const [part, value] of Object.entries(own)) sums[part] = (sums[part] ?? 0) + value / all.length;
  return sums as Elsewhere;
}

/** A value with all digits that a float32 has. */
export function exact(value: number): string {
  return String(shortest(value)).replace("-", "\u2212");
}

/** What is at a cell: its row, its column, its exact value, and how that is to be read. */
export function told(heat: Heat, row: number, column: number): [string, string, string, string] {
  const { label, masked } = heat.columns[column]!;
  const value = (masked ? heat.values : heat.shown).values[row * heat.columns.length + column]!;
  const rest = [masked ? "masked" : "", heat.remark(value, row, column)].filter(Boolean).join("; ");
  return [short(heat.rows[row]!.label), short(label), exact(value), `${heat.unit}${rest && ` (${rest})`}`];
}

/** A label where there is little room. */
export function short(label: string): string {
  const signs = [...label.slice(0, 120)];
  return signs.length > 60 ? `${signs.slice(0, 60).join("")}…` : label;
}
