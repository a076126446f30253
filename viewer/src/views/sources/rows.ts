// The documents, with what the answer made of them and what the retriever had said of them.

import type { Loaded } from "../../core/model.js";
import type { Retrieval, Segment } from "../../core/schema.js";
import { visible } from "../../core/text.js";

export interface Row {
  readonly name: string;
  /** Its place in the order of retrieval, from 1; null where it was not retrieved, or nobody says. */
  readonly rank: number | null;
  /** As the retriever told it. */
  readonly score: number | null;
  /** What became of it; empty where nobody can say. */
  readonly fate: string;
  /** Its part of the evidence; null where it has no passage in the prompt. */
  readonly share: number | null;
  /** Its strongest passage; null where it has none. */
  readonly best: number | null;
}

/** Where retrievers write their score (see whence.api.langchain.said). */
const SCORES = ["relevance_score", "score", "_score", "similarity", "similarity_score"];

/** What of no other fate begins so: retrieved for nothing, as far as can be told. */
export const IDLE = "retrieved";
export const UNUSED = "retrieved but unused";
export const LEFT = "retrieved, not in the prompt";

/** Every document and other source, the one with most evidence first. */
export function rowsOf({ segments, retrieval, explanation, names }: Loaded, shares: Float64Array): Row[] {
  const chunks = retrieval?.chunks ?? [];
  /** The segments that are in no document. */
  const left = new Set(segments.keys());
  /** `is`: which segments it is about; `known`: whether it is in the prompt. */
  const rowOf = (is: (segment: Segment) => boolean, known: boolean, about: Omit<Row, "share" | "best">): Row => {
    const own = segments.flatMap((segment, at) => (is(segment) ? [at] : []));
    for (const at of own) left.delete(at);
    own.sort((one, other) => shares[other]! - shares[one]!);
    return { ...about, share: known ? own.reduce((sum, at) => sum + shares[at]!, 0) : null, best: own[0] ?? null };
  };
  const rows = chunks.map((chunk) => {
    const { name, rank, retrieval_score: score, passages } = chunk;
    const is = ({ source, start }: Segment) =>
      passages.some((passage) => passage.source === source && start !== null && start >= passage.start && start < passage.end);
    return rowOf(is, passages.length > 0, { name: visible(name).trim() || `document ${rank}`, rank, score, fate: fateOf(chunk) });
  });
  explanation.sources.forEach(({ id, metadata }, at) => {
    const is = (segment: Segment) => segment.source === id;
    // What holds a retrieved document is told of by that.
    if (segments.some((segment, at) => is(segment) && !left.has(at))) return;
    const fate = chunks.length > 0 ? "not retrieved" : "";
    rows.push(rowOf(is, true, { name: names[at]!, rank: null, score: scoreOf(metadata), fate }));
  });
  return rows.sort((one, other) => (other.share ?? -1) - (one.share ?? -1));
}

function fateOf({ in_prompt, used, claimed }: Retrieval["chunks"][number]): string {
  const fate =
    in_prompt === null ? "not found in the prompt, of which some was not read"
    : !in_prompt ? LEFT
    : used === null ? "in the prompt; not known whether it is used"
    : used ? "used" : UNUSED;
  return fate + (claimed === true ? "; the answer says itself that it used it" : "");
}

function scoreOf(metadata: Readonly<Record<string, string>>): number | null {
  return SCORES.map((key) => Number(metadata[key]?.trim() || NaN)).find(Number.isFinite) ?? null;
}
