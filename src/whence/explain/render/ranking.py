"""What one target's evidence is made of: its best passages, the other passages, and elsewhere.

Every number that a renderer draws comes from here. Each result's shares are computed once for all
targets, so that 2,000 words x 250 targets stay a matter of milliseconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whence.explain.result import Elsewhere, Result, Scores
from whence.explain.schema import Explanation


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One segment that received evidence: `score` and `stderr` in the unit of the method.

    `alone`: what removing it alone did, where that was tried.
    """

    segment: int
    score: float
    share: float
    stderr: float | None
    alone: float | None


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Where one target's evidence lies. `top`, `others_share` and `elsewhere` add up to 1.

    `others`: how many segments share `others_share`. `parts`: the parts of elsewhere as shares of the
    same whole, largest first; None where the method does not measure elsewhere. `found`: the sum of the
    scores that count, in the method's unit. `against`: how many segments score below zero by more than
    noise; they count as 0 in the shares. `within_noise`: how many more score, though not beyond noise.
    `unmeasured`: of how many the score is not known. `lowest`: the least score of all.
    """

    top: tuple[Ranked, ...]
    others: int
    others_share: float
    elsewhere: float
    parts: Mapping[str, float] | None
    found: float
    against: int
    within_noise: int
    unmeasured: int
    lowest: float


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One result, ranked: a balance for each target, and all shares, targets x segments."""

    balances: tuple[Balance, ...]
    shares: NDArray[np.float64]

    @property
    def peak(self) -> NDArray[np.float64]:
        """The largest share of each segment for any one target."""
        peak: NDArray[np.float64] = self.shares.max(axis=0)
        return peak


def rank(explanation: Explanation, result: int, k: int) -> Ranking:
    """The k best segments of every target; fewer where fewer received evidence, ties in reading order.

    Raises ValueError for k < 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least one passage")
    shares, values = explanation.shares(result), explanation.matrix(result).astype(np.float64)
    scores, within = explanation.results[result].scores, explanation.within_noise(result)
    alone = _alone(explanation.results[result])
    unmeasured = Counter(target for target, _ in scores.unmeasured)
    order = np.argsort(-values, axis=1, kind="stable")
    return Ranking(
        balances=tuple(
            _balance(
                scores,
                target,
                values[target],
                shares[target],
                order[target],
                k,
                alone=alone[target],
                within_noise=int((within[target] & (values[target] != 0)).sum()),
                unmeasured=unmeasured[target],
            )
            for target in range(len(values))
        ),
        shares=shares,
    )


def mentions(rankings: Sequence[Ranking]) -> dict[int, list[tuple[int, int]]]:
    """For each segment that is listed, the (result, target) pairs that list it."""
    pairs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for result, ranking in enumerate(rankings):
        for target, balance in enumerate(ranking.balances):
            for ranked in balance.top:
                pairs[ranked.segment].append((result, target))
    return dict(pairs)


def _balance(
    scores: Scores,
    target: int,
    values: NDArray[np.float64],
    shares: NDArray[np.float64],
    order: NDArray[np.intp],
    k: int,
    *,
    alone: Mapping[int, float],
    within_noise: int,
    unmeasured: int,
) -> Balance:
    received = shares > 0
    best = order[received[order]][:k]
    outside = scores.elsewhere[target] if scores.elsewhere is not None else None
    found = float(values[received].sum())
    return Balance(
        top=tuple(
            Ranked(
                segment=int(i),
                score=float(values[i]),
                share=float(shares[i]),
                stderr=None if scores.stderr is None else scores.stderr[target][i],
                alone=alone.get(int(i)),
            )
            for i in best
        ),
        others=int(received.sum()) - len(best),
        others_share=max(0.0, float(shares.sum() - shares[best].sum())),
        elsewhere=min(1.0, max(0.0, 1 - float(shares.sum()))),
        parts=None if outside is None else _parts(outside, found),
        found=found,
        against=int((values < -(scores.noise_floor or 0.0)).sum()),
        within_noise=within_noise,
        unmeasured=unmeasured,
        lowest=float(values.min()),
    )


def _alone(result: Result) -> dict[int, dict[int, float]]:
    """What removing one segment alone did, by target and segment."""
    effects: dict[int, dict[int, float]] = defaultdict(dict)
    for item in result.confirmations:
        effects[item.target][item.segment] = item.effect
    return effects


def _parts(outside: Elsewhere, found: float) -> dict[str, float]:
    """Each part as a share of what was found and what fell elsewhere; empty where there was neither."""
    whole = found + max(outside.total, 0.0)
    if whole <= 0:
        return {}
    parts = {name: value / whole for name, value in outside.parts.items() if value != 0}
    return dict(sorted(parts.items(), key=lambda part: -abs(part[1])))
