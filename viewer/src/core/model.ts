// An explanation that is ready to be looked at: matrices unpacked, texts ready to be drawn.

import { type Attention, attentionOf } from "./attention.js";
import { unpack } from "./packing.js";
import { remembered } from "./remembered.js";
import type { Block, Explanation, Packed, Result, Retrieval } from "./schema.js";
import { type Evidence, maskedShares, type MaskedShares, type Masking, type Received } from "./shares.js";
import { segmentsOf } from "./stretch.js";
import { type DrawnText, drawnText, type Span, visible } from "./text.js";
import { learn, type Words } from "./wording.js";
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
  /** Known already where they are left out. */
  words?: Words;
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
  /** A letter that tells its numbers from those of other methods; empty where there is one. */
  readonly key: string;
}

export interface Loaded {
  readonly explanation: Explanation;
  readonly retrieval: Retrieval | null;
  readonly results: readonly LoadedResult[];
  readonly targets: Explanation["output"]["targets"];
  readonly segments: Explanation["segments"];
  readonly output: DrawnText;
  readonly texts: readonly DrawnText[];
  /** How each source is called. */
  readonly names: readonly string[];
  readonly sourceIndex: ReadonlyMap<string, number>;
  result(index: number): LoadedResult;
  /** What one target received by one result. */
  evidence(result: number, target: number): Evidence;
  /** Shares of a target or a stretch, where parts of elsewhere may be left out of the picture. */
  maskedShares(result: number, what: number | Received, masking: Masking): MaskedShares;
  /** For each column of a result's token level its segment; -1 for blanks. */
  segmentsOfDetail(result: number): Int32Array;
  /** The heads of a block: one for all views, so that none is fetched and decoded twice. */
  attention(block: Block): Attention;
  /** The text of a source, by its id; of the output for null. */
  textOf(source: string | null): DrawnText;
  /** The words of that text, in code points. */
  words(source: string | null): readonly Span[];
  /** The words of a target, as drawn. */
  targetText(index: number): string;
  /** The words of a segment, as drawn; a region of an image in words. */
  segmentText(index: number): string;
}

/** Unpack an explanation. Throws where it is damaged, or of another version. */
export async function load({ explanation, words, retrieval = null, fetchHead }: Given): Promise<Loaded> {
  if (words) learn(words);
  if (explanation.schema_version !== "1.0") {
    throw new Error(`this explanation is of schema version ${explanation.schema_version}; this viewer reads 1.0`);
  }
  const { sources, segments, output: { text, targets } } = explanation;
  const [rows, columns] = [targets.length, segments.length];
  const results = await Promise.all(
    explanation.results.map(async (told, at, { length }) => ({
      told,
      scores: await matrix(told.scores.values, rows, columns),
      stderr: told.scores.stderr && (await matrix(told.scores.stderr, rows, columns)),
      detail: told.detail && (await matrix(told.detail, ...told.detail.shape)),
      key: length > 1 ? `${String.fromCharCode(65 + (at % 26))}${Math.floor(at / 26) || ""}` : "",
    })),
  );
  const result = (index: number) => results[index]!;
  const output = drawnText(text);
  const texts = sources.map((source) => drawnText(source.text ?? ""));
  const sourceIndex = new Map(sources.map(({ id }, at) => [id, at]));
  const textOf = (source: string | null) => (source === null ? output : texts[sourceIndex.get(source)!]!);
  const loaded: Loaded = {
    explanation,
    retrieval,
    results,
    targets,
    segments,
    output,
    texts,
    names: sources.map((source, at) => visible(source.name).trim() || `source ${at + 1}`),
    sourceIndex,
    result,
    evidence(index, target) {
      const { scores, stderr, told } = result(index);
      return {
        row: rowOf(scores, target),
        elsewhere: told.scores.elsewhere?.[target] ?? null,
        stderr: stderr && rowOf(stderr, target),
        alone: (segment) => told.confirmations.find((own) => own.target === target && own.segment === segment)?.effect,
        get unmeasured() {
          return told.scores.unmeasured.filter(([own]) => own === target).length;
        },
      };
    },
    maskedShares(index, what, masking) {
      const evidence = typeof what === "number" ? loaded.evidence(index, what) : what;
      return maskedShares(evidence, result(index).told.scores, masking);
    },
    segmentsOfDetail: remembered((index) => segmentsOf(loaded, result(index).told.detail?.tokens ?? [])),
    attention: remembered((block) => attentionOf(block, fetchHead)),
    textOf,
    words: remembered((source) => wordsOf(textOf(source).text)),
    targetText(index) {
      const { start, end } = targets[index]!;
      return output.slice(start, end);
    },
    segmentText(index) {
      const { source, start, end, box } = segments[index]!;
      if (box !== null) return `the region from (${box[0]}, ${box[1]}) to (${box[2]}, ${box[3]}), in pixels`;
      return textOf(source).slice(start ?? 0, end ?? 0);
    },
  };
  return loaded;
}

function rowOf({ values, columns }: Matrix, row: number): Float32Array {
  return values.subarray(row * columns, (row + 1) * columns);
}

async function matrix(told: number[][] | Packed, rows: number, columns: number): Promise<Matrix> {
  const values = Array.isArray(told)
    ? new Float32Array(told.flat())
    : new Float32Array((await unpack(told.values, 4 * rows * columns)).buffer);
  return { rows, columns, values };
}
