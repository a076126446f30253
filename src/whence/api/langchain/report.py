"""What became of the documents that were retrieved for an answer, out of its explanation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from whence.api.langchain.report_evidence import Evidence
from whence.api.langchain.report_overlaps import overlapping
from whence.api.langchain.report_removals import ONE_BY_ONE, Removals
from whence.api.langchain.report_rules import absence_rule, doubt, removal_rule, rules
from whence.api.langchain.report_schema import RetrievalReport, RetrievedChunk, Sentence
from whence.api.langchain.retelling import encodable
from whence.explain.schema import Explanation

if TYPE_CHECKING:
    from whence.api.langchain.retelling import Chunk

__all__ = ["RetrievalReport", "report_of"]

_OVERLAP = "Chunks {pairs} share text: what they share counts for the one that stands there first."
_PAIRS = 10
_PLACES = (
    "{what} in several places of the prompt, of which one at a time was taken away, while the others still "
    "said it: the effect of removing such a chunk is not known."
)
_SHARED = (
    "{what} in a document of the prompt with other text: it was taken away only as a whole, and a passage "
    "that reaches beyond a chunk counts for none."
)
_DOCUMENTS_ONLY = (
    "Only documents and what tools returned were looked at: a sentence without support may rest on the rest "
    "of the prompt, such as a question or an instruction."
)
_UNREAD = "Of the prompt some was not read ({kinds}): a chunk that was not found may stand there."
_CLAIMS = (
    "What the answer itself says it used is shown beside what was measured, and counts for nothing there."
)
_MORE = "The explanation has more results than this report shows: {names}."


def report_of(
    explanation: Explanation,
    chunks: Sequence[Chunk],
    removals: Explanation | None = None,
    *,
    reason: str = "",
) -> RetrievalReport:
    """Which chunks each sentence rests on, by the explanation's first measured result.

    The rules are those of `report_rules`. `chunks`: in the order of retrieval, with indices into the
    explanation's sources. `removals`: of the same prompt and answer, with sources as segments; or the
    `reason` why there are none. Claims that the answer made itself are a column of their own, unless they are
    all there is.
    """
    units = [result.scores.unit for result in explanation.results]
    measured = next((i for i, unit in enumerate(units) if unit != "claim"), 0)
    claimed = next((i for i, unit in enumerate(units) if unit == "claim" and i != measured), None)
    evidence = Evidence(explanation, chunks, measured)
    claims = None if claimed is None else Evidence(explanation, chunks, claimed)
    lost = Removals(removals, explanation, chunks, encodable(reason))
    sentences = tuple(
        _sentence(target, evidence, lost, claims) for target in range(len(explanation.output.targets))
    )
    overlaps = [
        (i, j)
        for i, j in overlapping([chunk.document.text for chunk in chunks])
        if chunks[i].sources or chunks[j].sources
    ]
    shown = [own.result for own in (evidence, claims, lost) if own is not None and own.result is not None]
    more = [result.method.name for result in explanation.results if result not in shown]
    said = [
        *rules(explanation, measured),
        *_of_chunks(chunks, lost, overlaps),
        *([] if lost.result is None else [removal_rule(lost.result)]),
        absence_rule(shown),
        *([_DOCUMENTS_ONLY] if any(source.kind == "document" for source in explanation.sources) else []),
        *([] if claims is None else [_CLAIMS]),
        *([_MORE.format(names=", ".join(more))] if more else []),
        *(caveat for result in shown for caveat in result.caveats),
    ]
    result, without = evidence.result, lost.result
    return RetrievalReport(
        provider=explanation.provider,
        model=explanation.model,
        method=result.method.name,
        evidence=result.method.evidence,
        unit=result.scores.unit,
        noise_floor=result.scores.noise_floor,
        removal_method=None if without is None else without.method.name,
        removal_unit=None if without is None else without.scores.unit,
        removal_noise_floor=None if without is None else without.scores.noise_floor,
        claims_method=None if claims is None else claims.result.method.name,
        kind=explanation.output.targets[0].kind,
        chunks=_chunks(chunks, evidence, lost, sentences, overlaps),
        sentences=sentences,
        caveats=tuple(dict.fromkeys(said)),
    )


def _sentence(target: int, evidence: Evidence, lost: Removals, claims: Evidence | None) -> Sentence:
    span = evidence.explanation.output.targets[target]
    supports, loses = evidence.supports(target), lost.loses(target)
    others = tuple(dict.fromkeys([*evidence.others(target), *lost.others(target)]))
    supported: bool | None = True
    reason = None
    if not (supports or loses or others):
        results = [evidence.result] if lost.result is None else [evidence.result, lost.result]
        reason = ONE_BY_ONE if lost.one_by_one(target) else doubt(results, target)
        supported = False if reason is None else None
    return Sentence(
        text=evidence.explanation.target_text(target),
        start=span.start,
        end=span.end,
        supports=supports,
        loses_without=loses,
        others=others,
        claims=None if claims is None else tuple(sorted(own.chunk for own in claims.supports(target))),
        supported=supported,
        reason=reason,
    )


def _chunks(
    chunks: Sequence[Chunk],
    evidence: Evidence,
    lost: Removals,
    sentences: Sequence[Sentence],
    overlaps: Sequence[tuple[int, int]],
) -> tuple[RetrievedChunk, ...]:
    """Each with what it was for."""
    used = {support.chunk for sentence in sentences for support in sentence.supports}
    used = used.union(*(sentence.loses_without for sentence in sentences))
    told = all(sentence.supported is not None for sentence in sentences)
    claims = [sentence.claims for sentence in sentences if sentence.claims is not None]
    claimed = {chunk for own in claims for chunk in own}
    partners: dict[int, list[int]] = defaultdict(list)
    for i, j in overlaps:
        partners[i].append(j)
        partners[j].append(i)
    made = []
    for index, chunk in enumerate(chunks):
        removal = lost.of(index)
        known = None not in (removal.effects or (None,)) or evidence.excludes(index)
        missing = not chunk.sources and not chunk.unread
        made.append(
            RetrievedChunk(
                name=encodable(chunk.document.name) or f"document {index + 1}",
                text=encodable(chunk.document.text),
                metadata={encodable(k): encodable(v) for k, v in chunk.document.metadata.items()},
                rank=index + 1,
                retrieval_score=_finite(chunk.document.score),
                in_prompt=True if chunk.sources else (False if missing else None),
                coverage=chunk.coverage,
                passages=evidence.passages(index),
                share=evidence.share(index),
                used=True if index in used else (False if missing or (told and known) else None),
                claimed=index in claimed if claims else None,
                overlaps=tuple(partners[index]),
                removal=removal,
            )
        )
    return tuple(made)


def _of_chunks(chunks: Sequence[Chunk], lost: Removals, overlaps: Sequence[tuple[int, int]]) -> Iterator[str]:
    """What these chunks ask for."""
    if overlaps:
        pairs = ", ".join(f"{a + 1} and {b + 1}" for a, b in overlaps[:_PAIRS])
        more = f" (and {len(overlaps) - _PAIRS} more pairs)" if len(overlaps) > _PAIRS else ""
        yield _OVERLAP.format(pairs=pairs + more)
    several = [index for index, chunk in enumerate(chunks) if chunk.places > 1]
    if several and lost.result is not None:
        yield _PLACES.format(what=_standing(several))
    shared = [index for index, chunk in enumerate(chunks) if chunk.within]
    if shared:
        yield _SHARED.format(what=_standing(shared))
    unread = dict.fromkeys(kind for chunk in chunks for kind in chunk.unread)
    if unread:
        yield _UNREAD.format(kinds=encodable(", ".join(unread)))


def _standing(indices: Sequence[int]) -> str:
    numbers = ", ".join(str(index + 1) for index in indices)
    return f"Chunk {numbers} stands" if len(indices) == 1 else f"Chunks {numbers} stand"


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
