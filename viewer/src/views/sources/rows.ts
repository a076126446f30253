// The documents, with what the answer made of them and what the retriever had said of them.

import type { Loaded } from "../../core/model.js";
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
  const left = new Set(loaded.segments.keys());
  const chunks = (loaded.retrieval?.chunks ?? []).map((chunk): Row => {
    const own = loaded.segments.flatMap(({ source, start }, at) => {
      return chunk.passages.some((passage) => within(passage, source, start)) ? [at] : [];
    });
    for (const segment of own) left.delete(segment);
    return {
      name: visible(chunk.name).trim() || `document ${chunk.rank}`,
      rank: chunk.rank,
      score: chunk.retrieval_score,
      fate: fateOf(chunk),
      idle: chunk.in_prompt === false || chunk.used === false,
      ...of(own, shares, chunk.passages.length > 0),
    };
  });
  const others = loaded.explanation.sources.flatMap(({ id, metadata }, at): Row[] => {
    const own = [...left].filter((segment) => loaded.segments[segment]?.source === id);
    const whole = chunks.length === 0 || loaded.segments.every((segment, at) => segment.source !== id || left.has(at));
    if (!whole) return [];
    return [
      {
        name: loaded.names[at] ?? "",
        rank: null,
        score: scoreOf(metadata),
        fate: chunks.length > 0 ? "not retrieved" : "",
        idle: false,
        ...of(own, shares, true),
      },
    ];
  });
  return [...chunks, ...others].sort((one, other) => (other.share ?? -1) - (one.share ?? -1));
}

function within(passage: { source: string; start: number; end: number }, source: string, start: number | null): boolean {
  return start !== null && passage.source === source && start >= passage.start && start < passage.end;
}

function of(segments: readonly number[], shares: Float64Array, known: boolean): Pick<Row, "share" | "best"> {
  let best: number | null = null;
  let share = 0;
  for (const segment of segments) {
    const own = shares[segment] ?? 0;
    share += own;
    if (best === null || own > (shares[best] ?? 0)) best = segment;
  }
  return { share: known ? share : null, best };
}

type Fate = { in_prompt: boolean | null; used: boolean | null; claimed: boolean | null };

function fateOf({ in_prompt, used, claimed }: Fate): string {
  const said = claimed === true ? "; the answer says itself that it used it" : "";
  if (in_prompt === null) return `not found in the prompt, of which some was not read${said}`;
  if (!in_prompt) return LEFT + said;
  if (used === null) return `in the prompt; not known whether it is used${said}`;
  return (used ? "used" : UNUSED) + said;
}

function scoreOf(metadata: Readonly<Record<string, string>>): number | null {
  for (const key of SCORES) {
    const told = metadata[key]?.trim();
    if (told && Number.isFinite(Number(told))) return Number(told);
  }
  return null;
}
