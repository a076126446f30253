// What a heatmap shows: a matrix with named rows and columns, and what must be said beside it.

import type { HeadWeights } from "../../core/attention.js";
import { type AxisItem, type AxisOptions, axisOf, detailAxes, maskedMass, regroup, segmentAxis, targetAxis } from "../../core/axis.js";
import type { Loaded, Matrix } from "../../core/model.js";
import { NBSP, percent } from "../../core/scale.js";
import type { AttentionToken, Block, Elsewhere, ElsewherePart } from "../../core/schema.js";
import type { Masking } from "../../core/shares.js";
import { visible } from "../../core/text.js";
import words from "../../generated/words.json";
import { shortest } from "../../ui/export/digits.js";

export interface Heat {
  rows: readonly AxisItem[];
  columns: readonly AxisItem[];
  /** As they were measured, masked columns too. */
  values: Matrix;
  /** As they are shown: nothing where a column is masked, and divided where it is renormalised. */
  shown: Matrix;
  unit: string;
  /** The unit of what is shown. */
  shownUnit: string;
  /** How exact the values are; null where they are as the method gave them. */
  precision: Block["precision"] | null;
  /** Whether nothing can stand here, because a token attends to no later one. */
  impossible: (row: number, column: number) => boolean;
  notes: readonly string[];
}

export interface Options extends AxisOptions, Masking {}

const RENORMALISED = "part of what is not masked";

/** Targets x segments of a result. */
export function scoresHeat(loaded: Loaded, result: number, options: Options): Heat {
  const { scores, told } = loaded.result(result);
  return heatOfEvidence(loaded, result, options, scores, targetAxis(loaded), segmentAxis(loaded), told.scores.elsewhere);
}

/** Tokens, or words, of the output x those of the sources; null where none were kept. */
export function detailHeat(loaded: Loaded, result: number, options: Options): Heat | null {
  const { detail, told } = loaded.result(result);
  const axes = detailAxes(loaded, result, options);
  if (detail === null || told.detail === null || axes === null) return null;
  const { rows, columns } = axes;
  const outside = told.detail.elsewhere;
  const elsewhere = rows.map(({ members }) => mean(members.flatMap((member) => outside[member] ?? [])));
  return heatOfEvidence(loaded, result, options, regroup(detail, rows, columns), rows, columns, elsewhere);
}

function heatOfEvidence(
  loaded: Loaded,
  result: number,
  options: Options,
  values: Matrix,
  rows: AxisItem[],
  columns: AxisItem[],
  elsewhere: readonly Elsewhere[] | null,
): Heat {
  const { scores } = loaded.result(result).told;
  const unit = words.units[scores.unit];
  const shown: Matrix = { ...values, values: options.renormalised ? values.values.slice() : values.values };
  let masked = 0;
  rows.forEach((_, at) => {
    const row = values.values.subarray(at * values.columns, (at + 1) * values.columns);
    const evidence = { row, elsewhere: elsewhere?.[at] ?? null, stderr: null, alone: new Map(), unmeasured: 0 };
    const own = loaded.maskedShares(result, evidence, options);
    masked += own.masked / rows.length;
    if (options.renormalised) shown.values.set(own.shares, at * values.columns);
  });
  const notes = elsewhere === null ? [] : [maskedNote(masked, options, "outside the sources, on")];
  if (options.renormalised && scores.signed) notes.push("Renormalised: scores below zero or within noise count as 0.");
  const unmeasured = scores.unmeasured.length;
  if (unmeasured > 0 && values === loaded.result(result).scores) {
    notes.push(`${unmeasured} of these scores could not be measured, and are drawn as 0.`);
  }
  return {
    rows,
    columns,
    values,
    shown,
    unit,
    shownUnit: options.renormalised ? RENORMALISED : unit,
    precision: null,
    impossible: () => false,
    notes: notes.filter((note) => note !== ""),
  };
}

export interface Axes {
  rows: AxisItem[];
  columns: AxisItem[];
}

export function attentionAxes(loaded: Loaded, { queries, keys }: Block, options: AxisOptions): Axes {
  return { rows: axisOf(queries, loaded, options), columns: axisOf(keys, loaded, options) };
}

/** Queries x keys of some attention of a block. */
export function attentionHeat(block: Block, { rows, columns }: Axes, weights: Matrix, options: Options): Heat {
  const merged = rows.length < block.queries.length || columns.length < block.keys.length;
  const values = merged ? regroup(weights, rows, columns) : weights;
  const masses = maskedMass(values, columns);
  const shown: Matrix = { ...values, values: values.values.slice() };
  let masked = 0;
  for (let row = 0; row < values.rows; row++) {
    const line = shown.values.subarray(row * values.columns, (row + 1) * values.columns);
    const mass = masses[row] ?? 0;
    masked += mass / values.rows;
    if (options.renormalised) divide(line, line.reduce((sum, value) => sum + value, 0) - mass);
  }
  columns.forEach((column, at) => {
    if (column.masked) for (let row = 0; row < values.rows; row++) shown.values[row * values.columns + at] = 0;
  });
  // The first key that the last token of a row does not see.
  const seen = rows.map(({ members }) => 1 + Math.max(...members.map((member) => block.positions[member] ?? 0)));
  const first = columns.map(({ members }) => members[0] ?? 0);
  const causal = block.name === "decoder";
  return {
    rows,
    columns,
    values,
    shown,
    unit: words.units.attention_mass,
    shownUnit: options.renormalised ? RENORMALISED : words.units.attention_mass,
    precision: block.precision,
    impossible: (row, column) => causal && (first[column] ?? 0) >= (seen[row] ?? 0),
    notes: [maskedNote(masked, options, "on"), block.left_out ?? ""].filter((note) => note !== ""),
  };
}

function divide(line: Float32Array, sum: number): void {
  for (let at = 0; at < line.length; at++) line[at] = sum > 1e-9 ? (line[at] ?? 0) / sum : 0;
}

function maskedNote(masked: number, { maskSink, maskSpecial }: AxisOptions, where: string): string {
  const parts = [...(maskSink ? [words.parts.sink] : []), ...(maskSpecial ? [words.parts.special] : [])];
  return parts.length === 0 ? "" : `Masked: ${percent(masked)} of a row on average, ${where} ${parts.join("; and on ")}.`;
}

function mean(all: readonly Elsewhere[]): Elsewhere {
  const names = Object.keys(all[0] ?? { total: 0 }) as (ElsewherePart | "total")[];
  const sum = (name: ElsewherePart | "total") => all.reduce((before, own) => before + own[name], 0);
  return Object.fromEntries(names.map((name) => [name, sum(name) / Math.max(all.length, 1)])) as Elsewhere;
}

/** The thumbnail of a head whose values were left out: the greatest weight of some rows and columns. */
export function thumbnailHeat(block: Block, thumbnail: Matrix): Heat {
  const axis = (tokens: readonly AttentionToken[], cells: number): AxisItem[] =>
    Array.from({ length: cells }, (_, at) => {
      const from = Math.ceil((at * tokens.length) / cells);
      const to = Math.ceil(((at + 1) * tokens.length) / cells);
      const members = Array.from({ length: to - from }, (_, by) => from + by);
      const label = members.map((member) => visible(tokens[member]?.text ?? "")).join("");
      return { label, members, part: "", source: null, start: 0, end: 0, masked: false };
    });
  return {
    rows: axis(block.queries, thumbnail.rows),
    columns: axis(block.keys, thumbnail.columns),
    values: thumbnail,
    shown: thumbnail,
    unit: words.units.attention_mass,
    shownUnit: `${words.units.attention_mass}, the greatest of each cell`,
    precision: block.precision,
    impossible: () => false,
    notes: ["Only a small picture of this head was kept: each cell is the greatest weight of several tokens.", block.left_out ?? ""],
  };
}

/** One head as numbers. */
export function decoded({ queries, keys, codes, levels }: HeadWeights): Matrix {
  const values = new Float32Array(codes.length);
  for (let at = 0; at < values.length; at++) values[at] = levels[codes[at] ?? 0] ?? 0;
  return { rows: queries, columns: keys, values };
}

/** A value with all digits that a float32 has. */
export function exact(value: number): string {
  return String(shortest(value)).replace("-", "\u2212");
}

/** How far the value may be from the model's. */
export function precisely(value: number, precision: Block["precision"] | null): string {
  if (precision === null) return "";
  const { floor, relative_error, absolute_error } = precision;
  if (value < floor) return ` (${value === 0 ? "stored as 0: " : ""}within ${exact(absolute_error)} of the model's)`;
  return ` (within ${exact(100 * relative_error)}${NBSP}% of the model's)`;
}
