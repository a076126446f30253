"""Sentences about numbers, the same in the page, the text and the terminal. They judge nothing."""

from __future__ import annotations

from datetime import datetime

from whence.explain.render.ranking import Balance, Ranked
from whence.explain.render.scale import NBSP, percent, quantity
from whence.explain.render.visible import visible
from whence.explain.render.wording import (
    ELSEWHERE_ALL,
    ELSEWHERE_MEASURED,
    ELSEWHERE_UNMEASURED,
    PARTS,
    UNITS,
)
from whence.explain.result import Measure, Result, Scores


def keys(results: int) -> list[str]:
    """A letter for each method, to tell their numbers apart; none where there is only one."""
    if results == 1:
        return [""]
    return [f"{chr(ord('A') + index % 26)}{index // 26 or ''}" for index in range(results)]


def short_revision(revision: str) -> str:
    """A revision for a heading: twelve characters of a digest, after its algorithm's name."""
    algorithm, colon, digest = revision.rpartition(":")
    return visible(f"{algorithm}{colon}{digest[:12]}…" if len(digest) > 12 else revision)


def moment(time: datetime) -> str:
    """A moment to the minute, with its distance from UTC."""
    text = time.isoformat(" ", "minutes")
    return f"{text[:16]} UTC{text[16:] if time.utcoffset() else ''}"


def counted(number: int, noun: str) -> str:
    """`1 passage`, `2 passages`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def score(ranked: Ranked, scores: Scores) -> str:
    """A passage's score with its unit; empty where the share already says it (attention, claims)."""
    if not scores.signed:
        return ""
    spread = f"{NBSP}±{NBSP}{quantity(ranked.stderr)}" if ranked.stderr else ""
    alone = "" if ranked.alone is None else f"; removed alone: {quantity(ranked.alone)}"
    return f"{quantity(ranked.score)}{spread}{NBSP}{UNITS[scores.unit]}{alone}"


def elsewhere_percent(balance: Balance) -> str:
    """The share of elsewhere; a dash where the method does not measure it."""
    return "–" if balance.parts is None and balance.top else percent(balance.elsewhere)


def elsewhere(balance: Balance) -> str:
    """What elsewhere is made of, or why nobody can say."""
    if balance.parts is None:
        return ELSEWHERE_UNMEASURED if balance.top else _nothing(balance)
    parts = [f"{percent(share)} on {PARTS[name]}" for name, share in balance.parts.items()]
    return "; ".join([*([] if balance.top else [_nothing(balance)]), *parts])


def found(balance: Balance, scores: Scores) -> str:
    """How much was found at all, and what speaks against: shares alone would hide both."""
    if not scores.signed:
        return ""
    unit = UNITS[scores.unit]
    text = f"Sum above {'noise' if scores.noise_floor else 'zero'}: {quantity(balance.found)} {unit}."
    if balance.against:
        verb = "scores" if balance.against == 1 else "score"
        text += (
            f" {counted(balance.against, 'passage')} {verb} below zero, the lowest"
            f" {quantity(balance.lowest)} {unit}; the shares count this as 0."
        )
    if balance.within_noise:
        verb = "scores" if balance.within_noise == 1 else "score"
        text += (
            f" {counted(balance.within_noise, 'passage')} {verb} within the noise floor of"
            f" {quantity(scores.noise_floor or 0)} {unit}, which the shares count as 0."
        )
    if balance.unmeasured:
        text += f" {counted(balance.unmeasured, 'passage')} could not be measured."
    return text


def _nothing(balance: Balance) -> str:
    """Says that no passage received anything, of those of which it is known."""
    return ELSEWHERE_MEASURED if balance.unmeasured else ELSEWHERE_ALL


def measures(result: Result) -> dict[str, Measure]:
    """The checks of the highlights, by the name that a reader sees."""
    return {"Fidelity": result.fidelity, "Groundedness": result.groundedness}


def measured(measure: Measure, target: int) -> str:
    """One target's values of a check; empty where it has none (`not_measured` has the reason)."""
    if measure.values is None:
        return ""
    unit = f" {visible(measure.unit)}" if measure.unit else ""
    return "; ".join(
        f"{quantity(value)}{unit} (k = {k})"
        for k, value in zip(measure.k, measure.values[target], strict=True)
    )


def not_measured(measure: Measure) -> str:
    """The reason why a check has no values; empty where it has."""
    return "" if measure.reason is None else f"not measured: {visible(measure.reason)}"
