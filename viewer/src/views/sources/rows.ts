// The documents, with what the answer made of them and what the retriever had said of them.

import type { Loaded } from "../../core/model.js";
import type { Retrieval } from "../../core/schema.js";
import { visible } from "../../core/text.js";

export interface Row {
  readonly name: string;
  /** Its place in the order of retrieval, from 1; null where it was not retrieved, or nobody says. */
  readonly rank: number | null;
  /** As the retriever told it. */
  readonly score: number | null;
  /** What became of it; empty where nobody can say. */
  readonly fate: string;
  /** Whether it was retrieved for nothing, as far as can be told. */
  readonly idle: boolean;
  /** Its part of the evidence; null where it has no passage in the prompt. */
  readonly share: number | null;
  /** Its strongest passage; null where it has none. */
  readonly best: number | null;
}

/** Where retrievers write their score (see whence.api.langchain.said). */
const SCORES = ["relevance_score", "score", "_score", "similarity", "similarity_score"];

export const UNUSED = "retrieved but unused";
export const LEFT = "retrieved, not in the prompt";

/** Every document and other source, the one with most evidence first. */
export function rowsOf(loaded: Loaded, shares: Float64Array): Row[] {
  const { segments, retrieval, explanation, names } = loaded;
  const left = new Set(segments.keys());
  /** The evidence of these segments; not known of what is not in the prompt. */
  const of = (own: readonly number[], known: boolean): Pick<Row, "share" | "best"> => {
    const share = own.reduce((sum, segment) => sum + shares[segment]!, 0);
    const best = own.reduce<number | null>((best, at) => (best === null || shares[at]! > shares[best]! ? at : best), null);
    return { share: known ? share : null, best };
  };
  const chunks = (retrieval?.chunks ?? []).map((chunk): Row => {
    const own = [...segments.keys()].filter((at) => {
      const { source, start } = segments[at]!;
      return chunk.passages.some((passage) => start !== null && passage.source === source && start >= passage.start && start < passage.end);
    });
    for (const segment of own) left.delete(segment);
    return {
      name: visible(chunk.name).trim() || `document ${chunk.rank}`,
      rank: chunk.rank,
      score: chunk.retrieval_score,
      fate: fateOf(chunk),
      idle: chunk.in_prompt === false || chunk.used === false,
      ...of(own, chunk.passages.length > 0),
    };
  });
  const others = explanation.sources.flatMap(({ id, metadata }, at): Row[] => {
    const all = [...segments.keys()].filter((segment) => segments[segment]!.source === id);
    // What holds a retrieved document is told of by that.
    if (chunks.length > 0 && !all.every((segment) => left.has(segment))) return [];
    const fate = chunks.length > 0 ? "not retrieved" : "";
    return [{ name: names[at] ?? "", rank: null, score: scoreOf(metadata), fate, idle: false, ...of(all, true) }];
  });
  return [...chunks, ...others].sort((one, other) => (other.share ?? -1) - (one.share ?? -1));
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
  const told = SCORES.map((key) => metadata[key]?.trim()).find((text) => text && Number.isFinite(Number(text)));
  return told === undefined ? null : Number(told);
}
