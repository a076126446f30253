// An explanation that is ready to be looked at: matrices unpacked, texts ready to be drawn.

import { Attention } from "./attention.js";
import { unpackFloats } from "./packing.js";
import type { Block, Explanation, Packed, Result, Retrieval } from "./schema.js";
import { type Evidence, maskedShares, type MaskedShares, type Masking } from "./shares.js";
import { segmentsOf } from "./stretch.js";
import { DrawnText, type Span, visible } from "./text.js";
import { wordsOf } from "./words.js";

/** A matrix of float32, row by row. */
export interface Matrix {
  rows: number;
  columns: number;
  values: Float32Array;
}

/** Where the values of a head come from: a block of the page, a trait of the widget, or the service. */
export type FetchHead = (block: string, layer: number, head: number) => Promise<string | null>;

/** What a host gives to the viewer. */
export interface Given {
  explanation: Explanation;
  retrieval?: Retrieval | null;
  fetchHead?: FetchHead;
}

export interface LoadedResult {
  readonly told: Result;
  /** targets x segments, in the unit of the method. */
  readonly scores: Matrix;
  readonly stderr: Matrix | null;
  /** Output tokens x source tokens; null where it was not kept. */
  readonly detail: Matrix | null;
  /** By target and segment: what removing the segment alone did. */
  readonly alone: ReadonlyMap<number, ReadonlyMap<number, number>>;
  /** By target: of how many segments the score is not known. */
  readonly unmeasured: ReadonlyMap<number, number>;
  /** A letter that tells its numbers from those of other methods; empty where there is one. */
  readonly key: string;
}

export class Loaded {
  readonly output: DrawnText;
  readonly texts: readonly DrawnText[];
  /** How each source is called. */
  readonly names: readonly string[];
  readonly sourceIndex: ReadonlyMap<string, number>;
  private readonly wordsKnown = new Map<string | null, readonly Span[]>();
  private readonly detailSegments = new Map<number, Int32Array>();
  private readonly attentions = new Map<Block, Attention>();

  constructor(
    readonly explanation: Explanation,
    readonly results: readonly LoadedResult[],
    readonly retrieval: Retrieval | null,
    private readonly fetchHead: FetchHead,
  ) {
    this.output = new DrawnText(explanation.output.text);
    this.texts = explanation.sources.map((source) => new DrawnText(source.text ?? ""));
    this.names = explanation.sources.map((source, at) => visible(source.name).trim() || `source ${at + 1}`);
    this.sourceIndex = new Map(explanation.sources.map((source, at) => [source.id, at]));
  }

  get targets() {
    return this.explanation.output.targets;
  }

  get segments() {
    return this.explanation.segments;
  }

  result(index: number): LoadedResult {
    return this.results[index]!;
  }

  /** What one target received by one result. */
  evidence(result: number, target: number): Evidence {
    const { scores, stderr, told, alone, unmeasured } = this.result(result);
    return {
      row: rowOf(scores, target),
      elsewhere: told.scores.elsewhere?.[target] ?? null,
      stderr: stderr === null ? null : rowOf(stderr, target),
      alone: alone.get(target) ?? new Map(),
      unmeasured: unmeasured.get(target) ?? 0,
    };
  }

  /** Shares of a target or a stretch, where parts of elsewhere may be left out of the picture. */
  maskedShares(result: number, what: number | Evidence, masking: Masking): MaskedShares {
    const evidence = typeof what === "number" ? this.evidence(result, what) : what;
    return maskedShares(evidence, this.result(result).told.scores, masking);
  }

  /** For each column of a result's token level its segment; -1 for blanks. */
  segmentsOfDetail(result: number): Int32Array {
    return once(this.detailSegments, result, () => segmentsOf(this, this.result(result).told.detail?.tokens ?? []));
  }

  /** The heads of a block: one for all views, so that none is fetched and decoded twice. */
  attention(block: Block): Attention {
    return once(this.attentions, block, () => new Attention(block, this.fetchHead));
  }

  /** The text of a source, by its id; of the output for null. */
  textOf(source: string | null): DrawnText {
    return source === null ? this.output : this.texts[this.sourceIndex.get(source)!]!;
  }

  /** The words of that text, in code points. */
  words(source: string | null): readonly Span[] {
    return once(this.wordsKnown, source, () => wordsOf(this.textOf(source).text));
  }

  /** The words of a target, as drawn. */
  targetText(index: number): string {
    const { start, end } = this.targets[index]!;
    return this.output.slice(start, end);
  }

  /** The words of a segment, as drawn; a region of an image in words. */
  segmentText(index: number): string {
    const { source, start, end, box } = this.segments[index]!;
    if (box !== null) return `the region from (${box[0]}, ${box[1]}) to (${box[2]}, ${box[3]}), in pixels`;
    return this.textOf(source).slice(start ?? 0, end ?? 0);
  }
}

function rowOf({ values, columns }: Matrix, row: number): Float32Array {
  return values.subarray(row * columns, (row + 1) * columns);
}

/** Unpack an explanation. Throws where it is damaged, or of another version. */
export async function load(given: Given): Promise<Loaded> {
  const { explanation } = given;
  if (explanation.schema_version !== "1.0") {
    throw new Error(`this explanation is of schema version ${explanation.schema_version}; this viewer reads 1.0`);
  }
  const rows = explanation.output.targets.length;
  const columns = explanation.segments.length;
  const several = explanation.results.length > 1;
  const results = await Promise.all(
    explanation.results.map(async (told, at) => ({
      told,
      scores: await matrix(told.scores.values, rows, columns),
      stderr: told.scores.stderr === null ? null : await matrix(told.scores.stderr, rows, columns),
      detail: told.detail === null ? null : await matrix(told.detail, ...told.detail.shape),
      alone: aloneOf(told),
      unmeasured: unmeasuredOf(told),
      key: several ? `${String.fromCharCode(65 + (at % 26))}${Math.floor(at / 26) || ""}` : "",
    })),
  );
  const own = new Map<string, string | null>();
  for (const block of explanation.attention ?? []) {
    for (const head of block.data) own.set(`${block.name} ${head.layer} ${head.head}`, head.values);
  }
  const fetchHead: FetchHead = async (block, layer, head) => {
    return own.get(`${block} ${layer} ${head}`) ?? (await given.fetchHead?.(block, layer, head)) ?? null;
  };
  return new Loaded(explanation, results, given.retrieval ?? null, fetchHead);
}

/** What a map holds for a key, made where it is asked for first. */
function once<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key) ?? make();
  map.set(key, known);
  return known;
}

function aloneOf({ confirmations }: Result): Map<number, Map<number, number>> {
  const alone = new Map<number, Map<number, number>>();
  for (const { target, segment, effect } of confirmations) {
    once(alone, target, () => new Map<number, number>()).set(segment, effect);
  }
  return alone;
}

function unmeasuredOf({ scores }: Result): Map<number, number> {
  const counts = new Map<number, number>();
  for (const [target] of scores.unmeasured) counts.set(target, (counts.get(target) ?? 0) + 1);
  return counts;
}

async function matrix(told: number[][] | Packed, rows: number, columns: number): Promise<Matrix> {
  if (Array.isArray(told)) {
    const values = new Float32Array(rows * columns);
    told.forEach((row, at) => values.set(row, at * columns));
    return { rows, columns, values };
  }
  return { rows, columns, values: await unpackFloats(told.values, rows, columns) };
}
