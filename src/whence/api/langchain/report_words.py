"""A retrieval report in words, the same in the text and in the page. They judge nothing.

All text of others that is returned here has been through `visible`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from whence.api.langchain.report_rules import LEAST
from whence.api.langchain.report_schema import RetrievalReport, RetrievedChunk
from whence.explain.render import describe, scale, wording
from whence.explain.render.visible import blanks_visible, visible
from whence.explain.result import Unit

TITLE = "What the answer made of the retrieved documents"
_MEASURED: Mapping[Unit, str] = {
    "attention_mass": "the attention",
    "relevance": "the relevance",
    "nats": "what is lost without single passages",
    "similarity": "what is lost without single passages",
    "claim": "the citations",
}
"""What a share is a part of."""
EXCERPT = 200
"""Characters of a text that are shown of it."""


class Found(NamedTuple):
    """Something that a sentence rests on, or why there is nothing: a share or a sign, and words.

    `chunk`: the chunk that is meant, and `passages` the parts of it that stand out.
    """

    sign: str
    words: str
    chunk: int | None = None
    passages: tuple[int, ...] = ()


def summary(report: RetrievalReport) -> tuple[str, str]:
    """What became of the chunks, and of the sentences."""
    sentences = describe.counted(len(report.sentences), noun(report))
    unknown = sum(sentence.supported is None for sentence in report.sentences)
    of_answer = f"{len(report.unsupported)} of {sentences} without support"
    of_answer += f", {unknown} of which that is not known." if unknown else "."
    if not report.chunks:
        return "No document was retrieved.", of_answer
    used = sum(chunk.used is True for chunk in report.chunks)
    untold = sum(chunk.used is None and chunk.in_prompt is True for chunk in report.chunks)
    parts = [f"{used} used", f"{len(report.unused)} in the prompt and not used"]
    parts += [f"{untold} of which that is not known"] if untold else []
    parts.append(f"{len(report.not_in_prompt)} not in the prompt")
    unseen = sum(chunk.in_prompt is None for chunk in report.chunks)
    parts += [f"{unseen} not found in what was read of it"] if unseen else []
    return f"{describe.counted(len(report.chunks), 'chunk')} retrieved: {', '.join(parts)}.", of_answer


def noun(report: RetrievalReport) -> str:
    """What the parts of the answer are called."""
    return wording.TARGETS[report.kind]


def name(chunk: RetrievedChunk) -> str:
    """A chunk by its rank and its name."""
    return f"chunk {chunk.rank}, {one_line(chunk.name)}"


def found(report: RetrievalReport, number: int) -> Iterator[Found]:
    """What a sentence rests on; claims of the answer itself last."""
    sentence = report.sentences[number]
    for support in sentence.supports:
        chunk = report.chunks[support.chunk]
        score = (
            "" if report.unit in ("claim", "attention_mass") else f": {amount(support.score, report.unit)}"
        )
        sign = "cited" if report.unit == "claim" else scale.percent(support.share)
        yield Found(sign, f"{name(chunk)}{score}", support.chunk, support.passages)
    for index in sentence.loses_without:
        chunk = report.chunks[index]
        effect = (chunk.removal.effects or ())[number : number + 1]
        yield Found("loses", f"{_loss(report, effect)}without {name(chunk)}", index)
    for other in sentence.others:
        yield Found("other", f"{one_line(other)}, which is not one of the chunks")
    if sentence.supported is False:
        yield Found("–", "without support: it rests on none of the sources")
    elif sentence.reason is not None:
        yield Found("?", f"not known: {visible(sentence.reason)}")
    for index in sentence.claims or ():
        yield Found("claims", name(report.chunks[index]), index)


def amount(score: float, unit: Unit) -> str:
    """A score with its unit."""
    return f"{scale.quantity(score)} {wording.UNITS[unit]}"


def state(chunk: RetrievedChunk) -> str:
    """What became of a chunk."""
    if chunk.in_prompt is None:
        return "not found in the prompt, of which some was not read"
    if not chunk.in_prompt:
        return "not in the prompt"
    if chunk.used is None:
        return "in the prompt; not known whether it is used (see the caveats)"
    return "used" if chunk.used else "in the prompt, not used"


def details(report: RetrievalReport, chunk: RetrievedChunk) -> Iterator[tuple[str, str]]:
    """What else is known of a chunk, by name; of a removal, the effects that a rule would count."""
    if chunk.claimed:
        yield "claimed", "the answer says itself that it used it"
    if chunk.share is not None:
        yield "share", f"{scale.percent(chunk.share)} of {_MEASURED[report.unit]}"
    if chunk.in_prompt and chunk.coverage < 1:
        yield "in part", f"{scale.percent(chunk.coverage)} of its words stand in the prompt"
    if chunk.retrieval_score is not None:
        yield "score", f"{scale.quantity(chunk.retrieval_score)}, as retrieved"
    if chunk.overlaps:
        yield "overlap", f"shares text with {', '.join(f'chunk {i + 1}' for i in chunk.overlaps)}"
    if chunk.in_prompt:
        yield "without it", _removal(report, chunk)


def one_line(text: str) -> str:
    """The beginning of a text, in one line."""
    shown = visible(text[:EXCERPT])
    return f"{' '.join(shown.split()) or blanks_visible(shown)}{' …' if len(text) > EXCERPT else ''}"


def _loss(report: RetrievalReport, effect: tuple[float | None, ...]) -> str:
    known = [amount(own, report.removal_unit) for own in effect if own is not None and report.removal_unit]
    return "".join(f"{own} " for own in known)


def _removal(report: RetrievalReport, chunk: RetrievedChunk) -> str:
    own = chunk.removal
    if own.effects is None or report.removal_unit is None:
        return f"not measured: {visible(own.reason or '')}"
    unit = report.removal_unit
    floor = max(LEAST[unit], report.removal_noise_floor or 0.0)
    total = visible(own.reason or "")
    if own.total is not None:
        total = f"the answer loses {amount(own.total, unit)} in all"
    each = [
        f"{noun(report)} {number}: {scale.quantity(effect)}"
        for number, effect in enumerate(own.effects, start=1)
        if effect is not None and abs(effect) >= floor
    ]
    return "; ".join([total, *each])
