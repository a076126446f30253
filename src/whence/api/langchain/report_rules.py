"""When a sentence rests on a passage: one rule for each kind of evidence.

What the rules find was measured with the bundled model on synthetic records whose truth is known, with the
true summary as the answer, credit by sentence, and each line of a record as a chunk. Each row says: of what
is named how much is right, of what is right how much is named; of the sentences that rest on something how
many come out without support, and of those that rest on nothing.

- attention, `layers=1`, which looks things up (160 records): 77 %, 71 %; 18 of 929, 30 of 31
- the same, with removals (40 records): 81 %, 89 %; 0 of 228, 12 of 12
- attention, the mean of all layers (160 records): 50 %, 1 %; 915 of 929, 31 of 31. So what does not stand out
  there is no proof of anything, and is said to be unknown.
- the same, with removals (40 records): 99.6 %, 75 %; 37 of 228, 12 of 12
- leave one out, by log-probability (40 records): 100 %, 75 %; 38 of 228, 12 of 12: what stands in two places
  it cannot see
- leave one out, by similarity (12 records): 100 %, 74 %; 12 of 68, 4 of 4
- lasso, by log-probability (40 records): 90 %, 100 %; 0 of 228, 12 of 12

With three lines a chunk, each figure is within five points of these (by similarity it was not measured).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from whence.explain.methods.ablation import LEADING
from whence.explain.result import Unit
from whence.explain.schema import Explanation

ODDS = 4.0
"""How much greater a passage's odds of attention must be than with attention spread evenly."""
LEAST: Mapping[Unit, float] = {"nats": 1.0, "similarity": 0.1}
"""What a sentence must lose at least without a passage. Below lies what the smallest change does."""
SHARED_CHARACTERS = 20
"""So many characters that two chunks have in common are no coincidence."""

_SPREAD_RULE = (
    "A sentence rests on a chunk here if one of its passages has at least {odds:g} times the odds of {what} "
    "that it would have if {what} were spread evenly over the characters of all sources, and a quarter of "
    "what the best passage has. A sentence without support is one for which nothing stands out so."
)
_LOSS_RULE = (
    "A sentence rests on a chunk here if it loses at least {least} without one of the chunk's passages, more "
    "than noise explains, and a quarter of what it loses without the best passage."
)
_LOSSES: Mapping[Unit, str] = {
    "nats": "1 nat (it becomes less than 37 % as probable)",
    "similarity": "a tenth of its similarity",
}
_REMOVAL_RULE = (
    "A sentence loses without a chunk here if taking all of it away costs it at least {least}, more than "
    "noise explains, and a quarter of what the removal that costs most does; then it is not without support. "
    "Effects of several removals do not add up: what two chunks state is not lost with either."
)
_CLAIM_RULE = "A sentence rests on a chunk here if the answer itself says so."
_ALL_LAYERS = (
    "Attention is averaged over all layers, most of which look nowhere in particular, so that hardly any "
    "passage stands out, and one that does not may still be used: choose the layers that look things up "
    "(layers=), or measure what is lost without each chunk (removals=True)."
)
_ALONE = "There is one passage only: with nothing to compare it to, attention cannot say what rests on it."


def standing_out(explanation: Explanation, result: int = 0) -> NDArray[np.bool_]:
    """Which passages each sentence rests on, by the rule for this evidence: targets x segments."""
    scores = explanation.results[result].scores
    values = np.clip(explanation.matrix(result).astype(np.float64), 0, None)
    best = values.max(axis=1, keepdims=True)
    leading: NDArray[np.bool_] = (values > 0) & (values >= LEADING * best)
    if scores.unit == "claim":
        return leading
    if scores.unit in LEAST:
        beyond: NDArray[np.bool_] = values >= max(LEAST[scores.unit], scores.noise_floor or 0.0)
        return leading & beyond
    totals = values.sum(axis=1, keepdims=True)
    parts = np.divide(values, totals, out=np.zeros_like(values), where=totals > 0)
    even = _lengths(explanation) / max(_lengths(explanation).sum(), 1)
    # odds(part) >= ODDS * odds(even), without a division by what may be 0
    odd: NDArray[np.bool_] = (parts * (1 - even) >= ODDS * even * (1 - parts)) & (even < 1)
    return leading & odd


def cannot_tell(explanation: Explanation, result: int = 0) -> NDArray[np.bool_]:
    """Sentences of which it is no proof that nothing stands out; one for each target."""
    scores = explanation.results[result].scores
    unknown = np.full(len(scores.values), _all_layers(explanation, result) or _alone(explanation, result))
    unknown[[target for target, _ in scores.unmeasured]] = True
    return unknown


def rules(explanation: Explanation, result: int) -> tuple[str, ...]:
    """What a reader must know of the rule."""
    unit = explanation.results[result].scores.unit
    if unit == "claim":
        return (_CLAIM_RULE,)
    if unit in LEAST:
        return (_LOSS_RULE.format(least=_LOSSES[unit]),)
    what = "attention" if unit == "attention_mass" else "relevance"
    return (
        _SPREAD_RULE.format(odds=ODDS, what=what),
        *([_ALL_LAYERS] if _all_layers(explanation, result) else []),
        *([_ALONE] if _alone(explanation, result) else []),
    )


def removal_rule(removals: Explanation) -> str:
    """What a reader must know of the effects of removals, which are nats or similarity."""
    return _REMOVAL_RULE.format(least=_LOSSES[removals.results[0].scores.unit])


def share_text(first: str, second: str) -> bool:
    """Whether one text holds the other, or begins with how the other ends; blanks are alike."""
    one, other = " ".join(first.split()), " ".join(second.split())
    if min(len(one), len(other)) < SHARED_CHARACTERS:
        return one == other
    return one in other or other in one or _ends_as_begins(one, other) or _ends_as_begins(other, one)


def _ends_as_begins(one: str, other: str) -> bool:
    probe = other[:SHARED_CHARACTERS]
    at = one.find(probe)
    while at >= 0:
        if other.startswith(one[at:]):
            return True
        at = one.find(probe, at + 1)
    return False


def _all_layers(explanation: Explanation, result: int) -> bool:
    found = explanation.results[result]
    return found.scores.unit == "attention_mass" and found.method.parameters.get("layers") == "all"


def _alone(explanation: Explanation, result: int) -> bool:
    """Whether there is nothing to compare a passage with."""
    return explanation.results[result].scores.elsewhere is not None and len(explanation.segments) == 1


def _lengths(explanation: Explanation) -> NDArray[np.float64]:
    """Characters of each segment; a region of an image has none."""
    return np.array([(part.end or 0) - (part.start or 0) for part in explanation.segments], dtype=np.float64)
