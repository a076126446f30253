"""When a sentence rests on a passage, and when it rests on nothing: one rule for each kind of evidence.

What they find was measured with the bundled model on 40 synthetic records whose truth is known, with the true
summary as the answer, credit by sentence, and each line a chunk (`benchmarks/retrieval_report.py`). Each row
says: of what is named how much is right, of what is right how much is named; of 227 sentences that rest on
something how many are supported, not known, without support; and of 13 that rest on nothing.

- attention, layer 1, which looks things up: 75 %, 72 %; 226, 1, 0; 1, 12, 0
- the same, with removals: 79 %, 92 %; 227, 0, 0; 1, 12, 0
- attention, the mean of all layers, names nothing: what stood out in it was right in half of the cases
- the same, with removals: 100 %, 80 %; 198, 29, 0; 0, 13, 0
- leave one out, with or without removals: 100 %, 80 %; 198, 29, 0; 0, 13, 0
- lasso, with or without removals: 88 %, 100 %; 227, 0, 0; 0, 1, 12
- leave one out by similarity (4 records): 100 %, 93 %; 21, 1, 0; 0, 2, 0
- shapley (4 records): 56 %, 100 %; 22, 0, 0; 1, 1, 0: with so few permutations it names too much

So `without support` was right in 12 of 12 cases by lasso. Removals did not give it here: this model changes
each sentence where nothing is left of a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whence.explain.methods.ablation import LEADING
from whence.explain.result import Result, Scores, Unit
from whence.explain.schema import Explanation

ODDS = 4.0
"""How much greater a passage's odds of attention must be than with attention spread evenly."""
LEAST: Mapping[Unit, float] = {"nats": 1.0, "similarity": 0.1}
"""What a sentence must lose at least without a passage. Below lies what the smallest change does."""
JOINT = ("lasso", "shapley")
"""Designs that remove many passages together, and so see what is stated twice."""

_SPREAD_RULE = (
    "A sentence rests on a chunk here if one of its passages has at least {odds:g} times the odds of {what} "
    "that it would have if {what} were spread evenly over the characters of all sources, and a quarter of "
    "what the best passage has."
)
_AVERAGED_RULE = (
    "Attention is averaged over all layers here, most of which look nowhere in particular: of the passages "
    "that stand out in it half are wrong, so it names no chunk. Its shares are shown. Choose a layer that "
    "looks things up (layers=), or measure what is lost without each chunk (removals=True)."
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
    "noise explains, and a quarter of what the removal that costs most does. Effects of several removals do "
    "not add up: what two chunks state is not lost with either."
)
_ABSENCE_RULE = (
    "A sentence is without support only where nothing is found, and all sources together are worth less than "
    "{least} to it: taken away together, or by lasso or shapley, which take many passages away together. "
    "Where neither was measured it is not known."
)
_CLAIM_RULE = "A sentence rests on a chunk here if the answer itself says so."
_ALONE = "There is one passage only: with nothing to compare it to, attention cannot say what rests on it."

SEVERAL = "stated more than once, or by several together: it bears the loss of each source, and not of all"
NO_PROOF = "nothing stands out, which is no proof here: what it loses without all sources was not measured"
UNMEASURED = "nothing stands out, but some of what would tell could not be measured"


def standing_out(explanation: Explanation, result: int = 0) -> NDArray[np.bool_]:
    """Which passages each sentence rests on, by the rule for this evidence: targets x segments."""
    scores = explanation.results[result].scores
    values = np.clip(explanation.matrix(result).astype(np.float64), 0, None)
    if _averaged(explanation.results[result]):
        return np.zeros(values.shape, dtype=bool)
    best = values.max(axis=1, keepdims=True)
    leading: NDArray[np.bool_] = (values > 0) & (values >= LEADING * best)
    if scores.unit == "claim":
        return leading
    if scores.unit in LEAST:
        return leading & (values >= least(scores))
    totals = values.sum(axis=1, keepdims=True)
    parts = np.divide(values, totals, out=np.zeros_like(values), where=totals > 0)
    lengths = _lengths(explanation)
    even = lengths / max(lengths.sum(), 1)
    # odds(part) >= ODDS * odds(even), without a division by what may be 0
    odd: NDArray[np.bool_] = (parts * (1 - even) >= ODDS * even * (1 - parts)) & (even < 1)
    return leading & odd


def least(scores: Scores) -> float:
    """What counts as a loss, in nats or similarity."""
    return max(LEAST[scores.unit], scores.noise_floor or 0.0)


def doubt(results: Sequence[Result], target: int) -> str | None:
    """Why a sentence for which nothing stands out may rest on something all the same; None where it does not.

    Where a model looks, what it is sensitive to and what it says of itself is never proof of that. What is
    lost with one source at a time is none either, for another may state it, too. What all are worth together
    is: the sum of what lasso or shapley find, else what is lost without all of them.
    """
    joint = [(result, sum(result.scores.values[target])) for result in results if result.method.name in JOINT]
    together = [
        (result, loss)
        for result in results
        if result.groundedness.unit == result.scores.unit
        for loss in (result.groundedness.values or ())[target]
    ]
    for result, worth in (*joint, *together):
        if all(own != target for own, _ in result.scores.unmeasured):
            return SEVERAL if worth >= least(result.scores) else None
    return UNMEASURED if joint or together else NO_PROOF


def rules(explanation: Explanation, result: int) -> tuple[str, ...]:
    """What a reader must know of the rule."""
    found = explanation.results[result]
    unit = found.scores.unit
    if unit == "claim":
        return (_CLAIM_RULE,)
    if unit in LEAST:
        return (_LOSS_RULE.format(least=_LOSSES[unit]),)
    if _averaged(found):
        return (_AVERAGED_RULE,)
    what = "attention" if unit == "attention_mass" else "relevance"
    alone = found.scores.elsewhere is not None and len(explanation.segments) == 1
    return (_SPREAD_RULE.format(odds=ODDS, what=what), *([_ALONE] if alone else []))


def removal_rule(removals: Result) -> str:
    """What a reader must know of the effects of removals, which are nats or similarity."""
    return _REMOVAL_RULE.format(least=_LOSSES[removals.scores.unit])


def absence_rule(results: Sequence[Result]) -> str:
    """When a sentence is without support; in the units of what was taken away, if anything was."""
    units = dict.fromkeys(result.scores.unit for result in results if result.scores.unit in LEAST)
    return _ABSENCE_RULE.format(least=" or ".join(_LOSSES[unit] for unit in units or LEAST))


def _averaged(result: Result) -> bool:
    """Whether it is attention averaged over all layers, or over what may be all of them."""
    layers = result.method.parameters.get("layers")
    several = isinstance(layers, list) and len(layers) > 1 and layers == list(range(len(layers)))
    return result.scores.unit == "attention_mass" and (layers == "all" or several)


def _lengths(explanation: Explanation) -> NDArray[np.float64]:
    """Characters of each segment; a region of an image has none."""
    return np.array([(part.end or 0) - (part.start or 0) for part in explanation.segments], dtype=np.float64)
